//! Constrained decoding by the `llguidance` crate: JSON Schema or a regex over the tokens of a vocabulary.

use crate::buffers::{set_error, AttndString};
use crate::{bytes, guarded, AttndTokenizer, EXHAUSTED, INTERNAL, INVALID, OK};
use llguidance::api::{StopReason, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{token_bytes_from_tokenizer_json, Matcher, ParserFactory};
use serde_json::{json, Value};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use tokenizers::Tokenizer;

/// What one grammar may cost: see core/text/grammar.h.
const COMPILE_FUEL: u64 = 1_000_000;
const GRAMMAR_SYMBOLS_MAX: usize = 100_000;
const STEP_FUEL: u64 = 200_000;
const STEP_ITEMS_MAX: usize = 50_000;
const LEXER_STATES_MAX: usize = 8_000;
const ITEMS_MAX: u64 = 4_096;
const COMBINED_ITEMS_MAX: u64 = 64;

/// The trie of tokens has nodes of 10 bits of depth; no text token of a real vocabulary is nearly as long.
const TOKEN_BYTES_MAX: usize = 512;

/// A vocabulary as grammars see it, and the token that stands for the end of the text, one past it.
pub struct Vocabulary {
    factory: ParserFactory,
    end: u32,
}

impl Vocabulary {
    pub fn new(tokenizer: &Tokenizer, id_limit: i32) -> Result<Self, String> {
        let added: Vec<Value> = tokenizer
            .get_added_tokens_decoder()
            .iter()
            .map(|(id, token)| json!({"id": id, "content": token.content, "special": token.special}))
            .collect();
        let decoder = serde_json::to_value(tokenizer.get_decoder()).map_err(|e| e.to_string())?;
        let parts = json!({
            "decoder": decoder, "added_tokens": added, "model": {"vocab": tokenizer.get_vocab(false)}
        });
        let mut tokens = token_bytes_from_tokenizer_json(&parts).map_err(|e| first_line(&e))?;
        let end = u32::try_from(id_limit).map_err(|e| e.to_string())?;
        tokens.resize(end as usize, Vec::new());
        for token in &mut tokens {
            // Special tokens are no text: no grammar allows them.
            if token.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) || token.len() > TOKEN_BYTES_MAX {
                token.clear();
            }
        }
        tokens.push([&[TokTrie::SPECIAL_TOKEN_MARKER], "<end>".as_bytes()].concat());
        let trie = TokTrie::from(&TokRxInfo::new(end + 1, end), &tokens);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|e| first_line(&e))?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.initial_lexer_fuel = COMPILE_FUEL;
        limits.max_grammar_size = GRAMMAR_SYMBOLS_MAX;
        limits.step_lexer_fuel = STEP_FUEL;
        limits.step_max_items = STEP_ITEMS_MAX;
        limits.max_lexer_states = LEXER_STATES_MAX;
        limits.verbose_errors = false;
        Ok(Vocabulary { factory, end })
    }
}

/// Items of a schema's arrays are spelled out one by one, and once more for each way in which its parts combine, before
/// any limit of the crate's counts them. `combined`: whether parts do.
fn count_items(schema: &Value, items: &mut u64, combined: &mut bool) {
    match schema {
        Value::Array(values) => values.iter().for_each(|value| count_items(value, items, combined)),
        Value::Object(object) => {
            let has = |names: &[&str]| names.iter().filter(|name| object.contains_key(**name)).count();
            let branches = has(&["anyOf", "oneOf", "$ref"]);
            *combined |= has(&["allOf"]) > 0 || branches + has(&["items", "prefixItems", "minItems", "maxItems"]).min(1) > 1;
            for (name, value) in object {
                if name == "minItems" || name == "maxItems" {
                    *items = items.saturating_add(value.as_f64().map_or(0, |n| n as u64));
                }
                count_items(value, items, combined);
            }
        }
        _ => {}
    }
}

fn check_items(schema: &Value) -> Result<(), String> {
    let (mut items, mut combined) = (0, false);
    count_items(schema, &mut items, &mut combined);
    let (limit, why) = if combined { (COMBINED_ITEMS_MAX, " where parts of a schema combine") } else { (ITEMS_MAX, "") };
    if items > limit {
        return Err(format!("minItems and maxItems are {items} in all, the limit is {limit}{why}"));
    }
    Ok(())
}

/// The crate's errors go on with its own state.
fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or("").to_string()
}

