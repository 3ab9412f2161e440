#include "core/model/decoder_weights.h"

#include <algorithm>
#include <bit>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/cpu.h"
#include "core/base/work_team.h"
#include "core/ops/packed_weights.h"
#include "core/ops/quantize.h"

namespace attnd {
namespace {

// A weight as it goes into a Linear.
struct Matrix {
  std::vector<float> weight;  // [outputs, inputs]
  std::vector<float> bias;    // [outputs] or empty
};

class Reader {
 public:
  Reader(const DecoderConfig& config, const TensorSource& source, CheckpointNames names, Precision precision)
      : config_(config),
        source_(source),
        precision_(precision),
        gguf_(names == CheckpointNames::kGguf),
        names_(DecoderNamesOf(config.model_type, names)),
        // Checkpoints of the bare model leave the first part of every name out.
        bare_(!source.Contains(absl::StrCat(names_.embedding, ".weight"))) {}

  absl::StatusOr<DecoderWeights> Read();

 private:
  std::string NameOf(const char* name, int layer) const {
    std::string full = absl::StrReplaceAll(name, {{"#", absl::StrCat(layer)}});
    if (bare_ && std::string(name) != names_.head) full = full.substr(full.find('.') + 1);
    return full;
  }
  bool Has(const char* name, int layer) const {
    return *name != '\0' && source_.Contains(NameOf(name, layer) + ".weight");
  }
  std::vector<float> Tensor(const std::string& name, absl::Span<const int64_t> shape) {
    if (!status_.ok()) return {};
    auto tensor = source_.ReadF32(name, shape);
    if (!tensor.ok()) status_ = tensor.status();
    return tensor.ok() ? *std::move(tensor) : std::vector<float>();
  }

  Matrix ReadMatrix(const char* name, int layer, int outputs, int inputs) {
    const std::string full = NameOf(name, layer);
    Matrix matrix;
    if (config_.transposed && !gguf_) {
      const std::vector<float> stored = Tensor(full + ".weight", {inputs, outputs});
      matrix.weight.resize(stored.size());
      for (size_t i = 0; i < stored.size(); ++i) {
        matrix.weight[i % outputs * inputs + i / outputs] = stored[i];
      }
    } else {
      matrix.weight = Tensor(full + ".weight", {outputs, inputs});
    }
    if (source_.Contains(full + ".bias")) matrix.bias = Tensor(full + ".bias", {outputs});
    return matrix;
  }
  Linear ReadLinear(const char* name, int layer, int outputs, int inputs) {
    return Pack(ReadMatrix(name, layer, outputs, inputs), outputs, inputs);
  }
  // After a fault the matrix is empty, and so is what is packed of it.
  Linear Pack(const Matrix& matrix, int outputs, int inputs) const {
    if (!status_.ok()) return Linear({}, {}, 0, inputs);
    return Linear(matrix.weight, matrix.bias, outputs, inputs, precision_, kDecoderGroupInputs, /*compact=*/true);
  }

  DecoderNorm ReadNorm(const char* name, int layer, int columns) {
    const std::string full = NameOf(name, layer);
    DecoderNorm norm;
    norm.weight = Tensor(full + ".weight", {columns});
    if (!config_.rms_norm) norm.bias = Tensor(full + ".bias", {columns});
    if (config_.norm_plus_one && !gguf_) {
      for (float& weight : norm.weight) weight += 1.0f;
    }
    return norm;
  }

  // What was put together has a bias for all of its rows, or for none: else one would be of other rows than its own.
  void CheckBias(const Matrix& together, int rows, int layer, const char* parts) {
    if (!status_.ok() || together.bias.empty() || together.bias.size() == static_cast<size_t>(rows)) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat(source_.name(), ": layer ", layer, " has a bias for some of ", parts, " only"));
  }

  Matrix ReadQueryKeyValue(int layer);
  Matrix ReadUp(int layer);
  DecoderLayer ReadLayer(int layer);
  Linear ReadHead(const std::vector<float>& embedding);

