// The architectures, by config.json's model_type.
#include <array>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/model/bert.h"
#include "core/model/encoder.h"

namespace attnd {
namespace {

struct Architecture {
  std::string_view model_type;
  absl::StatusOr<std::unique_ptr<Encoder>> (*make)(const ModelConfig&, const TensorSource&);
};
constexpr std::array kArchitectures = {Architecture{"bert", MakeBert}};

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(const ModelConfig& config, const TensorSource& file) {
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (config.model_type == architecture.model_type) return architecture.make(config, file);
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(architecture.model_type));
  }
  return absl::UnimplementedError(absl::StrCat("config.json: model_type \"", config.model_type.substr(0, 64),
                                               "\" is not known; known are: ", known));
}

}  // namespace attnd
