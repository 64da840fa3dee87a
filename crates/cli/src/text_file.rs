//! Lists and other texts that people hand over as files: a byte order mark is taken off, UTF-16 becomes UTF-8, and what is no
//! text is refused.

/// UTF-8 without a mark. `Err` says why the bytes are no text.
pub(crate) fn text(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let text = match bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            return Err("it is UTF-32: save it as UTF-8".to_owned());
        }
        [0xff, 0xfe, units @ ..] => utf16(units, u16::from_le_bytes)?,
        [0xfe, 0xff, units @ ..] => utf16(units, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, text @ ..] => text.to_vec(),
        _ => bytes,
    };
    match text.contains(&0) {
        true => {
            Err("it holds a NUL, so it is no text (UTF-16 without a mark? save it as UTF-8)"
                .to_owned())
        }
        false => Ok(text),
    }
}

/// Is this the beginning of a text whose characters have two or four bytes?
pub(crate) fn is_wide(start: &[u8]) -> bool {
    matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..])
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<u8>, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    match String::from_utf16(&units) {
        Ok(text) if rest.is_empty() => Ok(text.into_bytes()),
        Ok(_) | Err(_) => Err("it is damaged UTF-16: save it as UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_off_and_what_is_no_text_is_refused() {
        for (bytes, expected) in [
            (&b"a\nb"[..], Some("a\nb")),
            (b"", Some("")),
            (b"\xef\xbb\xbfa", Some("a")),
            (b"\xff\xfea\0\xe9\0", Some("aé")),
            (b"\xfe\xff\0a\0\xe9", Some("aé")),
            (b"\xff\xfe", Some("")),
            (b"\xff\xfea\0b", None),
            (b"\xff\xfe\0\xd8", None),
            (b"\xff\xfe\0\0a\0\0\0", None),
            (b"\0\0\xfe\xff\0\0\0a", None),
            (b"a\0b", None),
            (b"\xff\xfea\0\0\0", None),
        ] {
            let found = text(bytes.to_vec()).ok();
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{bytes:?}");
        }
        assert_eq!(text(b"\xffb".to_vec()), Ok(b"\xffb".to_vec()), "a name that is not UTF-8");
    }
}
