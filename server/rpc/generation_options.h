// attnd.v1's GenerationOptions as the core understands them.
#ifndef ATTND_SERVER_RPC_GENERATION_OPTIONS_H_
#define ATTND_SERVER_RPC_GENERATION_OPTIONS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attnd/v1/generation.pb.h"
#include "core/engine/generation.h"
#include "core/model/decoder_model.h"

namespace attnd {

inline constexpr uint32_t kAnswersMax = 64;

// Everything but the prompt and the number of answers. kInvalidArgument: names "field.part", where `field` is where the
// options stand in the request.
absl::StatusOr<GenerationRequest> ToGenerationRequest(const v1::GenerationOptions& options, const DecoderModel& model,
                                                      absl::string_view field = "options");

// One request for each of `n` answers (0: 1), which differ in their seeds. kInvalidArgument: names "options.n".
absl::StatusOr<std::vector<GenerationRequest>> ForEachAnswer(const GenerationRequest& request, uint32_t n);

// Puts a field to an error of CheckGeneration, which begins with the core's name of it: "temperature is -1, ..." is of
// `options`.temperature, "prompt has ..." of the field `prompt`. OK stays OK.
absl::Status GenerationError(const absl::Status& status, absl::string_view options, absl::string_view prompt);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_GENERATION_OPTIONS_H_
