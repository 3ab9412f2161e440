#include "server/ops/exposer.h"

#include <exception>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace attnd {

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Start(
    const std::string& listen, std::vector<std::shared_ptr<prometheus::Collectable>> sources) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("metrics address \"", listen, "\" is not HOST:PORT, or \"off\""));
  }
  const std::string host = listen.substr(0, colon);
  auto exposer = std::unique_ptr<MetricsExposer>(new MetricsExposer());
  try {
    exposer->exposer_ = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", listen, "num_threads", "2", "request_timeout_ms", "5000"});
  } catch (const std::exception&) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", listen, " for metrics: the port is in use or the address is not ours"));
  }
  const std::vector<int> ports = exposer->exposer_->GetListeningPorts();
  exposer->address_ = absl::StrCat(host, ":", ports.empty() ? port : ports[0]);
  exposer->sources_ = std::move(sources);
  for (const auto& source : exposer->sources_) exposer->exposer_->RegisterCollectable(source);
  return exposer;
}

}  // namespace attnd
