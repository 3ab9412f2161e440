// WantedRows: the attention of a generation, for whoever looks at it and without what nobody is to see.
#ifndef ATTND_CORE_ENGINE_WANTED_ROWS_H_
#define ATTND_CORE_ENGINE_WANTED_ROWS_H_

#include <cstdint>
#include <vector>

#include "core/attention/sink.h"
#include "core/base/aligned.h"
#include "core/engine/generation.h"

namespace attnd {

// Hands on only the rows that somebody looks at: some of the prompt's, and those that give tokens of the answer. Rows
// of drafts are kept back until it is known which of them were right. A sink's thread rules hold; all but Wants() and
// Tile() is for between steps.
class WantedRows : public AttentionSink {
 public:
  // The shape is the model's. request.attention may be null: then nothing is wanted; else it must outlive this.
  WantedRows(const GenerationRequest& request, int layers, int heads);

  // The first of rows [begin, end) that is handed on; end: none is.
  int From(int begin, int end) const;

  // How many rows can be kept back of a step whose last row sees `keys` keys: they may take kKeptFloats
  // together.
  int KeepAtMost(int keys) const;
  // Of the next step, rows [begin, begin + count) are kept back; count may be 0. Forgets what was kept before.
  void Keep(int begin, int count);
  // Row `row`, which was kept back, was right: hands it on. In the order of rows.
  void HandOn(int row);

  bool Wants(int layer, int head) const override { return sink_->Wants(layer, head); }
  void Tile(const AttentionTile& tile) override;

  static constexpr int64_t kKeptFloats = 1 << 20;  // 4 MiB: 8 drafts of 270 heads up to 440 keys
  static constexpr int kKeysStep = 64;             // what a row may take is rounded up to: it grows in few steps

 private:
  void Part(const AttentionTile& tile, int begin, int end);
  void KeepBack(const AttentionTile& tile, int begin, int end);
  float* KeptRow(int head, int row) { return kept_.data() + (int64_t{head} * kept_count_ + row) * kept_keys_; }

  AttentionSink* const sink_;
  const TokenSpan of_prompt_;
  const int answer_;  // first row that gives a token of the answer
  const int heads_;
  std::vector<int> wanted_;  // [layers, heads], position among those that are wanted, or -1
  int wanted_count_ = 0;
  int kept_begin_ = 0, kept_count_ = 0, kept_keys_ = 0;
  AlignedBuffer<float> kept_;  // [wanted heads, kept_count, kept_keys]
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_WANTED_ROWS_H_
