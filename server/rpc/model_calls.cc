#include "server/rpc/model_calls.h"

#include <string>

#include "core/base/cpu.h"
#include "server/rpc/task_check.h"

namespace attnd {
namespace {

const char* PoolingName(const PoolingConfig& pooling) {
  if (pooling.last_token) return "last";
  const PoolingMode mode = pooling.mode;
  return mode == PoolingMode::kMean ? "mean" : mode == PoolingMode::kCls ? "cls" : "max";
}

void FillDecoderInfo(const GenerationRunner& decoder, v1::ModelInfo& info) {
  for (const char* call :
       {"Generate", "Score", "Embed", "EmbedStream", "Attend", "EstimateAttention", "Tokenize", "Detokenize"}) {
    info.add_calls(call);
  }
  if (decoder.model().chat_template != nullptr) info.add_calls("Chat");
}

void FillModelInfo(const ServedModel& served, v1::ModelInfo& info) {
  info.set_name(served.name);
  info.set_precision(served.precision_name());
  info.set_cpu_path(served.cpu_path());
  if (served.is_operator()) {
    info.set_architecture("attention");
    info.add_calls("ComputeAttention");
    return;
  }
  const ModelShape shape = served.shape();
  info.set_architecture(served.architecture());
  info.set_layers(shape.layers);
  info.set_heads(shape.heads);
  info.set_max_tokens(shape.max_tokens);
  info.set_vocabulary_size(shape.vocabulary);
  info.set_weight_bytes(static_cast<uint64_t>(shape.weight_bytes));
  info.set_task(std::string(served.task()));
  const EmbeddingConfig& embedding = served.embedding();
  info.set_dimensions(embedding.embedding_size);
  info.set_pooling(PoolingName(embedding.pooling));
  info.set_normalize(embedding.pooling.normalize);
  info.mutable_prompts()->insert(embedding.prompts.begin(), embedding.prompts.end());
  info.set_default_prompt(embedding.default_prompt_name);
  if (served.is_decoder()) return FillDecoderInfo(*served.decoder, info);
  const ModelConfig& config = served.model->config;
  info.mutable_labels()->Add(config.labels.begin(), config.labels.end());
  for (const char* call : {"Embed", "EmbedStream", "Attend", "EstimateAttention", "Tokenize", "Detokenize"}) {
    info.add_calls(call);
  }
  if (config.task == Task::kClassify) info.add_calls("Classify");
  if (IsReranker(config)) info.add_calls("Rerank");
  if (config.task == Task::kTokenClassify) info.add_calls("TokenClassify");
  if (config.task == Task::kFillMask) info.add_calls("FillMask");
}

}  // namespace

void ListModelsCall::Run() {
  Response response;
  for (const ServedModelPtr& model : context_.models.models()) FillModelInfo(*model, *response.add_models());
  FillModelInfo(*context_.models.attention(), *response.add_models());
  response.set_server_version(std::string(kServerVersion));
  v1::ServerLimits& limits = *response.mutable_limits();
  limits.set_max_texts_per_call(static_cast<uint32_t>(context_.limits.max_texts_per_call));
  limits.set_max_text_bytes(static_cast<uint64_t>(context_.limits.max_text_bytes));
  limits.set_max_message_bytes(static_cast<uint64_t>(context_.limits.max_message_bytes));
  limits.set_max_attention_bytes(static_cast<uint64_t>(context_.limits.max_attention_bytes));
  limits.set_max_attention_memory_bytes(static_cast<uint64_t>(context_.limits.max_attention_memory_bytes));
  limits.set_max_queue_tokens(static_cast<uint64_t>(context_.queue.max_queue_tokens));
  limits.set_max_queue_requests(static_cast<uint64_t>(context_.queue.max_queue_requests));
  Respond(response);
}

void GetModelCall::Run() {
  ServedModelPtr served = context_.models.Find(request_.model());
  if (served == nullptr) {
    auto resolved = context_.models.Resolve(request_.model());
    if (!resolved.ok()) return Fail(WithField(resolved.status(), "model"));
    served = *std::move(resolved);
  }
  Response response;
  FillModelInfo(*served, response);
  Respond(response);
}

}  // namespace attnd
