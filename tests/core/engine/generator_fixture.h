// A golden decoder, and generators over it.
#ifndef ATTND_TESTS_CORE_ENGINE_GENERATOR_FIXTURE_H_
#define ATTND_TESTS_CORE_ENGINE_GENERATOR_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "tests/core/engine/generator_testing.h"
#include "tests/golden/decoder_golden.h"
#include "tests/golden/greedy_answers.h"

namespace attnd {

class GeneratorTest : public ::testing::TestWithParam<const char*> {
 protected:
  explicit GeneratorTest(const std::string& folder = golden::Folder(GetParam()))
      : decoder(golden::LoadDecoder(folder)),
        tokenizer(golden::LoadTokenizer(folder)),
        cases(folder + "/golden"),
        team(2) {}

  GeneratorOptions Options(int pages = 200) const {
    return {.kv_bytes = pages * KvPages::BytesPerPage(decoder->kv_shape(KvType::kF32))};
  }
  // The prompt of case i, to be continued as the reference was: most probable tokens, no end token.
  GenerationRequest Request(size_t i) const {
    return {
        .prompt = golden::GreedyPrompt(cases, i), .sampling = {.temperature = 0}, .max_tokens = 24, .min_tokens = 24};
  }
  std::shared_ptr<Collect> Submit(Generator& generator, GenerationRequest request, uint64_t client = 0) const {
    return SubmitTo(generator, std::move(request), client);
  }
  std::shared_ptr<Collect> Finish(Generator& generator, GenerationRequest request) const {
    return FinishIn(generator, std::move(request));
  }

  const std::unique_ptr<Decoder> decoder;
  const std::unique_ptr<Tokenizer> tokenizer;
  const golden::Cases cases;
  WorkTeam team;
};

}  // namespace attnd

#endif  // ATTND_TESTS_CORE_ENGINE_GENERATOR_FIXTURE_H_
