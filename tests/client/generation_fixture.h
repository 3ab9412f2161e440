// attn in this process, against a FakeGeneration server.
#ifndef ATTND_TESTS_CLIENT_GENERATION_FIXTURE_H_
#define ATTND_TESTS_CLIENT_GENERATION_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "client/app.h"
#include "client/channel.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/fake_generation.h"

namespace attnd {

// Collects what is written, and sends this process SIGINT once that holds `interrupt_at`.
class WatchedOutput : public std::stringbuf, public std::ostream {
 public:
  WatchedOutput() : std::ostream(static_cast<std::stringbuf*>(this)) {}
  void Begin(const std::string& interrupt_at) {
    interrupt_at_ = interrupt_at;
    std::stringbuf::str("");
  }
  std::string str() const { return std::stringbuf::str(); }

 protected:
  std::streamsize xsputn(const char* text, std::streamsize count) override {
    const std::streamsize written = std::stringbuf::xsputn(text, count);
    if (!interrupt_at_.empty() && str().find(interrupt_at_) != std::string::npos) {
      interrupt_at_.clear();
      kill(getpid(), SIGINT);
    }
    return written;
  }

 private:
  std::string interrupt_at_;
};

class GenerationVerbsTest : public testing::Test {
 protected:
  GenerationVerbsTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~GenerationVerbsTest() override { server_->Shutdown(); }

  int Attn(std::vector<std::string> arguments, const std::string& input = "") {
    in_.str(input);
    in_.clear();
    out_.Begin(interrupt_at_);
    err_.str("");
    arguments.insert(arguments.begin(), {"--address", address_});
    Io io{in_, out_, err_};
    io.in_terminal = in_terminal_;
    io.out_terminal = io.err_terminal = terminal_;
    io.columns = 60;
    return RunAttn(arguments, io);
  }
  // Standard output as JSON lines.
  std::vector<nlohmann::json> Lines() {
    std::vector<nlohmann::json> lines;
    std::istringstream text(out_.str());
    for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  FakeGeneration service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  bool terminal_ = false, in_terminal_ = false;
  std::string interrupt_at_;  // Ctrl-C, once the output holds this
  std::istringstream in_;
  WatchedOutput out_;
  std::ostringstream err_;
};

}  // namespace attnd

#endif  // ATTND_TESTS_CLIENT_GENERATION_FIXTURE_H_
