#include "core/weights/tensor_source.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace attnd {

absl::Status CheckShape(const std::string& source, std::string_view tensor, absl::Span<const int64_t> shape,
                        absl::Span<const int64_t> expected) {
  const auto matches = [](int64_t extent, int64_t want) { return want < 0 || extent == want; };
  if (std::equal(shape.begin(), shape.end(), expected.begin(), expected.end(), matches)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(source, ": tensor ", QuotedName(tensor), " has shape ",
                                                 ShapeText(shape), ", expected ", ShapeText(expected)));
}

absl::Status MissingTensor(const std::string& source, std::string_view tensor) {
  return absl::InvalidArgumentError(absl::StrCat(source, ": tensor ", QuotedName(tensor), " is missing"));
}

std::string ShapeText(absl::Span<const int64_t> shape) {
  return absl::StrCat("[",
                      absl::StrJoin(shape, ", ",
                                    [](std::string* out, int64_t extent) {
                                      if (extent < 0) {
                                        out->append("any");
                                      } else {
                                        absl::StrAppend(out, extent);
                                      }
                                    }),
                      "]");
}

std::string QuotedName(std::string_view name) {
  constexpr size_t kMax = 96;  // printed: an escape is four characters, and one name may stand inside another's error
  std::string quoted = "'";
  for (const char c : name) {
    const std::string shown = absl::CHexEscape(std::string(1, c));
    if (quoted.size() + shown.size() > kMax) return absl::StrCat(quoted, "...'");
    quoted += shown;
  }
  return absl::StrCat(quoted, "'");
}

}  // namespace attnd
