#include "core/model/registry.h"

#include <array>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/model/architectures.h"

namespace attnd {
namespace {

struct Architecture {
  std::string_view model_type;
  absl::StatusOr<std::unique_ptr<Encoder>> (*make)(const ModelConfig&, const TensorSource&);
  absl::StatusOr<std::unique_ptr<Head>> (*make_head)(const ModelConfig&, const TensorSource&);
};
constexpr std::array kArchitectures = {
    Architecture{"bert", MakeBert, MakeBertHead},
    Architecture{"distilbert", MakeDistilBert, MakeDistilBertHead},
    Architecture{"roberta", MakeRoberta, MakeRobertaHead},
    Architecture{"xlm-roberta", MakeRoberta, MakeRobertaHead},
    Architecture{"camembert", MakeRoberta, MakeRobertaHead},
    Architecture{"mpnet", MakeMpnet, MakeMpnetHead},
    Architecture{"electra", MakeElectra, MakeElectraHead},
    Architecture{"albert", MakeAlbert, MakeAlbertHead},
    Architecture{"modernbert", MakeModernBert, MakeModernBertHead},
};

absl::StatusOr<Architecture> Find(const ModelConfig& config) {
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (config.model_type == architecture.model_type) return architecture;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(architecture.model_type));
  }
  const std::string type = config.model_type.substr(0, 64);
  return absl::UnimplementedError(absl::StrCat("model_type \"", type, "\" is not known; known: ", known));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(const ModelConfig& config, const TensorSource& file) {
  auto architecture = Find(config);
  if (!architecture.ok()) return architecture.status();
  return architecture->make(config, file);
}

absl::StatusOr<std::unique_ptr<Head>> MakeHead(const ModelConfig& config, const TensorSource& file) {
  if (config.task == Task::kEmbed) return nullptr;
  auto architecture = Find(config);
  if (!architecture.ok()) return architecture.status();
  auto head = architecture->make_head(config, file);
  if (head.ok()) return head;
  const std::string name = config.architectures.empty() ? "the task" : config.architectures.front().substr(0, 64);
  return absl::Status(
      head.status().code(),
      absl::StrCat(head.status().message(), " (the head that config.json's architectures names: ", name, ")"));
}

}  // namespace attnd
