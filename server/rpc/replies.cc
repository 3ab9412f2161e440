#include "server/rpc/replies.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/ops/status.h"

namespace attnd {
namespace {

uint64_t Nanoseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration)));
}

void AddPart(v1::AttentionPart::Kind kind, const char* dtype, const AttentionSection& section,
             const std::vector<int64_t>& shape, int element_bytes, v1::AttentionHeader& header) {
  if (section.bytes == 0) return;
  v1::AttentionPart& part = *header.add_parts();
  part.set_kind(kind);
  part.set_dtype(dtype);
  int64_t bytes = element_bytes;
  for (int64_t size : shape) {
    part.add_shape(size);
    bytes *= size;
  }
  part.set_offset(static_cast<uint64_t>(section.offset));
  part.set_bytes(static_cast<uint64_t>(bytes));
}

const char* DtypeName(AttentionDtype dtype) {
  return dtype == AttentionDtype::kF32 ? "f32" : dtype == AttentionDtype::kF16 ? "f16" : "u8";
}

void Assign(const std::vector<float>& from, google::protobuf::RepeatedField<float>& to) {
  to.Add(from.begin(), from.end());
}

}  // namespace

void FillTimings(const StageTimes& times, absl::Duration total, v1::Timings& timings) {
  timings.set_validate_ns(Nanoseconds(times.validate));
  timings.set_tokenise_ns(Nanoseconds(times.tokenise));
  timings.set_queue_ns(Nanoseconds(times.queue));
  timings.set_compute_ns(Nanoseconds(times.compute));
  timings.set_respond_ns(Nanoseconds(times.respond));
  timings.set_total_ns(Nanoseconds(total));
}

void FillTokens(const Encoding& encoding, const Tokenizer& tokenizer,
                google::protobuf::RepeatedPtrField<v1::Token>& tokens) {
  tokens.Reserve(encoding.tokens());
  for (int i = 0; i < encoding.tokens(); ++i) {
    v1::Token& token = *tokens.Add();
    token.set_id(encoding.ids[i]);
    token.set_text(tokenizer.TokenText(encoding.ids[i]));
    token.set_begin(static_cast<uint32_t>(encoding.spans[i].begin));
    token.set_end(static_cast<uint32_t>(encoding.spans[i].end));
    token.set_special(encoding.special[i] != 0);
    token.set_word(encoding.word_ids[i]);
    token.set_part(encoding.sequence_ids[i] == 1 ? 1 : 0);
  }
}

void FillAttentionHeader(const AttentionPlan& plan, v1::AttentionHeader& header) {
  const AttentionSpec& spec = plan.spec();
  header.set_layout(static_cast<v1::AttentionLayout>(spec.layout));
  header.set_dtype(static_cast<v1::AttentionDType>(spec.dtype));
  header.set_reduce(static_cast<v1::AttentionReduce>(spec.reduce));
  header.set_word_level(spec.word_level);
  if (!spec.maps) return;
  for (const LayerHead& map : plan.maps()) {
    header.add_map_layers(map.layer);
    header.add_map_heads(map.head);
  }
  header.set_rows(plan.rows());
  header.set_columns(plan.columns());
  for (const TokenSpan& span : plan.row_tokens()) {
    header.add_row_begins(span.begin);
    header.add_row_ends(span.end);
  }
  for (const TokenSpan& span : plan.column_tokens()) {
    header.add_column_begins(span.begin);
    header.add_column_ends(span.end);
  }
  header.set_total_bytes(static_cast<uint64_t>(plan.sizes().data));
  const AttentionDataLayout& layout = plan.layout();
  const int64_t maps = static_cast<int64_t>(plan.maps().size());
  const std::vector<int64_t> by_row = {maps, plan.rows()};
  const std::vector<int64_t> by_value = {maps, plan.rows(), plan.values_per_row()};
  AddPart(v1::AttentionPart::KIND_SCALES, "f32", layout.scales, by_row, 4, header);
  AddPart(v1::AttentionPart::KIND_RESIDUALS, "f32", layout.residuals, by_row, 4, header);
  AddPart(v1::AttentionPart::KIND_VALUES, DtypeName(spec.dtype), layout.values, by_value, layout.value_bytes, header);
  AddPart(v1::AttentionPart::KIND_INDICES, layout.index_bytes == 2 ? "u16" : "u32", layout.indices, by_value,
          layout.index_bytes, header);
}

RecycledBuffer FillAttention(TextSequence& sequence, const Tokenizer& tokenizer, v1::Attention& attention) {
  FillAttentionHeader(*sequence.plan, *attention.mutable_header());
  FillTokens(sequence.encoding, tokenizer, *attention.mutable_tokens());
  AttentionResult result = std::move(sequence.attention);
  if (sequence.plan->spec().statistics != 0) {
    FillStatistics(*sequence.plan, std::move(result.statistics), *attention.mutable_statistics());
  }
  return std::move(result.data);
}

void FillStatistics(const AttentionPlan& plan, AttentionStatistics&& statistics, v1::AttentionStatistics& reply) {
  for (const LayerHead& head : plan.statistics_heads()) {
    reply.add_layers(head.layer);
    reply.add_heads(head.head);
  }
  reply.set_tokens(static_cast<uint32_t>(plan.tokens()));
  Assign(statistics.mean_entropy, *reply.mutable_entropy());
  Assign(statistics.confidence, *reply.mutable_confidence());
  Assign(statistics.distance, *reply.mutable_distance());
  Assign(statistics.self, *reply.mutable_self());
  Assign(statistics.previous, *reply.mutable_previous());
  Assign(statistics.next, *reply.mutable_next());
  Assign(statistics.special_mass, *reply.mutable_special_mass());
  Assign(statistics.entropy, *reply.mutable_row_entropy());
  Assign(statistics.received_mass, *reply.mutable_received_mass());
  Assign(statistics.induction, *reply.mutable_induction());
  Assign(statistics.duplicate, *reply.mutable_duplicate());
  statistics = {};
}

absl::StatusOr<Truncate> ToTruncate(v1::Truncation truncation, absl::string_view field) {
  switch (truncation) {
    case v1::TRUNCATION_REFUSE:
      return Truncate::kRefuse;
    case v1::TRUNCATION_END:
      return Truncate::kEnd;
    case v1::TRUNCATION_START:
      return Truncate::kStart;
    default:
      return FieldError(field, "unknown value");
  }
}

}  // namespace attnd
