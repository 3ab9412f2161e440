/* The crates of core/text behind a C ABI. Implemented by src/ (Rust), used by the .cc files there only.
 *
 * Texts are UTF-8 with a length, not NUL-terminated; checked by the callee. Pointers to `size` 0 bytes may be null.
 * Out-parameters are written only as stated. No function unwinds, prints, or starts a thread.
 * An attnd_tokenizer is immutable: any number of threads may use one at once. An attnd_encoding belongs to one thread.
 */
#ifndef ATTND_CORE_TEXT_FFI_ATTND_TOKENIZERS_H_
#define ATTND_CORE_TEXT_FFI_ATTND_TOKENIZERS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct attnd_tokenizer attnd_tokenizer;
typedef struct attnd_encoding attnd_encoding;

/* Bytes owned by Rust: give each one that was written back to attnd_string_free, once. */
typedef struct attnd_string {
  uint8_t* data;
  size_t size;
} attnd_string;
void attnd_string_free(attnd_string string); /* data may be null */

enum {
  ATTND_OK = 0,
  ATTND_INVALID = 1,   /* the input is at fault */
  ATTND_INTERNAL = 2,  /* the crate panicked; the tokenizer stays usable */
  ATTND_EXHAUSTED = 3, /* a limit of work was reached */
};
/* Functions that take `error` write it exactly when they return something else than ATTND_OK: at most 403 bytes,
 * without any of the text to encode or decode (errors of attnd_tokenizer_load may quote the file). */

/* Reads the bytes of a tokenizer.json; its truncation and padding are switched off. Writes *out on ATTND_OK: free it.
 */
int attnd_tokenizer_load(const uint8_t* json, size_t size, attnd_tokenizer** out, attnd_string* error);
void attnd_tokenizer_free(attnd_tokenizer* tokenizer); /* may be null */

/* One past the greatest id that an encoding may hold. */
int32_t attnd_tokenizer_id_limit(const attnd_tokenizer* tokenizer);

/* Encodes `first`, or with `pair` the template's join of both. Texts are below 2^31 bytes. Writes *out on ATTND_OK. */
int attnd_tokenizer_encode(const attnd_tokenizer* tokenizer, const uint8_t* first, size_t first_size,
                           const uint8_t* second, size_t second_size, bool pair, bool add_special_tokens,
                           attnd_encoding** out, attnd_string* error);

size_t attnd_encoding_tokens(const attnd_encoding* encoding);
/* Writes attnd_encoding_tokens entries to each array, twice as many to `spans` (begin, end; bytes of the token's text).
 * For tokens that the template added: special 1, span {0, 0}, word -1, sequence -1. Words count within their text. */
void attnd_encoding_read(const attnd_encoding* encoding, int32_t* ids, int32_t* type_ids, int32_t* spans,
                         uint8_t* special, int32_t* word_ids, int8_t* sequence_ids);
void attnd_encoding_free(attnd_encoding* encoding); /* may be null */

/* Text of `ids`. ATTND_INVALID names the first id that is unknown. Writes *out on ATTND_OK. */
int attnd_tokenizer_decode(const attnd_tokenizer* tokenizer, const uint32_t* ids, size_t count,
                           bool skip_special_tokens, attnd_string* out, attnd_string* error);

/* The token as the vocabulary spells it. Writes *out on ATTND_OK; ATTND_INVALID when the id is unknown. */
int attnd_tokenizer_token(const attnd_tokenizer* tokenizer, uint32_t id, attnd_string* out);
/* The id of a token as the vocabulary spells it; -1 when unknown. */
int32_t attnd_tokenizer_token_id(const attnd_tokenizer* tokenizer, const uint8_t* token, size_t size);

/* A model's chat template, in Jinja. Immutable: any number of threads may render at once. */
typedef struct attnd_chat_template attnd_chat_template;

/* Reads the template's source. Writes *out on ATTND_OK: free it. */
int attnd_chat_template_load(const uint8_t* source, size_t size, attnd_chat_template** out, attnd_string* error);
void attnd_chat_template_free(attnd_chat_template* chat_template); /* may be null */
/* Renders with the variables of `context`, a JSON object. Writes *out on ATTND_OK. Errors hold nothing of the context,
 * but what the template itself says by raise_exception. */
int attnd_chat_template_render(const attnd_chat_template* chat_template, const uint8_t* context, size_t size,
                               attnd_string* out, attnd_string* error);

/* Constrained decoding by the `llguidance` crate. A grammar is immutable: any number of threads may start states of it
 * at once, and it may outlive its tokenizer. A state is one text on its way, of one thread, and may outlive its
 * grammar. */
typedef struct attnd_grammar attnd_grammar;
typedef struct attnd_grammar_state attnd_grammar_state;
enum { ATTND_JSON_SCHEMA = 0, ATTND_REGEX = 1 };

/* Compiles the UTF-8 text of a JSON Schema or of a regex of the whole text. Writes *out on ATTND_OK: free it. The first
 * call for a tokenizer takes longer. */
int attnd_grammar_compile(const attnd_tokenizer* tokenizer, int kind, const uint8_t* source, size_t size,
                          attnd_grammar** out, attnd_string* error);
void attnd_grammar_free(attnd_grammar* grammar); /* may be null */

/* Writes *out on ATTND_OK: free it. */
int attnd_grammar_start(const attnd_grammar* grammar, attnd_grammar_state** out, attnd_string* error);
void attnd_grammar_state_free(attnd_grammar_state* state); /* may be null */

/* Which tokens may follow: bit id % 32 of mask[id / 32], for all ids below attnd_tokenizer_id_limit, and whether the
 * text may end here. Never a special token. ATTND_EXHAUSTED: the grammar is too complex here, the state is of no more
 * use. */
int attnd_grammar_allowed(attnd_grammar_state* state, uint32_t* mask, bool* may_end, attnd_string* error);
/* Goes on by a token that may follow. ATTND_EXHAUSTED as above. */
int attnd_grammar_accept(attnd_grammar_state* state, uint32_t id, attnd_string* error);

#ifdef __cplusplus
}
#endif

#endif /* ATTND_CORE_TEXT_FFI_ATTND_TOKENIZERS_H_ */
