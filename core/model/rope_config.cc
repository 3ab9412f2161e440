#include "core/model/rope_config.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

constexpr double kMost = 1e12;

absl::Status ReadFactors(const JsonObject& from, int pairs, std::vector<double>& factors) {
  const nlohmann::json& list = from.json().at("short_factor");
  if (!list.is_array() || list.size() != static_cast<size_t>(pairs)) {
    return from.Fault("short_factor", absl::StrCat("must be ", pairs, " numbers"));
  }
  for (const nlohmann::json& factor : list) {
    if (!factor.is_number() || !(factor.get<double>() > 0))
      return from.Fault("short_factor", "must be positive numbers");
    factors.push_back(factor.get<double>());
  }
  return absl::OkStatus();
}

// `from`: rope_parameters or rope_scaling.
absl::Status ReadScaling(const JsonObject& file, const JsonObject& from, DecoderConfig& config, RopeOptions& rope) {
  std::string type;
  const char* key = from.Has("rope_type") ? "rope_type" : "type";
  if (absl::Status status = Store(from.String(key, "default"), type); !status.ok()) return status;
  RopeScaling& scaling = rope.scaling;
  if (type == "default" || type == "dynamic") return absl::OkStatus();  // dynamic: as default within the context
  int original = config.max_tokens;
  absl::Status status = Store(from.Number("factor", 1, 1e6, 1), scaling.factor);
  status.Update(Store(file.Int("original_max_position_embeddings", 1, kContextMax, original), original));
  status.Update(Store(from.Int("original_max_position_embeddings", 1, kContextMax, original), original));
  status.Update(Store(from.Number("attention_factor", 1e-6, 1e6, 0), scaling.attention_factor));
  scaling.original_positions = original;
  if (type == "linear") {
    scaling.kind = RopeScalingKind::kLinear;
  } else if (type == "llama3") {
    scaling.kind = RopeScalingKind::kLlama3;
    status.Update(Store(from.Number("low_freq_factor", 1e-6, kMost, 1), scaling.low_freq_factor));
    status.Update(Store(from.Number("high_freq_factor", 1e-6, kMost, 4), scaling.high_freq_factor));
    if (status.ok() && scaling.high_freq_factor <= scaling.low_freq_factor) {
      return from.Fault("high_freq_factor", "must be above low_freq_factor");
    }
  } else if (type == "yarn") {
    scaling.kind = RopeScalingKind::kYarn;
    status.Update(Store(from.Number("beta_fast", 1e-6, kMost, 32), scaling.beta_fast));
    status.Update(Store(from.Number("beta_slow", 1e-6, kMost, 1), scaling.beta_slow));
  } else if (type == "longrope" || type == "su") {
    scaling.kind = RopeScalingKind::kFactors;
    if (absl::Status required = from.Require({"short_factor"}); !required.ok()) return required;
    if (!from.Has("factor")) scaling.factor = std::max(1.0, static_cast<double>(config.max_tokens) / original);
    status.Update(ReadFactors(from, rope.rotary_dim / 2, scaling.factors));
    config.max_tokens = std::min(config.max_tokens, original);
  } else {
    return from.Fault(key, absl::StrCat("is ", ShownValue(type),
                                        "; default, linear, dynamic, llama3, yarn and longrope are supported"));
  }
  return status;
}

// Where present and an object; else an empty one.
JsonObject ObjectAt(const JsonObject& from, const char* key) {
  const bool there = from.Has(key) && from.json().at(key).is_object();
  return JsonObject(there ? from.json().at(key) : nlohmann::json::object(), absl::StrCat(from.name(), ": ", key));
}

absl::Status ReadOne(const JsonObject& file, const JsonObject& parameters, double theta, DecoderConfig& config,
                     RopeOptions& rope) {
  double part = 1;
  absl::Status status = Store(file.Number("rotary_pct", 1e-3, 1, 1), part);
  status.Update(Store(file.Number("partial_rotary_factor", 1e-3, 1, part), part));
  status.Update(Store(parameters.Number("partial_rotary_factor", 1e-3, 1, part), part));
  status.Update(Store(parameters.Number("rope_theta", 1, kMost, theta), rope.theta));
  if (!status.ok()) return status;
  rope.rotary_dim = static_cast<int>(config.head_dim * part);
  return ReadScaling(file, parameters, config, rope);
}

}  // namespace

absl::Status ReadRope(const JsonObject& file, DecoderConfig& config) {
  double theta = 10000, local_theta = 10000;
  absl::Status status = Store(file.Number("rotary_emb_base", 1, kMost, config.has_local_rope ? 1e6 : theta), theta);
  status.Update(Store(file.Number("rope_theta", 1, kMost, theta), theta));
  status.Update(Store(file.Number("rope_local_base_freq", 1, kMost, local_theta), local_theta));
  if (!status.ok()) return status;
  const JsonObject parameters = ObjectAt(file, file.Has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  if (!config.has_local_rope) return ReadOne(file, parameters, theta, config, config.rope);
  const bool by_type = parameters.Has("full_attention");
  status = ReadOne(file, by_type ? ObjectAt(parameters, "full_attention") : parameters, theta, config, config.rope);
  const JsonObject local = by_type ? ObjectAt(parameters, "sliding_attention") : ObjectAt(file, "");
  status.Update(ReadOne(file, local, local_theta, config, config.local_rope));
  return status;
}

}  // namespace attnd
