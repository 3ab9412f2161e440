#include "client/channel.h"

#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

// The health check takes a replica out of the round when it says that it is about to drain.
constexpr char kServiceConfig[] = R"({
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": ""},
  "methodConfig": [{
    "name": [{}],
    "retryPolicy": {
      "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }],
  "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
})";

// gRPC takes a list of IP addresses only after its scheme.
std::string TargetOf(const std::string& address) {
  if (!absl::StrContains(address, ',') || absl::StrContains(address, "//")) return address;
  for (const char* scheme : {"ipv4:", "ipv6:", "unix:"}) {
    if (absl::StartsWith(address, scheme)) return address;
  }
  return absl::StrCat(address.front() == '[' ? "ipv6:" : "ipv4:", address);
}

std::shared_ptr<grpc::Channel> MakeChannel(const ChannelOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetMaxReceiveMessageSize(-1);  // the server limits what it sends
  arguments.SetMaxSendMessageSize(-1);     // and refuses what it does not take, naming the limit
  if (!options.watch_health) arguments.SetInt(GRPC_ARG_INHIBIT_HEALTH_CHECKING, 1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options.own_connection ? 1 : 0);
  return grpc::CreateCustomChannel(TargetOf(options.address), grpc::InsecureChannelCredentials(), arguments);
}

// What the caller can do about an error; empty where that is not known.
const char* Hint(grpc::StatusCode code, const std::string& message) {
  const auto says = [&](const char* text) { return absl::StrContains(message, text); };
  if (code == grpc::StatusCode::INVALID_ARGUMENT && says("tokens") && (says("at most") || says("takes")) &&
      !says("truncate")) {
    return " (pass --truncate end, or split it)";
  }
  if (code == grpc::StatusCode::NOT_FOUND && says("model")) return " (attn models lists what is served)";
  if (code == grpc::StatusCode::RESOURCE_EXHAUSTED && (says("attention") || says("max_bytes"))) {
    return " (select fewer heads, or see attn estimate)";
  }
  return "";
}

}  // namespace

Client::Client(ChannelOptions options)
    : options_(std::move(options)), channel_(MakeChannel(options_)), stub_(v1::Attnd::NewStub(channel_)) {}

void Client::Prepare(grpc::ClientContext& context) const {
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(static_cast<int64_t>(options_.timeout_s * 1000)));
}

void Client::PrepareGeneration(grpc::ClientContext& context) const {
  if (options_.timeout_given) Prepare(context);
}

bool Client::Unreachable(const grpc::Status& status) const {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE &&
      status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) {
    return false;
  }
  return channel_->GetState(false) != GRPC_CHANNEL_READY;
}

std::string Client::Message(const grpc::Status& status) const {
  if (Unreachable(status)) {
    return absl::StrCat("no server at ", options_.address, ": ", status.error_message(),
                        " (start attnd, or pass --address or set ATTN_ADDRESS)");
  }
  return StatusMessage(status.error_code(), status.error_message());
}

int Client::ExitCode(const grpc::Status& status) const {
  return Unreachable(status) || status.error_code() == grpc::StatusCode::UNAVAILABLE ? kExitUnreachable : kExitFailed;
}

std::string CodeName(grpc::StatusCode code) { return absl::StatusCodeToString(static_cast<absl::StatusCode>(code)); }

std::string StatusMessage(grpc::StatusCode code, const std::string& message) {
  return absl::StrCat(CodeName(code), ": ", message, Hint(code, message));
}

}  // namespace attnd
