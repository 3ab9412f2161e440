//! The Hugging Face `tokenizers` crate behind the C ABI of `attnd_tokenizers.h`, which states the contract.
//!
//! No panic crosses the ABI: each function that runs code of the crate does so inside `guarded`. Nothing here starts
//! threads: only single encodings are made, and the crate's own parallelism is switched off at load.

mod buffers;
mod chat_template;
mod grammar;

use buffers::{set_error, AttndString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Once, OnceLock};
use tokenizers::{Encoding, Tokenizer};

const OK: i32 = 0;
const INVALID: i32 = 1; // the input is at fault
const INTERNAL: i32 = 2; // the crate panicked
const EXHAUSTED: i32 = 3; // a limit of work was reached

pub struct AttndTokenizer {
    tokenizer: Tokenizer,
    id_limit: i32,
    vocabulary: OnceLock<Result<grammar::Vocabulary, String>>,
}

impl AttndTokenizer {
    /// Made when the first grammar asks for it: it takes a second or so, and tens of megabytes.
    fn vocabulary(&self) -> Result<&grammar::Vocabulary, String> {
        let vocabulary = self.vocabulary.get_or_init(|| {
            catch_unwind(AssertUnwindSafe(|| grammar::Vocabulary::new(&self.tokenizer, self.id_limit)))
                .unwrap_or_else(|_| Err("its tokens do not fit a trie".to_string()))
        });
        vocabulary.as_ref().map_err(|e| format!("the model's vocabulary cannot be constrained: {e}"))
    }
}

/// Runs `body`, turning its error into INVALID and a panic into INTERNAL. A panic's own message may hold parts of the
/// text that was encoded, so it is dropped.
unsafe fn guarded(error: *mut AttndString, body: impl FnOnce() -> Result<(), String>) -> i32 {
    guarded_crate("tokenizers", error, body)
}

/// The same; `name` is the crate that a panic is laid to. `error` is written once: what it holds is the caller's.
unsafe fn guarded_crate(name: &str, error: *mut AttndString, body: impl FnOnce() -> Result<(), String>) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => OK,
        Ok(Err(message)) => {
            set_error(error, message);
            INVALID
        }
        Err(_) => {
            set_error(error, format!("the {name} crate failed on this input"));
            INTERNAL
        }
    }
}

/// Bytes of the caller; `data` may be null when `size` is 0.
unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

unsafe fn text<'a>(data: *const u8, size: usize, what: &str) -> Result<&'a str, String> {
    std::str::from_utf8(bytes(data, size)).map_err(|e| format!("{what} is not valid UTF-8 at byte {}", e.valid_up_to()))
}

/// One past the greatest id that the tokenizer can produce: its vocabulary and its template's own tokens.
fn id_limit(tokenizer: &Tokenizer) -> Result<i32, String> {
    let vocabulary = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| u64::from(id) + 1);
    let single = tokenizer.encode("", true).map_err(|e| e.to_string())?;
    let pair = tokenizer.encode(("", ""), true).map_err(|e| e.to_string())?;
    let template = single.get_ids().iter().chain(pair.get_ids()).max().map_or(0, |&id| u64::from(id) + 1);
    i32::try_from(vocabulary.max(template)).map_err(|_| "a token id is above 2147483646".to_string())
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_load(
    json: *const u8,
    size: usize,
    out: *mut *mut AttndTokenizer,
    error: *mut AttndString,
) -> i32 {
    static QUIET: Once = Once::new();
    guarded(error, || {
        QUIET.call_once(|| {
            std::panic::set_hook(Box::new(|_| {})); // the default hook prints to stderr
            tokenizers::utils::parallelism::set_parallelism(false);
        });
        let mut tokenizer = Tokenizer::from_bytes(bytes(json, size)).map_err(|e| e.to_string())?;
        tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
        tokenizer.with_padding(None);
        let id_limit = id_limit(&tokenizer)?;
        *out = Box::into_raw(Box::new(AttndTokenizer { tokenizer, id_limit, vocabulary: OnceLock::new() }));
        Ok(())
    })
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_free(tokenizer: *mut AttndTokenizer) {
    if !tokenizer.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(tokenizer))));
    }
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_id_limit(tokenizer: *const AttndTokenizer) -> i32 {
    (*tokenizer).id_limit
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_encode(
    tokenizer: *const AttndTokenizer,
    first: *const u8,
    first_size: usize,
    second: *const u8,
    second_size: usize,
    pair: bool,
    add_special_tokens: bool,
    out: *mut *mut Encoding,
    error: *mut AttndString,
) -> i32 {
    guarded(error, || {
        let this = &(*tokenizer).tokenizer;
        let first = text(first, first_size, "the text")?;
        let encoding = if pair {
            this.encode((first, text(second, second_size, "the second text")?), add_special_tokens)
        } else {
            this.encode(first, add_special_tokens)
        };
        // Its errors may quote the text.
        let encoding = encoding.map_err(|_| "the text cannot be tokenized with this vocabulary".to_string())?;
        *out = Box::into_raw(Box::new(encoding));
        Ok(())
    })
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_decode(
    tokenizer: *const AttndTokenizer,
    ids: *const u32,
    count: usize,
    skip_special_tokens: bool,
    out: *mut AttndString,
    error: *mut AttndString,
) -> i32 {
    guarded(error, || {
        let this = &(*tokenizer).tokenizer;
        let ids = if count == 0 { &[] } else { std::slice::from_raw_parts(ids, count) };
        if let Some(i) = ids.iter().position(|&id| this.id_to_token(id).is_none()) {
            return Err(format!("token id {} at index {i} is not in the vocabulary", ids[i] as i32));
        }
        let decoded = this.decode(ids, skip_special_tokens).map_err(|_| "the ids cannot be decoded".to_string())?;
        *out = AttndString::new(decoded);
        Ok(())
    })
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_token(tokenizer: *const AttndTokenizer, id: u32, out: *mut AttndString) -> i32 {
    guarded(std::ptr::null_mut(), || {
        let token = (*tokenizer).tokenizer.id_to_token(id).ok_or_else(String::new)?;
        *out = AttndString::new(token);
        Ok(())
    })
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_tokenizer_token_id(tokenizer: *const AttndTokenizer, token: *const u8, size: usize) -> i32 {
    let mut id = -1;
    guarded(std::ptr::null_mut(), || {
        let found = (*tokenizer).tokenizer.token_to_id(text(token, size, "the token")?);
        id = found.and_then(|id| i32::try_from(id).ok()).unwrap_or(-1);
        Ok(())
    });
    id
}
