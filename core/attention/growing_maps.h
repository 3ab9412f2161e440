// GrowingMaps: the whole causal maps of a sequence whose length is not known before it ends.
#ifndef ATTND_CORE_ATTENTION_GROWING_MAPS_H_
#define ATTND_CORE_ATTENTION_GROWING_MAPS_H_

#include <cstdint>

#include "core/attention/selection.h"
#include "core/attention/sink.h"

namespace attnd {

// A sink of a sequence of at most `tokens` tokens that writes into the caller's memory. Rows may come in pieces and
// more than once.
class GrowingMaps : public AttentionSink {
 public:
  // `maps` is [selected heads, tokens, tokens], zeros; it outlives the sink.
  GrowingMaps(HeadSelection selection, int tokens, float* maps)
      : selection_(std::move(selection)), tokens_(tokens), maps_(maps) {}

  bool Wants(int layer, int head) const override { return selection_.IndexOf(layer, head) >= 0; }
  void Tile(const AttentionTile& tile) override;

  // At the end, once: moves the maps of the first `kept` tokens together, to [selected heads, kept, kept] at the
  // beginning of the memory.
  void Shrink(int kept);

 private:
  const HeadSelection selection_;
  const int tokens_;
  float* const maps_;
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_GROWING_MAPS_H_
