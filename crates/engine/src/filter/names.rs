//! Names as patterns see them: the characters of a name, and one character for each byte that is not UTF-8.

use std::borrow::Cow;

use ketch_core::names::bytes_from_core;

/// What marks an escape in core form.
const MARK: char = '‛';
/// A byte that is no part of a character is this and its value: from the end of the last private plane, where no name has
/// anything.
const BYTES: u32 = 0x10_FF00;

/// A path or pattern in core form as the name it stands for.
pub(super) fn true_name(core: &str) -> Cow<'_, str> {
    if !core.contains(MARK) {
        return Cow::Borrowed(core);
    }
    let bytes = bytes_from_core(core);
    let mut name = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        name.push_str(chunk.valid());
        let odd = chunk.invalid().iter();
        name.extend(odd.filter_map(|byte| char::from_u32(BYTES + u32::from(*byte))));
    }
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::names::core_from_bytes;

    #[test]
    fn a_name_is_the_characters_it_has() {
        for (raw, expected) in [
            ("a/b c".as_bytes(), "a/b c"),
            ("x‛y".as_bytes(), "x‛y"),
            ("‛FF".as_bytes(), "‛FF"),
            (b"d\xff/e", "d\u{10ffff}/e"),
            (b"\x80\x81", "\u{10ff80}\u{10ff81}"),
        ] {
            assert_eq!(true_name(&core_from_bytes(raw)), expected);
        }
    }
}
