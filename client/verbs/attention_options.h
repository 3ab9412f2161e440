// The options that say which attention is meant, shared by attend and estimate.
#ifndef ATTND_CLIENT_VERBS_ATTENTION_OPTIONS_H_
#define ATTND_CLIENT_VERBS_ATTENTION_OPTIONS_H_

#include <string>

#include "absl/status/statusor.h"
#include "attnd/v1/attention.pb.h"
#include "client/verbs/verb.h"

namespace attnd {

struct AttentionOptions {
  std::string layer;
  std::string head;
  std::string reduce = "none";
  std::string special = "keep";
  bool words = false;
};

void AddAttentionOptions(CLI::App* verb, AttentionOptions& options);

// "3" and "5" -> "3:5"; "3" alone -> "3:*"; a head alone -> "*:5"; a head that names its layer ("L3H5", "7-9:0-3")
// is the whole selection and forbids a layer beside it; nothing -> "" (all).
absl::StatusOr<std::string> SelectionText(const std::string& layer, const std::string& head);

// Everything but content, layout and dtype.
absl::StatusOr<v1::AttentionSpec> MakeSpec(const AttentionOptions& options);

}  // namespace attnd

#endif  // ATTND_CLIENT_VERBS_ATTENTION_OPTIONS_H_
