// HeadSelection: which heads of which layers a request asks for.
#ifndef ATTND_CORE_ATTENTION_SELECTION_H_
#define ATTND_CORE_ATTENTION_SELECTION_H_

#include <compare>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attnd {

// Zero-based numbers of the model, whatever is selected. -1 in a map's label: reduced over that axis.
struct LayerHead {
  int layer = 0;
  int head = 0;
  auto operator<=>(const LayerHead&) const = default;
};

// A non-empty sorted set of (layer, head) of a model of `layers` x `heads`. A value; reading it is thread-safe.
//
// Every parse takes negative numbers as counted from the end (-1 is the last), ranges with both ends included, and
// lists separated by commas or spaces. Errors are kInvalidArgument: they name `field`, the item's position in the list
// and the limit, never the text.
class HeadSelection {
 public:
  // Every head of every layer.
  static HeadSelection All(int layers, int heads);

  // Items: "L3H5", "L4H*" or "L4" (all heads of a layer), "L*H2" or "H2" (a head of all layers), "7-9:0-3" (layers :
  // heads), "0" and "7-9" (layers, all heads), "*". A side of an item is a number, a range or "*". The empty text
  // selects everything.
  static absl::StatusOr<HeadSelection> Parse(absl::string_view text, int layers, int heads,
                                             absl::string_view field = "selection");

  // The Open Inference parameters `layers` and `heads`: lists such as "0,5", "7-9" or "*"; every head listed of every
  // layer listed. An empty text selects everything along its axis.
  static absl::StatusOr<HeadSelection> ParseCross(absl::string_view layers_text, absl::string_view heads_text,
                                                  int layers, int heads);

  const std::vector<LayerHead>& items() const { return items_; }  // sorted by layer, then head; never empty
  int size() const { return static_cast<int>(items_.size()); }
  // Position in items(), or -1.
  int IndexOf(int layer, int head) const { return index_[static_cast<size_t>(layer) * heads_ + head]; }
  int layers() const { return layers_; }  // of the model
  int heads() const { return heads_; }    // of the model

 private:
  HeadSelection(int layers, int heads, std::vector<int32_t> index);

  int layers_;
  int heads_;
  std::vector<LayerHead> items_;
  std::vector<int32_t> index_;  // [layers, heads]
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_SELECTION_H_
