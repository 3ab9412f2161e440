//! What the ABI hands over: strings and encodings, read and freed by the caller through functions here.

use std::panic::{catch_unwind, AssertUnwindSafe};
use tokenizers::Encoding;

const ERROR_BYTES_MAX: usize = 400;

/// attnd_string: bytes that Rust allocated.
#[repr(C)]
pub struct AttndString {
    data: *mut u8,
    size: usize,
}

impl AttndString {
    pub fn new(text: String) -> Self {
        let bytes = Box::leak(text.into_bytes().into_boxed_slice());
        AttndString { data: bytes.as_mut_ptr(), size: bytes.len() }
    }
}

pub unsafe fn set_error(error: *mut AttndString, mut message: String) {
    if error.is_null() {
        return;
    }
    if message.len() > ERROR_BYTES_MAX {
        let end = (0..=ERROR_BYTES_MAX).rev().find(|&i| message.is_char_boundary(i)).unwrap_or(0);
        message.truncate(end);
        message.push_str("...");
    }
    *error = AttndString::new(message);
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_string_free(string: AttndString) {
    if !string.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(string.data, string.size)));
    }
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_encoding_tokens(encoding: *const Encoding) -> usize {
    (*encoding).get_ids().len()
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_encoding_read(
    encoding: *const Encoding,
    ids: *mut i32,
    type_ids: *mut i32,
    spans: *mut i32,
    special: *mut u8,
    word_ids: *mut i32,
    sequence_ids: *mut i8,
) {
    let e = &*encoding;
    // Bytes of the text: the caller keeps texts below 2 GiB, so that these fit.
    for i in 0..e.get_ids().len() {
        let is_special = e.get_special_tokens_mask()[i] != 0;
        let (begin, end) = if is_special { (0, 0) } else { e.get_offsets()[i] };
        ids.add(i).write(e.get_ids()[i] as i32);
        type_ids.add(i).write(e.get_type_ids()[i] as i32);
        spans.add(2 * i).write(begin as i32);
        spans.add(2 * i + 1).write(end as i32);
        special.add(i).write(is_special as u8);
        word_ids.add(i).write(if is_special { -1 } else { e.get_word_ids()[i].map_or(-1, |w| w as i32) });
        sequence_ids.add(i).write(if is_special { -1 } else { e.token_to_sequence(i).unwrap_or(0) as i8 });
    }
}

/// # Safety
/// See attnd_tokenizers.h.
#[no_mangle]
pub unsafe extern "C" fn attnd_encoding_free(encoding: *mut Encoding) {
    if !encoding.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(encoding))));
    }
}
