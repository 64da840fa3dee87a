//! Answers that are not quite JSON: names with half of a surrogate pair, or with bytes that are not UTF-8.
//!
//! One such name must not make its whole folder unreadable. What no text can hold becomes U+0000, which no name may hold
//! either, so that the name shows as one that cannot be addressed.

use std::borrow::Cow;

/// What stands for it in JSON.
const NOT_TEXT: &[u8] = b"\\u0000";

/// The same answer, as JSON that can be read. Nothing else in it is changed.
pub(crate) fn mended(body: &[u8]) -> Cow<'_, [u8]> {
    let text = std::str::from_utf8(body);
    // Only escapes that begin with a `d` can be of a surrogate.
    if text.is_ok_and(|text| !text.contains("\\ud") && !text.contains("\\uD")) {
        return Cow::Borrowed(body);
    }
    let mut mended = Vec::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        without_halves(chunk.valid().as_bytes(), &mut mended);
        if !chunk.invalid().is_empty() {
            mended.extend_from_slice(NOT_TEXT);
        }
    }
    Cow::Owned(mended)
}

fn without_halves(text: &[u8], mended: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, escape) = rest.split_at(at);
        mended.extend_from_slice(before);
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                mended.extend_from_slice(NOT_TEXT);
                rest = &escape[6..];
                continue;
            }
            // The character behind it belongs to it, also if that is another backslash.
            _ => escape.len().min(2),
        };
        mended.extend_from_slice(&escape[..length]);
        rest = &escape[length..];
    }
    mended.extend_from_slice(rest);
}

/// The UTF-16 unit of an escape at the beginning of `text`.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(json: &[u8]) -> Option<String> {
        serde_json::from_slice(&mended(json)).ok()
    }

    #[test]
    fn what_no_text_can_hold_becomes_what_no_name_may_hold() {
        for (json, expected) in [
            (&br#""plain""#[..], Some("plain")),
            (br#""a\ud800b""#, Some("a\0b")),
            (br#""a\udc00""#, Some("a\0")),
            (br#""\ud800\ud800\udc00""#, Some("\0\u{10000}")),
            (br#""\ud83d\ude00""#, Some("\u{1f600}")),
            (br#""\uD83D\uDE00 \\ud800""#, Some("\u{1f600} \\ud800")),
            (br#""\ud8""#, None),
            (b"\"a\xffb\"", Some("a\0b")),
            (b"\"\xed\xa0\x80\"", Some("\0\0\0")),
            (b"\xff", None),
        ] {
            assert_eq!(name(json).as_deref(), expected, "{}", String::from_utf8_lossy(json));
        }
    }

    proptest! {
        #[test]
        fn what_can_be_read_stays_as_it_is(text in ".{0,32}") {
            let json = serde_json::to_vec(&text).expect("a text");
            prop_assert_eq!(mended(&json), Cow::Borrowed(&json[..]));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = mended(&bytes);
        }
    }
}
