// MetricsExposer: the HTTP port that Prometheus scrapes.
#ifndef ATTND_SERVER_OPS_EXPOSER_H_
#define ATTND_SERVER_OPS_EXPOSER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "prometheus/collectable.h"
#include "prometheus/exposer.h"

namespace attnd {

// Serves GET /metrics in the text format, with two threads of its own.
class MetricsExposer {
 public:
  // `listen`: "HOST:PORT"; port 0 takes any free one. kUnavailable when it cannot listen there, kInvalidArgument for a
  // malformed address; both name it.
  static absl::StatusOr<std::unique_ptr<MetricsExposer>> Start(
      const std::string& listen, std::vector<std::shared_ptr<prometheus::Collectable>> sources);

  ~MetricsExposer();
  MetricsExposer(const MetricsExposer&) = delete;
  MetricsExposer& operator=(const MetricsExposer&) = delete;

  const std::string& address() const { return address_; }  // "127.0.0.1:9464", with the port that was bound

 private:
  MetricsExposer() = default;
  std::vector<std::shared_ptr<prometheus::Collectable>> sources_;  // the exposer holds them weakly
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::string address_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_EXPOSER_H_
