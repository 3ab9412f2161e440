// EmbedJob: one EmbedRequest, from its checks to its response. Embed is one job, EmbedStream one after the other.
#ifndef ATTND_SERVER_RPC_EMBED_JOB_H_
#define ATTND_SERVER_RPC_EMBED_JOB_H_

#include <vector>

#include "absl/status/status.h"
#include "attnd/v1/attnd.pb.h"
#include "server/ops/call_monitor.h"
#include "server/rpc/slice_writer.h"
#include "server/rpc/text_job.h"

namespace attnd {

// Thread rules and lifetime as TextJob.
class EmbedJob {
 public:
  EmbedJob(ServerContext& context, const CallOrigin& origin) : job_(context, origin) {}

  // Reads `request` before it returns. `done` is called exactly once; when OK, the response is complete but for
  // its timings.
  void Start(const v1::EmbedRequest& request, TextJob::Done done);
  void Cancel() { job_.Cancel(); }

  // Tells `monitor` whose call it is, where the request names a model that exists.
  void NameModel(CallMonitor& monitor) const {
    if (job_.has_model()) monitor.SetModel(job_.served_model());
  }
  // After `done`, once: ends the last stage, writes the timings into the response and tells `monitor`.
  void Report(CallMonitor& monitor);
  // After Report, once: the bytes of the response.
  void Write(SliceWriter& writer);

 private:
  absl::Status Prepare(const v1::EmbedRequest& request);
  absl::Status CheckPooling(const v1::EmbedRequest& request) const;
  void MakeOutputs(const v1::EmbedRequest& request);
  void Collect();

  TextJob job_;
  v1::EmbedResponse response_;
  std::vector<RecycledBuffer> map_data_;  // [texts], or empty where no attention was asked for
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_EMBED_JOB_H_
