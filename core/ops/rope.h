// RoPE: rotary position embedding. "RoFormer", Su et al., 2021, and the ways its frequencies are stretched for longer
// contexts.
#ifndef ATTND_CORE_OPS_ROPE_H_
#define ATTND_CORE_OPS_ROPE_H_

#include <cstdint>
#include <vector>

#include "core/base/aligned.h"

namespace attnd {

// Which two elements of a head turn together: kHalves (i, i + rotary_dim / 2), as Hugging Face stores weights;
// kInterleaved (2i, 2i + 1), as GPT-J and the llama weights of GGUF do.
enum class RopeLayout { kHalves, kInterleaved };

// kLinear: every frequency divided by `factor`. kLlama3: low ones divided, high ones kept, smooth between. kYarn:
// "YaRN", Peng et al., 2023. kFactors: frequency i divided by factors[i] (Phi-3's longrope).
enum class RopeScalingKind { kNone, kLinear, kLlama3, kYarn, kFactors };

struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double factor = 1;              // how much longer the context became, at least 1
  double original_positions = 0;  // kLlama3, kYarn: the context before, in tokens
  double low_freq_factor = 1;     // kLlama3
  double high_freq_factor = 4;    // kLlama3, above low_freq_factor
  double beta_fast = 32;          // kYarn
  double beta_slow = 1;           // kYarn
  double attention_factor = 0;    // multiplies cosine and sine; 0: by the kind's formula
  std::vector<double> factors;    // kFactors: [rotary_dim / 2]
};

struct RopeOptions {
  int rotary_dim = 0;    // even; elements of a head beyond it stay as they are
  double theta = 10000;  // base of the frequencies
  RopeScaling scaling;
};

// Radians a position: [rotary_dim / 2], in f32 as the reference implementations keep them.
std::vector<float> RopeFrequencies(const RopeOptions& options);

// Cosines and sines of all positions, made once. Immutable after construction; any number of threads may use it.
class RopeTable {
 public:
  RopeTable() = default;
  RopeTable(const RopeOptions& options, int positions);

  int64_t bytes() const { return static_cast<int64_t>((cosines_.size() + sines_.size()) * sizeof(float)); }

  // Turns the `heads` heads of each row in place: row r by the angles of positions[r], each below those it was made
  // for.
  void Rotate(RopeLayout layout, const int32_t* positions /* [rows] */, int rows, int heads, int head_dim,
              int64_t stride, float* x /* [rows, stride], the first heads * head_dim of each */) const;

 private:
  int pairs_ = 0;
  AlignedBuffer<float> cosines_;  // [positions, pairs]
  AlignedBuffer<float> sines_;    // [positions, pairs]
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ROPE_H_
