//! Chat templates: the Jinja templates of models, rendered by the `minijinja` crate as transformers renders them.

use crate::buffers::AttndString;
use crate::{guarded_crate, text};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Instructions of one rendering: a template of a file must not run for ever. A long chat takes some thousands.
const FUEL: u64 = 10_000_000;
const RECURSION_MAX: usize = 64;
const NAME: &str = "chat_template";

pub struct AttndChatTemplate {
    environment: Environment<'static>,
}

/// JSON as Python's json.dumps writes it: ", " and ": " between things, no escapes for what HTML minds.
struct PythonFormatter;

impl serde_json::ser::Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

fn to_json(value: Value, options: minijinja::value::Kwargs) -> Result<Value, Error> {
    let bad = |_| Error::new(ErrorKind::InvalidOperation, "tojson: not a JSON value");
    let indent: Option<usize> = options.get("indent")?;
    let _: Option<bool> = options.get("ensure_ascii")?; // transformers never escapes
    options.assert_all_used()?;
    let mut out = Vec::new();
    match indent {
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, PythonFormatter)).map_err(bad)?,
        Some(n) => {
            let spaces = " ".repeat(n.min(16));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter)).map_err(bad)?
        }
    }
    let json = String::from_utf8(out).map_err(|_| Error::new(ErrorKind::InvalidOperation, "tojson: not UTF-8"))?;
    Ok(Value::from_safe_string(json))
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message).with_source(Raised))
}

/// The local time as Python's datetime.now().strftime writes it; templates put the day into their system prompt.
fn strftime_now(format: String) -> Result<Value, Error> {
    const BYTES_MAX: usize = 1024;
    let bad = || Error::new(ErrorKind::InvalidOperation, "strftime_now: not a format of at most 1024 bytes of text");
    // One character more, so that no text is told from no room.
    let format = std::ffi::CString::new(format + ".").map_err(|_| bad())?;
    let mut text = vec![0u8; BYTES_MAX + 2];
    // SAFETY: all pointers are to what is above, the format ends in NUL, and no more than text.len() bytes are written.
    let size = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut local: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&now, &mut local).is_null() {
            return Err(bad());
        }
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &local)
    };
    text.truncate(size);
    text.pop().ok_or_else(bad)?;
    Ok(Value::from(String::from_utf8(text).map_err(|_| bad())?))
}

/// Marks an error that the template itself raised: its words are the template author's.
#[derive(Debug)]
struct Raised;
impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("raised")
    }
}
impl std::error::Error for Raised {}

/// What the caller may read of an error: never the values of the conversation.
fn describe(error: &Error) -> String {
    let raised = std::error::Error::source(error).is_some_and(|source| source.is::<Raised>());
    if raised {
        return format!("the chat template refuses this conversation: {}", error.detail().unwrap_or(""));
    }
    let line = error.line().map_or(String::new(), |line| format!(" at its line {line}"));
    format!("the chat template failed{line}: {}", error.kind())
}

fn environment(source: String) -> Result<Environment<'static>, String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|e| e.to_string())?);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_template_owned(NAME, source).map_err(|e| {
        let line = e.line().map_or(String::new(), |line| format!("line {line}: "));
        format!("the chat template is not valid: {line}{}", e.detail().unwrap_or("syntax error"))
    })?;
    Ok(environment)
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_chat_template_load(
    source: *const u8,
    size: usize,
    out: *mut *mut AttndChatTemplate,
    error: *mut AttndString,
) -> i32 {
    guarded_crate("minijinja", error, || {
        let source = text(source, size, "the chat template")?;
        let environment = environment(source.to_string())?;
        *out = Box::into_raw(Box::new(AttndChatTemplate { environment }));
        Ok(())
    })
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_chat_template_free(template: *mut AttndChatTemplate) {
    if !template.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(template))));
    }
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_chat_template_render(
    template: *const AttndChatTemplate,
    context: *const u8,
    size: usize,
    out: *mut AttndString,
    error: *mut AttndString,
) -> i32 {
    guarded_crate("minijinja", error, || {
        let context: serde_json::Value = serde_json::from_str(text(context, size, "the conversation")?)
            .map_err(|_| "the conversation is not JSON".to_string())?;
        let template = (*template).environment.get_template(NAME).map_err(|e| describe(&e))?;
        let rendered = template.render(Value::from(minijinja::value::Serde(&context))).map_err(|e| describe(&e))?;
        *out = AttndString::new(rendered);
        Ok(())
    })
}