  const DecoderConfig& config_;
  const TensorSource& source_;
  const Precision precision_;
  const bool gguf_;  // its converter did away with the families' own layouts
  const DecoderNames& names_;
  const bool bare_;
  absl::Status status_;  // the first fault
};

void Append(Matrix part, Matrix& to) {
  to.weight.insert(to.weight.end(), part.weight.begin(), part.weight.end());
  to.bias.insert(to.bias.end(), part.bias.begin(), part.bias.end());
}

// Rows of head h are query, key, value of that head: all queries first, then all keys, then all values.
Matrix PartHeads(const Matrix& joined, int heads, int head_dim, int inputs) {
  Matrix parted = joined;
  for (int part = 0; part < 3; ++part) {
    for (int h = 0; h < heads; ++h) {
      for (int d = 0; d < head_dim; ++d) {
        const int64_t from = (int64_t{h} * 3 + part) * head_dim + d;
        const int64_t to = (int64_t{part} * heads + h) * head_dim + d;
        std::copy_n(joined.weight.begin() + from * inputs, inputs, parted.weight.begin() + to * inputs);
        if (!joined.bias.empty()) parted.bias[to] = joined.bias[from];
      }
    }
  }
  return parted;
}

Matrix Reader::ReadQueryKeyValue(int layer) {
  const int hidden = config_.hidden_size, dim = config_.head_dim;
  const int queries = config_.heads * dim, keys = config_.key_heads * dim;
  if (Has(names_.joined, layer)) {
    Matrix joined = ReadMatrix(names_.joined, layer, queries + 2 * keys, hidden);
    const bool part = config_.qkv_interleaved && !gguf_ && status_.ok();
    return part ? PartHeads(joined, config_.heads, dim, hidden) : joined;
  }
  Matrix all = ReadMatrix(names_.query, layer, queries, hidden);
  Append(ReadMatrix(names_.key, layer, keys, hidden), all);
  Append(ReadMatrix(names_.value, layer, keys, hidden), all);
  CheckBias(all, queries + 2 * keys, layer, "query, key and value");
  return all;
}

Matrix Reader::ReadUp(int layer) {
  const int hidden = config_.hidden_size, wide = config_.intermediate_size;
  if (!config_.gated) return ReadMatrix(names_.up, layer, wide, hidden);
  if (!Has(names_.gate, layer) && Has(names_.gate_up, layer))
    return ReadMatrix(names_.gate_up, layer, 2 * wide, hidden);
  Matrix both = ReadMatrix(names_.gate, layer, wide, hidden);
  Append(ReadMatrix(names_.up, layer, wide, hidden), both);
  CheckBias(both, 2 * wide, layer, "gate and up");
  return both;
}

DecoderLayer Reader::ReadLayer(int layer) {
  const DecoderConfig& c = config_;
  const int queries = c.heads * c.head_dim, keys = c.key_heads * c.head_dim;
  const auto norm_where = [&](bool there, const char* name, int columns) {
    return there ? ReadNorm(name, layer, columns) : DecoderNorm();
  };
  DecoderNorm attention_norm = ReadNorm(names_.attention_norm, layer, c.hidden_size);
  Linear qkv = Pack(ReadQueryKeyValue(layer), queries + 2 * keys, c.hidden_size);
  DecoderNorm query_norm = norm_where(c.query_key_norm, names_.query_norm, c.head_dim);
  DecoderNorm key_norm = norm_where(c.query_key_norm, names_.key_norm, c.head_dim);
  Linear output = ReadLinear(names_.output, layer, c.hidden_size, queries);
  DecoderNorm post_attention = norm_where(c.post_norms, names_.post_attention_norm, c.hidden_size);
  DecoderNorm feed_forward_norm = ReadNorm(names_.feed_forward_norm, layer, c.hidden_size);
  Linear up = Pack(ReadUp(layer), c.gated ? 2 * c.intermediate_size : c.intermediate_size, c.hidden_size);
  Linear down = ReadLinear(names_.down, layer, c.hidden_size, c.intermediate_size);
  DecoderNorm post_feed_forward = norm_where(c.post_norms, names_.post_feed_forward_norm, c.hidden_size);
  return {.attention_norm = std::move(attention_norm),
          .query_key_value = std::move(qkv),
          .query_norm = std::move(query_norm),
          .key_norm = std::move(key_norm),
          .attention_output = std::move(output),
          .post_attention_norm = std::move(post_attention),
          .feed_forward_norm = std::move(feed_forward_norm),
          .up = std::move(up),
          .down = std::move(down),
          .post_feed_forward_norm = std::move(post_feed_forward)};
}

Linear Reader::ReadHead(const std::vector<float>& embedding) {
  const DecoderConfig& c = config_;
  if (c.tied || !Has(names_.head, 0)) {
    return Linear(embedding, {}, c.vocab_size, c.hidden_size, precision_, kDecoderGroupInputs, /*compact=*/true);
  }
  return ReadLinear(names_.head, 0, c.vocab_size, c.hidden_size);
}

absl::StatusOr<DecoderWeights> Reader::Read() {
  const DecoderConfig& c = config_;
  DecoderWeights weights;
  weights.embedding = Tensor(NameOf(names_.embedding, 0) + ".weight", {c.vocab_size, c.hidden_size});
  if (c.learned_positions) {
    weights.positions = Tensor(NameOf(names_.positions, 0) + ".weight", {c.max_tokens, c.hidden_size});
  }
  weights.final_norm = ReadNorm(names_.final_norm, 0, c.hidden_size);
  if (!status_.ok()) return status_;
  // Packing takes longest: every core takes layers, and the head as one more, which is largest and goes first.
  std::vector<std::optional<DecoderLayer>> layers(c.layers);
  std::vector<absl::Status> faults(c.layers + 1);
  WorkTeam team(AvailableCpus());
  WorkTeam::Session session(team);
  session.ParallelFor(c.layers + 1, [&](int64_t task, int) {
    try {
      Reader part(config_, source_, gguf_ ? CheckpointNames::kGguf : CheckpointNames::kHuggingFace, precision_);
      if (task == 0) {
        weights.head.emplace(part.ReadHead(weights.embedding));
      } else {
        layers[task - 1].emplace(part.ReadLayer(static_cast<int>(task) - 1));
      }
      faults[task] = part.status_;
    } catch (const std::bad_alloc&) {  // on a thread that nobody could catch it from
      faults[task] = absl::ResourceExhaustedError(absl::StrCat(source_.name(), ": there is not enough memory for it"));
    }
  });
  std::rotate(faults.begin(), faults.begin() + 1, faults.end());  // the first fault as one reads the model
  for (const absl::Status& fault : faults) status_.Update(fault);
  if (!status_.ok()) return status_;
  for (std::optional<DecoderLayer>& layer : layers) weights.layers.push_back(*std::move(layer));
  if (precision_ != Precision::kF32) {
    weights.narrow_embedding.resize(weights.embedding.size());
    std::transform(weights.embedding.begin(), weights.embedding.end(), weights.narrow_embedding.begin(), ToBf16);
    weights.embedding = std::vector<float>();
  }
  return weights;
}

}  // namespace

int64_t DecoderWeights::bytes() const {
  auto bytes = static_cast<int64_t>((embedding.size() + positions.size()) * sizeof(float) +
                                    narrow_embedding.size() * sizeof(uint16_t));
  for (const DecoderLayer& layer : layers) {
    bytes += layer.query_key_value.bytes() + layer.attention_output.bytes() + layer.up.bytes() + layer.down.bytes();
  }
  return bytes + (head.has_value() ? head->bytes() : 0);
}

void DecoderWeights::Embed(int32_t token, int hidden, float* to) const {
  const int64_t at = int64_t{token} * hidden;
  if (narrow_embedding.empty()) {
    std::copy_n(embedding.data() + at, hidden, to);
    return;
  }
  for (int c = 0; c < hidden; ++c) {
    to[c] = std::bit_cast<float>(static_cast<uint32_t>(narrow_embedding[at + c]) << 16);
  }
}

absl::StatusOr<DecoderWeights> ReadDecoderWeights(const DecoderConfig& config, const TensorSource& source,
                                                  CheckpointNames names, Precision precision) {
  return Reader(config, source, names, precision).Read();
}

}  // namespace attnd
