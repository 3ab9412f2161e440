// Figures of the metrics as cells of a table and as JSON; NaN, where nothing was measured yet, is "-" and null.
#ifndef ATTND_CLIENT_RENDER_STATS_CELLS_H_
#define ATTND_CLIENT_RENDER_STATS_CELLS_H_

#include <cmath>
#include <string>

#include "absl/strings/str_format.h"
#include "client/format.h"
#include "nlohmann/json.hpp"

namespace attnd {

inline std::string MillisecondsCell(double ms) { return std::isnan(ms) ? "-" : Milliseconds(ms); }
inline std::string RateCell(double value) {
  return value < 10 ? absl::StrFormat("%.1f", value) : Thousands(std::llround(value));
}
inline nlohmann::json JsonNumber(double value) {
  return std::isnan(value) ? nlohmann::json(nullptr) : nlohmann::json(value);
}

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_STATS_CELLS_H_
