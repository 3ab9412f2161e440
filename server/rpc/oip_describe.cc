#include "server/rpc/oip_describe.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/cpu.h"
#include "server/rpc/oip_attention.h"
#include "server/rpc/oip_decoder.h"
#include "server/rpc/oip_encoder.h"
#include "server/rpc/oip_tensors.h"
#include "server/rpc/task_check.h"

namespace attnd {
namespace {

constexpr int64_t kAny = -1;

struct TensorText {
  absl::string_view name;
  OipType type;
  std::vector<int64_t> shape;  // with the batch dimension
  bool optional = false;       // of inputs
};

struct ModelText {
  std::string platform;
  bool batches;  // whether the first dimension of every tensor is the batch
  std::vector<TensorText> inputs, outputs;
  std::map<std::string, std::string> properties;
};

ModelText DescribeOperator() {
  const std::vector<int64_t> matrix = {kAny, kAny, kAny, kAny};
  return {.platform = "attnd_operator",
          .batches = false,
          .inputs = {{"query", OipType::kFp32, matrix},
                     {"key", OipType::kFp32, matrix},
                     {"value", OipType::kFp32, matrix},
                     {"mask", OipType::kBool, matrix, true}},
          .outputs = {{kOipAttentionOutputs[0], OipType::kFp32, matrix},
                      {kOipAttentionOutputs[1], OipType::kFp32, matrix},
                      {kOipAttentionOutputs[2], OipType::kFp32, {kAny, kAny, kAny}}},
          .properties = {{"cpu_path", std::string(CpuPathName())}, {"precision", "f32"}}};
}

ModelText DescribeEncoder(const ServedModel& model) {
  const ModelConfig& config = model.model->config;
  const int64_t hidden = config.hidden_size, layers = config.layers, heads = config.heads;
  const int64_t labels = config.logit_columns();
  const auto pooling = config.pooling.mode == PoolingMode::kMean  ? "mean"
                       : config.pooling.mode == PoolingMode::kCls ? "cls"
                                                                  : "max";
  ModelText text{.platform = "attnd_encoder",
                 .batches = true,
                 .inputs = {{"text", OipType::kBytes, {kAny, 1}, true},
                            {"text_pair", OipType::kBytes, {kAny, 1}, true},
                            {"input_ids", OipType::kInt64, {kAny, kAny}, true},
                            {"attention_mask", OipType::kInt64, {kAny, kAny}, true},
                            {"token_type_ids", OipType::kInt64, {kAny, kAny}, true}},
                 .outputs = {{kOipEncoderOutputs[kOutEmbedding], OipType::kFp32, {kAny, config.embedding_size}},
                             {kOipEncoderOutputs[kOutLastHidden], OipType::kFp32, {kAny, kAny, hidden}},
                             {kOipEncoderOutputs[kOutAttention], OipType::kFp32, {kAny, layers, heads, kAny, kAny}},
                             {kOipEncoderOutputs[kOutEntropy], OipType::kFp32, {kAny, layers, heads, kAny}},
                             {kOipEncoderOutputs[kOutTokenIds], OipType::kInt32, {kAny, kAny}},
                             {kOipEncoderOutputs[kOutTokenCount], OipType::kInt32, {kAny}},
                             {kOipEncoderOutputs[kOutTokens], OipType::kBytes, {kAny, kAny}},
                             {kOipEncoderOutputs[kOutTokenSpans], OipType::kInt32, {kAny, kAny, 2}}},
                 .properties = {{"architecture", model.architecture()},
                                {"task", std::string(model.task())},
                                {"precision", model.precision_name()},
                                {"cpu_path", model.cpu_path()},
                                {"dimensions", absl::StrCat(config.embedding_size)},
                                {"layers", absl::StrCat(layers)},
                                {"heads", absl::StrCat(heads)},
                                {"max_tokens", absl::StrCat(config.max_tokens)},
                                {"pooling", pooling},
                                {"normalize", config.pooling.normalize ? "true" : "false"}}};
  if (IsReranker(config)) text.inputs.push_back({"query", OipType::kBytes, {kAny, 1}, true});
  if (labels == 0) return text;
  TensorText scores{kOipEncoderOutputs[kOutScores], OipType::kFp32, {kAny, labels}};
  if (config.task != Task::kClassify) scores.shape = {kAny, kAny, labels};
  // The default output is the first one.
  text.outputs.insert(DefaultOipOutput(config) == kOutScores ? text.outputs.begin() : text.outputs.end(), scores);
  if (!config.labels.empty()) text.properties["labels"] = absl::StrJoin(config.labels, ",");
  return text;
}

ModelText DescribeDecoder(const ServedModel& model) {
  const ModelShape shape = model.shape();
  return {.platform = "attnd_decoder",
          .batches = false,
          .inputs = {{"text", OipType::kBytes, {1}, true}, {"input_ids", OipType::kInt64, {1, kAny}, true}},
          .outputs = {{kOipDecoderOutputs[kGenText], OipType::kBytes, {1}},
                      {kOipDecoderOutputs[kGenTokenIds], OipType::kInt32, {kAny}},
                      {kOipDecoderOutputs[kGenLogprobs], OipType::kFp32, {kAny}},
                      {kOipDecoderOutputs[kGenPromptLogprobs], OipType::kFp32, {kAny}},
                      {kOipDecoderOutputs[kGenAttention], OipType::kFp32, {shape.layers, shape.heads, kAny, kAny}}},
          .properties = {{"architecture", model.architecture()},
                         {"task", std::string(model.task())},
                         {"precision", model.precision_name()},
                         {"cpu_path", model.cpu_path()},
                         {"dimensions", absl::StrCat(shape.dimensions)},
                         {"layers", absl::StrCat(shape.layers)},
                         {"heads", absl::StrCat(shape.heads)},
                         {"max_tokens", absl::StrCat(shape.max_tokens)}}};
}

ModelText Describe(const ServedModel& model) {
  return model.is_operator()  ? DescribeOperator()
         : model.is_decoder() ? DescribeDecoder(model)
                              : DescribeEncoder(model);
}

inference::DataType ConfigType(OipType type) {
  switch (type) {
    case OipType::kBool:
      return inference::TYPE_BOOL;
    case OipType::kInt32:
      return inference::TYPE_INT32;
    case OipType::kInt64:
      return inference::TYPE_INT64;
    case OipType::kFp32:
      return inference::TYPE_FP32;
    case OipType::kBytes:
      return inference::TYPE_STRING;
  }
  return inference::TYPE_INVALID;
}

template <typename Tensor>
void FillConfigTensor(const TensorText& text, bool batches, Tensor& tensor) {
  tensor.set_name(std::string(text.name));
  tensor.set_data_type(ConfigType(text.type));
  for (size_t i = batches ? 1 : 0; i < text.shape.size(); ++i) tensor.add_dims(text.shape[i]);
}

void FillDuration(uint64_t count, uint64_t ns, inference::StatisticDuration& duration) {
  duration.set_count(count);
  duration.set_ns(ns);
}

}  // namespace

void DescribeServer(inference::ServerMetadataResponse& response) {
  response.set_name("attnd");
  response.set_version(std::string(kServerVersion));
  for (const char* extension :
       {"binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"}) {
    response.add_extensions(extension);
  }
}

void DescribeModel(const ServedModel& model, inference::ModelMetadataResponse& response) {
  const ModelText text = Describe(model);
  response.set_name(model.name);
  response.add_versions("1");
  response.set_platform(text.platform);
  const auto fill = [](const TensorText& from, inference::ModelMetadataResponse::TensorMetadata& to) {
    to.set_name(std::string(from.name));
    to.set_datatype(std::string(OipTypeName(from.type)));
    to.mutable_shape()->Add(from.shape.begin(), from.shape.end());
  };
  for (const TensorText& input : text.inputs) fill(input, *response.add_inputs());
  for (const TensorText& output : text.outputs) fill(output, *response.add_outputs());
  response.mutable_properties()->insert(text.properties.begin(), text.properties.end());
}

void DescribeConfig(const ServerContext& context, const ServedModel& model, inference::ModelConfig& config) {
  const ModelText text = Describe(model);
  config.set_name(model.name);
  config.set_platform(text.platform);
  config.set_backend("attnd");
  config.mutable_version_policy()->mutable_latest()->set_num_versions(1);
  if (text.batches) config.set_max_batch_size(static_cast<int32_t>(context.limits.max_texts_per_call));
  if (!model.is_decoder()) {
    config.mutable_dynamic_batching()->set_max_queue_delay_microseconds(
        static_cast<uint64_t>(context.queue.max_queue_delay_us));
  }
  config.mutable_model_transaction_policy()->set_decoupled(model.is_decoder());
  for (const TensorText& input : text.inputs) {
    inference::ModelInput& to = *config.add_input();
    FillConfigTensor(input, text.batches, to);
    to.set_optional(input.optional);
  }
  for (const TensorText& output : text.outputs) FillConfigTensor(output, text.batches, *config.add_output());
  for (const auto& property : text.properties) {
    (*config.mutable_parameters())[property.first].set_string_value(property.second);
  }
}

void DescribeStatistics(const ServedModel& model, inference::ModelStatistics& statistics) {
  const ModelCounters& counters = *model.counters;
  statistics.set_name(model.name);
  statistics.set_version("1");
  statistics.set_last_inference(static_cast<uint64_t>(counters.last_unix_ms.load()));
  // Of a decoder an execution is a step: one pass through the model, for prompts in part or in whole and for a token
  // each of the answers that run. An answer is one inference in many executions, so that the batch sizes, sequences of
  // a step, do not add up to inference_count as an encoder's do.
  statistics.set_inference_count(counters.sequences.load());
  statistics.set_execution_count(counters.batches.load());
  inference::InferStatistics& sums = *statistics.mutable_inference_stats();
  const uint64_t succeeded = counters.succeeded.load();
  FillDuration(succeeded, counters.succeeded_ns.load(), *sums.mutable_success());
  FillDuration(counters.failed.load(), counters.failed_ns.load(), *sums.mutable_fail());
  FillDuration(succeeded, counters.queue_ns.load(), *sums.mutable_queue());
  FillDuration(succeeded, counters.input_ns.load(), *sums.mutable_compute_input());
  FillDuration(succeeded, counters.compute_ns.load(), *sums.mutable_compute_infer());
  FillDuration(succeeded, counters.output_ns.load(), *sums.mutable_compute_output());
  sums.mutable_cache_hit();
  sums.mutable_cache_miss();
  for (const auto& [sequences, sum] : counters.BatchSums()) {
    inference::InferBatchStatistics& batch = *statistics.add_batch_stats();
    batch.set_batch_size(static_cast<uint64_t>(sequences));
    FillDuration(sum.batches, sum.compute_ns, *batch.mutable_compute_infer());
    // Input and output are work of calls, not of batches.
    FillDuration(sum.batches, 0, *batch.mutable_compute_input());
    FillDuration(sum.batches, 0, *batch.mutable_compute_output());
  }
  if (model.is_operator()) return;
  inference::MemoryUsage& memory = *statistics.add_memory_usage();
  memory.set_type("CPU");
  memory.set_byte_size(static_cast<uint64_t>(model.shape().weight_bytes));
}

}  // namespace attnd
