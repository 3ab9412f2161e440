// Client: one channel to a server, its stubs, and how its failures read.
#ifndef ATTND_CLIENT_CHANNEL_H_
#define ATTND_CLIENT_CHANNEL_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "attnd/v1/attnd.grpc.pb.h"

namespace attnd {

struct ChannelOptions {
  // host:port, unix:PATH, IP addresses with their ports behind commas, or any target that gRPC resolves.
  std::string address = "127.0.0.1:50051";
  double timeout_s = 60;        // of one call; streams without end have none
  bool timeout_given = false;   // by the user: then it holds for generations, too
  bool own_connection = false;  // not shared with other clients of this process
  bool watch_health = true;     // and leave a replica that is not serving
};

// Exit codes of attn.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // some input failed, or the server said no
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnreachable = 3;
inline constexpr int kExitInterrupted = 130;  // by Ctrl-C, as shells count it

// Constant after construction. Thread-safe.
//
// The channel balances round-robin over those addresses of the name that are serving and retries UNAVAILABLE up to 3
// times (0.1 s, x2, at most 1 s, jittered), throttled so that retries do not drown a server that is down.
class Client {
 public:
  explicit Client(ChannelOptions options);

  const std::string& address() const { return options_.address; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::Attnd::Stub& stub() const { return *stub_; }
  // Sets the deadline of options.timeout_s.
  void Prepare(grpc::ClientContext& context) const;
  // For a generation, whose length nobody knows: a deadline only where the user gave one.
  void PrepareGeneration(grpc::ClientContext& context) const;

  // Whether `status` means that no server was reached, rather than what one said.
  bool Unreachable(const grpc::Status& status) const;
  // "INVALID_ARGUMENT: texts[3]: ...", with what to do about it where that is known; or the address that was tried.
  std::string Message(const grpc::Status& status) const;
  // kExitFailed or kExitUnreachable.
  int ExitCode(const grpc::Status& status) const;

 private:
  const ChannelOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Attnd::Stub> stub_;
};

// "INVALID_ARGUMENT".
std::string CodeName(grpc::StatusCode code);
// "INVALID_ARGUMENT: message (hint)".
std::string StatusMessage(grpc::StatusCode code, const std::string& message);

}  // namespace attnd

#endif  // ATTND_CLIENT_CHANNEL_H_
