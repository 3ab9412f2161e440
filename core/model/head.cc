#include "core/model/head.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

// Rows at a time: whole panels of Linear; a vocabulary of 250,000 words takes 128 MB.
constexpr int kChunkRows = 128;

}  // namespace

void Head::Run(WorkTeam::Session& team, absl::Span<const HeadRow> rows, Workspace& workspace) const {
  const int hidden = dense.has_value() ? dense->inputs() : output.inputs();
  const int64_t most = std::min<int64_t>(kChunkRows, static_cast<int64_t>(rows.size()));
  workspace.rows.Reserve((most + Linear::kPaddingRows) * hidden);
  workspace.logits.Reserve(most * output.outputs());
  if (dense.has_value()) workspace.dense.Reserve((most + Linear::kPaddingRows) * dense->outputs());
  for (size_t begin = 0; begin < rows.size(); begin += kChunkRows) {
    const absl::Span<const HeadRow> chunk = rows.subspan(begin, kChunkRows);
    const int count = static_cast<int>(chunk.size());
    for (int r = 0; r < count; ++r) {
      std::memcpy(workspace.rows.data() + int64_t{r} * hidden, chunk[r].from, hidden * sizeof(float));
    }
    const float* input = workspace.rows.data();
    if (dense.has_value()) {
      dense->Run(team, input, count, activation, workspace.dense.data());
      if (norm.has_value()) norm->Run(team, workspace.dense.data(), count, workspace.dense.data());
      input = workspace.dense.data();
    }
    output.Run(team, input, count, Activation::kNone, workspace.logits.data());
    for (int r = 0; r < count; ++r) {
      std::memcpy(chunk[r].to, workspace.logits.data() + int64_t{r} * output.outputs(),
                  output.outputs() * sizeof(float));
    }
  }
}

absl::StatusOr<std::unique_ptr<Head>> ReadHead(WeightReader& reader, const HeadNames& names, const HeadShape& shape) {
  const int inner = names.dense.empty() ? shape.hidden : shape.dense;
  std::optional<Linear> dense;
  if (!names.dense.empty()) {
    auto linear = reader.ReadLinear(names.dense, shape.dense, shape.hidden, {.bias = shape.dense_bias});
    if (!linear.ok()) return linear.status();
    dense.emplace(*std::move(linear));
  }
  std::optional<Norm> norm;
  if (!names.norm.empty()) norm = ReadNorm(reader, names.norm, inner, shape.epsilon, shape.norm_bias);
  const std::string weight = absl::StrCat(names.output, ".weight");
  const bool tied = !names.tied_words.empty() && !reader.Contains(weight);
  std::string bias;
  if (shape.output_bias) bias = names.output_bias.empty() ? absl::StrCat(names.output, ".bias") : names.output_bias;
  auto output = reader.ReadLinearOf(tied ? names.tied_words : weight, bias, shape.outputs, inner);
  if (!output.ok()) return output.status();
  return std::make_unique<Head>(Head{.dense = std::move(dense),
                                     .activation = shape.activation,
                                     .norm = std::move(norm),
                                     .output = *std::move(output)});
}

absl::StatusOr<std::unique_ptr<Head>> ReadTaskHead(const ModelConfig& config, const TensorSource& file,
                                                   const TaskHeads& heads) {
  WeightReader reader(file);
  HeadShape shape = {.hidden = config.hidden_size,
                     .dense = config.hidden_size,
                     .outputs = config.logit_columns(),
                     .epsilon = config.layer_norm_eps};
  if (config.task == Task::kTokenClassify) return ReadHead(reader, {.output = "classifier"}, shape);
  if (config.task == Task::kClassify) {
    shape.activation = heads.classify_activation;
    return ReadHead(reader, heads.classify, shape);
  }
  shape.dense = config.word_size;
  shape.activation = heads.fill_mask_activation;
  return ReadHead(reader, heads.fill_mask, shape);
}

}  // namespace attnd