/// A schema as compiled: "{}" is any object, and JSON is written as Python's json.dumps writes it unless the schema
/// says otherwise by llguidance's "x-guidance": a small model may go on with white space for ever.
fn schema_of(source: &str) -> Result<Value, String> {
    let mut schema: Value = serde_json::from_str(source).map_err(|e| format!("not JSON: {e}"))?;
    check_items(&schema)?;
    if let Value::Object(object) = &mut schema {
        if object.is_empty() {
            object.insert("type".to_string(), json!("object"));
        }
        object.entry("x-guidance").or_insert_with(
            || json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "}),
        );
    } else if !schema.is_boolean() {
        return Err("not a JSON object".to_string());
    }
    Ok(schema)
}

pub struct AttndGrammar {
    /// At its beginning; states are copies. The mutex is for copying alone: a Matcher is not Sync.
    begin: Mutex<Matcher>,
    end: u32,
}

pub struct AttndGrammarState {
    matcher: Matcher,
    end: u32,
}

const REGEX: i32 = 1;

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_grammar_compile(
    tokenizer: *const AttndTokenizer,
    kind: i32,
    source: *const u8,
    size: usize,
    out: *mut *mut AttndGrammar,
    error: *mut AttndString,
) -> i32 {
    guarded(error, || {
        let source = std::str::from_utf8(bytes(source, size)).map_err(|e| e.to_string())?;
        let vocabulary = (*tokenizer).vocabulary()?;
        let grammar = if kind == REGEX {
            TopLevelGrammar::from_regex(source)
        } else {
            TopLevelGrammar::from_json_schema(schema_of(source)?)
        };
        let parser = vocabulary.factory.create_parser(grammar).map_err(|e| first_line(&e))?;
        let begin = Mutex::new(Matcher::new(Ok(parser)));
        *out = Box::into_raw(Box::new(AttndGrammar { begin, end: vocabulary.end }));
        Ok(())
    })
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_grammar_free(grammar: *mut AttndGrammar) {
    if !grammar.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(grammar))));
    }
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_grammar_start(
    grammar: *const AttndGrammar,
    out: *mut *mut AttndGrammarState,
    error: *mut AttndString,
) -> i32 {
    guarded(error, || {
        let begin = (*grammar).begin.lock().map_err(|_| "the grammar is broken".to_string())?;
        // Deep: what a state costs, and whether it may go on, must not depend on others of the same grammar.
        let matcher = begin.deep_clone();
        *out = Box::into_raw(Box::new(AttndGrammarState { matcher, end: (*grammar).end }));
        Ok(())
    })
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_grammar_state_free(state: *mut AttndGrammarState) {
    if !state.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(state))));
    }
}

/// After a fault the crate says no more than that there was one: its limits are all that is left when it did not panic.
unsafe fn failure(error: *mut AttndString, message: String) -> i32 {
    let code = if message.starts_with("panic") { INTERNAL } else { EXHAUSTED };
    set_error(error, message);
    code
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_grammar_allowed(
    state: *mut AttndGrammarState,
    mask: *mut u32,
    may_end: *mut bool,
    error: *mut AttndString,
) -> i32 {
    let state = &mut *state;
    let end = state.end as usize;
    let words = end.div_ceil(32);
    let mut code = OK;
    let guard = guarded(error, || {
        let mask = std::slice::from_raw_parts_mut(mask, words);
        mask.fill(0);
        *may_end = state.matcher.stop_reason() == StopReason::NoExtension;
        if *may_end {
            return Ok(());
        }
        match state.matcher.compute_mask() {
            Ok(allowed) => {
                let bits = allowed.as_slice();
                mask.copy_from_slice(&bits[..words]);
                *may_end = bits[end / 32] >> (end % 32) & 1 == 1;
                if end % 32 != 0 {
                    mask[words - 1] &= (1 << (end % 32)) - 1; // the end is no token
                }
            }
            Err(e) => match first_line(&e) {
                message if message == StopReason::NoExtensionBias.to_string() => {} // a dead end
                message => code = failure(error, message),
            },
        }
        Ok(())
    });
    if guard == OK { code } else { INTERNAL }
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_grammar_accept(state: *mut AttndGrammarState, id: u32, error: *mut AttndString) -> i32 {
    let state = &mut *state;
    let mut code = OK;
    let guard = guarded(error, || {
        if id >= state.end {
            return Err(format!("token {id} is not in the grammar's vocabulary"));
        }
        if let Err(e) = state.matcher.consume_token(id) {
            code = failure(error, first_line(&e));
        }
        Ok(())
    });
    match guard {
        OK => code,
        INVALID => INVALID,
        _ => INTERNAL,
    }
}
