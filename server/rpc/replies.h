// The parts that replies of attnd.v1 share: tokens, attention, timings.
#ifndef ATTND_SERVER_RPC_REPLIES_H_
#define ATTND_SERVER_RPC_REPLIES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attnd/v1/attnd.pb.h"
#include "core/attention/recorder.h"
#include "core/text/tokenizer.h"
#include "server/ops/metrics.h"
#include "server/rpc/text_job.h"

namespace attnd {

void FillTimings(const StageTimes& times, absl::Duration total, v1::Timings& timings);

// What a token of FillTokens takes, about: the message, its text, their places, and its part of the reply's bytes.
inline constexpr int64_t kTokenBytes = 160;
void FillTokens(const Encoding& encoding, const Tokenizer& tokenizer,
                google::protobuf::RepeatedPtrField<v1::Token>& tokens);

// The header says without data what the data will be: estimates use it, too.
void FillAttentionHeader(const AttentionPlan& plan, v1::AttentionHeader& header);
// The attention of one sequence that has a plan, but for the data of its maps, which is returned. Takes it out of the
// sequence, so that it is freed text by text.
RecycledBuffer FillAttention(TextSequence& sequence, const Tokenizer& tokenizer, v1::Attention& attention);
// Takes the numbers out of `statistics`.
void FillStatistics(const AttentionPlan& plan, AttentionStatistics&& statistics, v1::AttentionStatistics& reply);

// Whether the number is one of v1::Truncation. kInvalidArgument naming `field`.
absl::StatusOr<Truncate> ToTruncate(v1::Truncation truncation, absl::string_view field = "truncate");

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_REPLIES_H_
