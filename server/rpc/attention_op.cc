#include "server/rpc/attention_op.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/ops/status.h"
#include "server/rpc/attention_memory.h"

namespace attnd {
namespace {

using Shape = absl::Span<const int64_t>;

std::string Text(Shape shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

absl::Status CheckRank4(Shape shape, absl::string_view name, absl::string_view expected) {
  bool positive = shape.size() == 4;
  for (int64_t dimension : shape) positive = positive && dimension >= 1;
  if (positive) return absl::OkStatus();
  return FieldError(absl::StrCat(name, ".shape"),
                    absl::StrCat(name, " has shape ", shape.size() <= 8 ? Text(shape) : "of too many dimensions",
                                 "; it must be ", expected, ", every dimension at least 1"));
}

// The product, or int64 max.
int64_t Product(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  for (int64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) return std::numeric_limits<int64_t>::max();
  }
  return product;
}

absl::Status SetMask(Shape shape, AttentionCall& call) {
  const int64_t matrix = call.queries * call.keys;
  if (shape.size() == 2 && shape[0] == call.queries && shape[1] == call.keys) return absl::OkStatus();
  if (shape.size() == 4 && shape[0] == call.batch && (shape[1] == 1 || shape[1] == call.heads) &&
      shape[2] == call.queries && shape[3] == call.keys) {
    call.mask_head_stride = shape[1] == 1 ? 0 : matrix;
    call.mask_batch_stride = shape[1] * matrix;
    return absl::OkStatus();
  }
  return FieldError("mask.shape",
                    absl::StrCat("mask has shape ", shape.size() <= 8 ? Text(shape) : "of too many dimensions",
                                 "; it must be [n, m] or [b, 1 or h, n, m], here ", Text({call.queries, call.keys}),
                                 " or [", call.batch, ", 1 or ", call.heads, ", ", call.queries, ", ", call.keys, "]"));
}

}  // namespace

class AttentionOp::Item : public TaskItem {
 public:
  Item(AttentionOp& op, int tokens) : TaskItem(tokens), op_(op) {}

  absl::Status Compute(WorkTeam::Session& team, absl::FunctionRef<bool()> keep_going) override {
    return RunAttentionCall(op_.call_, team, keep_going);
  }

  void Finish(const absl::Status& status) override {
    // The wall clock may step back: stages are never negative.
    const bool ran = started_at != absl::InfiniteFuture();
    const absl::Time end = std::max(op_.mark_, ran ? finished_at : op_.context_.batcher.Now());
    const absl::Time start = ran ? std::clamp(started_at, op_.mark_, end) : end;
    op_.times_.queue = start - op_.mark_;
    op_.times_.compute = end - start;
    op_.mark_ = end;
    Done done = std::move(op_.done_);
    std::move(done)(status);  // may destroy the op and this
  }

 private:
  AttentionOp& op_;
};

AttentionOp::AttentionOp(ServerContext& context, const CallOrigin& origin)
    : context_(context), origin_(origin), mark_(origin.start) {
  ticket_.queue = context.models.attention()->queue.get();
  ticket_.connection = origin.connection;
  ticket_.deadline = origin.deadline;
}

AttentionOp::~AttentionOp() = default;

absl::Status AttentionOp::SetShapes(const AttentionOpShapes& shapes, bool weights, bool entropy) {
  if (absl::Status status = CheckRank4(shapes.query, "query", "[b, h, n, d]"); !status.ok()) return status;
  if (absl::Status status = CheckRank4(shapes.key, "key", "[b, h_kv, m, d]"); !status.ok()) return status;
  if (absl::Status status = CheckRank4(shapes.value, "value", "[b, h_kv, m, d]"); !status.ok()) return status;
  call_.batch = shapes.query[0];
  call_.heads = shapes.query[1];
  call_.queries = shapes.query[2];
  call_.head_dim = shapes.query[3];
  call_.key_heads = shapes.key[1];
  call_.keys = shapes.key[2];
  if (shapes.key[0] != call_.batch || shapes.key[3] != call_.head_dim) {
    return FieldError("key.shape", absl::StrCat("key has shape ", Text(shapes.key), ", query ", Text(shapes.query),
                                                "; the first and the last dimension must agree"));
  }
  if (shapes.value != shapes.key) {
    return FieldError("value.shape", absl::StrCat("value has shape ", Text(shapes.value), ", key ", Text(shapes.key),
                                                  "; they must be the same"));
  }
  call_.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(call_.head_dim)));
  if (absl::Status status = CheckAttentionCall(call_); !status.ok()) return WithField(status, "key.shape");
  if (shapes.mask.has_value()) {
    if (absl::Status status = SetMask(*shapes.mask, call_); !status.ok()) return status;
  }
  const int64_t rows = Product({call_.batch, call_.heads, call_.queries});
  const int64_t row_bytes = (call_.head_dim + (weights ? call_.keys : 0) + (entropy ? 1 : 0)) * int64_t{sizeof(float)};
  const int64_t bytes = Product({rows, row_bytes});
  if (bytes > context_.limits.max_attention_bytes) {
    return WithReason(
        absl::ResourceExhaustedError(absl::StrCat("the outputs of ", rows, " rows would be ", bytes, " bytes; at most ",
                                                  context_.limits.max_attention_bytes, " (max_attention_bytes)")),
        "attention_cap");
  }
  return HoldAttentionMemory(context_.attention_memory, bytes, memory_);
}

absl::Status AttentionOp::SetScale(double scale) {
  call_.scale = static_cast<float>(scale);
  if (!std::isfinite(call_.scale)) return FieldError("scale", "it must be a finite number");
  return absl::OkStatus();
}

void AttentionOp::EndStage(absl::Duration& stage) {
  const absl::Time now = std::max(context_.batcher.Now(), mark_);
  stage += now - mark_;
  mark_ = now;
}

void AttentionOp::EndRespond() { EndStage(times_.respond); }

void AttentionOp::Start(Done done) {
  EndStage(times_.validate);
  // A row of the queue's budget stands for a query of every head; its length in keys is not counted.
  const int64_t cost = std::min<int64_t>(tokens(), std::numeric_limits<int>::max());
  item_ = std::make_unique<Item>(*this, static_cast<int>(cost));
  done_ = std::move(done);
  QueueItem* const item = item_.get();
  const absl::Status status = context_.batcher.Submit(ticket_, {&item, 1});
  if (status.ok()) return;  // the op may be gone
  Done refused = std::move(done_);
  std::move(refused)(SubmitError(status, "query"));
}

void AttentionOp::Cancel() { context_.batcher.Cancel(ticket_); }

}  // namespace attnd
