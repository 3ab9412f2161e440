// The text so far, coloured by the attention behind its newest token.
#ifndef ATTND_CLIENT_RENDER_CONTEXT_VIEW_H_
#define ATTND_CLIENT_RENDER_CONTEXT_VIEW_H_

#include <memory>
#include <string>
#include <vector>

#include "client/io.h"
#include "client/render/generation.h"

namespace attnd {

struct ContextPiece {
  std::string text;     // of one token; may hold line breaks
  double level = -1;    // 0 to 1 on the palette; below 0: not coloured
  bool answer = false;  // underlined
};

// The pieces in lines of at most `columns` terminal columns, broken before words where that is possible.
std::vector<std::string> ContextLines(const std::vector<ContextPiece>& pieces, int columns, Colors colors);

// "cat 0.41  it 0.17  mat 0.11": the largest of `weights` [pieces] but the first, which is often a sink, as long as
// there is room.
std::string StrongestKeys(const std::vector<float>& weights, const std::vector<ContextPiece>& pieces, int room);

// Draws prompt and answer over and over in place, each token of the answer by the weights behind the newest one, and at
// the end by their mean over all tokens; the prompt's first token is left out of the scale and named. Where there are
// no colours or no terminal: a line a token with its strongest keys. For one answer, one row a token (dense f16).
// `heads` says in the legend which heads the rows are of. `prompt_text` as for PromptPieces; outlives it.
std::unique_ptr<GenerationWriter> MakeContextWriter(Io& io, const std::string& heads, const std::string* prompt_text);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_CONTEXT_VIEW_H_
