// What a test needs to run generations one step at a time.
#ifndef ATTND_TESTS_CORE_ENGINE_GENERATOR_TESTING_H_
#define ATTND_TESTS_CORE_ENGINE_GENERATOR_TESTING_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/engine/generator.h"

namespace attnd {

// Keeps what came, and checks the order of the calls.
class Collect : public GenerationListener {
 public:
  bool Wanted() override { return wanted; }
  void OnToken(const GeneratedToken& token) override {
    EXPECT_FALSE(ended);
    EXPECT_EQ(token.index, static_cast<int>(tokens.size()));
    tokens.push_back(token);
    text += token.text;
  }
  void OnEnd(GenerationSummary of_all) override {
    EXPECT_FALSE(ended);
    summary = std::move(of_all);
    ended = true;
  }
  std::vector<int32_t> Ids() const {
    std::vector<int32_t> ids;
    for (const GeneratedToken& token : tokens) ids.push_back(token.id);
    return ids;
  }

  bool wanted = true;
  bool ended = false;
  std::vector<GeneratedToken> tokens;
  std::string text;
  GenerationSummary summary;
};

inline std::shared_ptr<Collect> SubmitTo(Generator& generator, GenerationRequest request, uint64_t client = 0) {
  EXPECT_TRUE(generator.Check(request).ok()) << generator.Check(request);
  auto listener = std::make_shared<Collect>();
  EXPECT_TRUE(generator.Submit(std::move(request), listener, client).ok());
  return listener;
}

inline std::shared_ptr<Collect> FinishIn(Generator& generator, GenerationRequest request) {
  auto listener = SubmitTo(generator, std::move(request));
  while (generator.Step()) {
  }
  EXPECT_TRUE(listener->ended);
  return listener;
}

}  // namespace attnd

#endif  // ATTND_TESTS_CORE_ENGINE_GENERATOR_TESTING_H_
