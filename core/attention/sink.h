// AttentionSink: where the attention op hands over probabilities while they are hot.
#ifndef ATTND_CORE_ATTENTION_SINK_H_
#define ATTND_CORE_ATTENTION_SINK_H_

namespace attnd {

// Softmax(Q K^T / sqrt(d_k)) for consecutive query rows of one head of one sequence. Rows sum to 1 (fully masked rows
// to 0).
struct AttentionTile {
  int layer;                       // zero-based
  int head;                        // zero-based
  int query_begin;                 // first query row of the tile, within the sequence
  int query_count;                 // rows in the tile
  int key_count;                   // visible keys: all tokens of the sequence
  const float* probabilities;      // [query_count, stride], the first key_count columns of each row are valid
  int stride;                      // floats from one row to the next
  const float* entropy = nullptr;  // [query_count], of the rows in nats; may be null
};

// One sink serves one sequence of one step.
// Thread rules: Wants() and Tile() are called concurrently by several workers, Tile() for disjoint (layer, head, rows);
// each (layer, head, row) that Wants() accepted arrives exactly once, of a decoder again, with the same numbers, where
// a sequence is computed again (GenerationRequest::attention). Tile() must not block or keep the pointers. Everything
// written in Tile() is visible to the caller of Engine::Run when it returns.
class AttentionSink {
 public:
  virtual ~AttentionSink() = default;
  // Whether any tile of (layer, head) is wanted. Constant through a step; must be cheap.
  virtual bool Wants(int layer, int head) const = 0;
  virtual void Tile(const AttentionTile& tile) = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_SINK_H_
