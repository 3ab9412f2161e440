// What a GGUF file holds beside tensors: the decoder's configuration, its tokenizer and its chat template.
#ifndef ATTND_CORE_MODEL_GGUF_MODEL_H_
#define ATTND_CORE_MODEL_GGUF_MODEL_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/decoder.h"
#include "core/model/decoder_config.h"
#include "core/text/chat_template.h"
#include "core/text/tokenizer.h"
#include "core/weights/gguf.h"

namespace attnd {

// The configuration, with the frequency factors of RoPE that some files hold as a tensor. kInvalidArgument names the
// file, the key and the fault; kUnimplemented: an architecture that is none of those known.
absl::StatusOr<DecoderConfig> LoadGgufConfig(const GgufFile& file);
// How the file embeds: by its pooling_type, last or mean; the last token's row where it says none or nothing. Any other
// is kInvalidArgument. GGUF does not say whether to normalise: not.
absl::StatusOr<EmbeddingConfig> LoadGgufEmbedding(const GgufFile& file, const DecoderConfig& decoder);
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadGgufTokenizer(const GgufFile& file);
// Null where the file has none.
absl::StatusOr<std::unique_ptr<ChatTemplate>> LoadGgufChatTemplate(const GgufFile& file);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_GGUF_MODEL_H_
