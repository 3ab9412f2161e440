// The table of heads: what each does, in a line.
#ifndef ATTND_CLIENT_RENDER_HEADS_H_
#define ATTND_CLIENT_RENDER_HEADS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/io.h"
#include "client/maps.h"
#include "nlohmann/json.hpp"

namespace attnd {

// One word for what a head does. By its largest trait above a threshold; "mixed" where none stands out. With the mass
// that tokens receive, a sink is called by its token: "first sink", "[SEP] sink". "induction" and "duplicate" come
// first, where enough tokens repeat to tell.
std::string HeadKind(const HeadStatistics& head, const std::vector<v1::Token>& tokens);
// {"layer", "head", "kind", "entropy", ...}: the scalars of one head.
nlohmann::json HeadJson(const HeadStatistics& head, const std::string& kind);

struct HeadRow {
  HeadStatistics statistics;
  std::string kind;
  float weight = -1;  // between the two words asked for; below 0: none asked for
};

// Orders by "layer" (and head), "entropy", "confidence", "distance", "self", "previous", "next", "special", "kind",
// "weight", "induction" or "duplicate": numbers largest first. kInvalidArgument for another name.
absl::Status SortHeads(std::vector<HeadRow>& rows, const std::string& by);
extern const char* const kHeadSortKeys[12];

// Whether induction or duplicate would be seen: only a text in which a token repeats has them.
bool HasRepeats(const HeadStatistics& head);

// With a header; the entropy as a bar of its share of the most there could be; induction and duplicate where a head has
// them. A table wider than the terminal loses the bar first, then the shares that all heads lack, distance and top.
std::string HeadTable(const std::vector<HeadRow>& rows, const Io& io);

// `share` of `width` columns as a bar, in eighths of a column, or in '#' where `ascii`.
std::string Bar(double share, int width, bool ascii);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_HEADS_H_
