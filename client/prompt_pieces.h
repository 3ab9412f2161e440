// The tokens of a prompt as the text they stand for.
#ifndef ATTND_CLIENT_PROMPT_PIECES_H_
#define ATTND_CLIENT_PROMPT_PIECES_H_

#include <string>
#include <vector>

#include "attnd/v1/types.pb.h"

namespace attnd {

// The text that each token of a prompt stands for; together they are the prompt, whole characters each: a token that
// ends inside a character is empty, the one that ends the character has it. `text` is the request's; with null (Chat,
// whose prompt the client does not see) the pieces come from how the vocabulary spells the tokens.
std::vector<std::string> PromptPieces(const google::protobuf::RepeatedPtrField<v1::Token>& tokens,
                                      const std::string* text);

}  // namespace attnd

#endif  // ATTND_CLIENT_PROMPT_PIECES_H_
