// attn in this process, against a real server of services that a test fakes.
#ifndef ATTND_TESTS_CLIENT_ATTN_FIXTURE_H_
#define ATTND_TESTS_CLIENT_ATTN_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "client/app.h"
#include "client/channel.h"

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

class AttnTest : public testing::Test {
 protected:
  // What the server serves: members of the test, which are there before SetUp and until after TearDown.
  virtual std::vector<grpc::Service*> Services() = 0;

  void SetUp() override {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    for (grpc::Service* service : Services()) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  void TearDown() override { server_->Shutdown(); }

  // Runs attn with `input` on its standard input. Returns its exit code; out_ and err_ hold what this run wrote.
  int Attn(std::vector<std::string> arguments, const std::string& input = "") {
    in_.str(input);
    in_.clear();
    out_.Begin(interrupt_at_);
    err_.str("");
    arguments.insert(arguments.begin(), {"--address", address_});
    Io io{in_, out_, err_};
    io.in_terminal = in_terminal_;
    io.out_terminal = io.err_terminal = terminal_;
    io.columns = columns_;
    return RunAttn(arguments, io);
  }

  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  bool terminal_ = false, in_terminal_ = false;
  int columns_ = 80;
  std::string interrupt_at_;  // Ctrl-C, once the output holds this
  std::istringstream in_;
  WatchedOutput out_;
  std::ostringstream err_;
};

}  // namespace attnd

#endif  // ATTND_TESTS_CLIENT_ATTN_FIXTURE_H_
