// What becomes of a generation: text as it comes, JSON lines, a table of log-probabilities, a line of figures.
#ifndef ATTND_CLIENT_RENDER_GENERATION_H_
#define ATTND_CLIENT_RENDER_GENERATION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/generation.h"
#include "client/io.h"

namespace attnd {

// Takes the events of one generation in order, then Finish once, also after a failure or Ctrl-C.
class GenerationWriter {
 public:
  virtual ~GenerationWriter() = default;
  // Not OK: what the server sent makes no sense.
  virtual absl::Status Take(const v1::GenerateResponse& event) = 0;
  virtual void Finish() = 0;
};

// The text alone, flushed token by token; several answers one after the other, each once it is whole, under a heading.
std::unique_ptr<GenerationWriter> MakeTextWriter(Io& io, uint32_t answers);
// An object a line: {"event": "start" | "token" | "end" | "summary", ...}. `attention_dtype` is what was asked for.
std::unique_ptr<GenerationWriter> MakeEventWriter(std::ostream& out, v1::AttentionDType attention_dtype);
// The text by `text`, and at the end a table: each token, its log-probability, the most probable ones in its place.
// With prompt log-probabilities, the tokens of the prompt before it. `prompt_text` as for PromptPieces; outlives it.
std::unique_ptr<GenerationWriter> MakeLogprobWriter(Io& io, std::unique_ptr<GenerationWriter> text,
                                                    const std::string* prompt_text);

// "24 tokens, stop; first after 83 ms, then 57.1 tokens/s; prompt 12 tokens (8 cached); seed 42". No line break.
std::string UsageLine(const GenerationUsage& usage, bool sampled);

// A token as one sees it: "·the" for a leading space, "\n" for a line break.
std::string VisibleToken(absl::string_view text);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_GENERATION_H_
