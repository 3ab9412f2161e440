// attn in this process, against a FakeGeneration server.
#ifndef ATTND_TESTS_CLIENT_GENERATION_FIXTURE_H_
#define ATTND_TESTS_CLIENT_GENERATION_FIXTURE_H_

#include <sstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/client/attn_fixture.h"
#include "tests/client/fake_generation.h"

namespace attnd {

class GenerationVerbsTest : public AttnTest {
 protected:
  GenerationVerbsTest() { columns_ = 60; }
  std::vector<grpc::Service*> Services() override { return {&service_}; }

  // Standard output as JSON lines.
  std::vector<nlohmann::json> Lines() {
    std::vector<nlohmann::json> lines;
    std::istringstream text(out_.str());
    for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  FakeGeneration service_;
};

}  // namespace attnd

#endif  // ATTND_TESTS_CLIENT_GENERATION_FIXTURE_H_
