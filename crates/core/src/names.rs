//! Reversible translation of names between ketch and a place that cannot hold every name.
//!
//! There are three forms of a name. The *raw* name is the bytes a person gave the file. The *core* form is what
//! [`crate::RelPath`] holds: UTF-8, with each byte that is not written `‛XX` and each `‛` doubled. The *remote* form is
//! what a service gets: characters that it refuses are replaced by full-width or symbol twins, and twins that were in the
//! name already are marked with `‛`, so that decoding is exact. The scheme is rclone's, so ketch and rclone read each
//! other's names.

/// The mark: the next character stands for itself, or the next two digits for a byte.
const QUOTE: char = '‛';

/// What a place cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameRules {
    /// ASCII characters that are refused; each is replaced by its full-width twin.
    pub refused: &'static str,
    /// Control characters and DEL are refused; each is replaced by its symbol.
    pub control: bool,
    /// A space at either end is refused; it is replaced by `␠`.
    pub edge_space: bool,
}

/// What the core form itself excludes: nothing but bytes that are not UTF-8.
const CORE: NameRules = NameRules { refused: "", control: false, edge_space: false };

impl NameRules {
    /// The remote form of a core name.
    pub fn to_remote(&self, core: &str) -> String {
        self.encode(&CORE.decode(core))
    }

    /// The core form of a remote name.
    pub fn to_core(&self, remote: &str) -> String {
        CORE.encode(&self.decode(remote))
    }

    fn twin(&self, character: char) -> Option<char> {
        match character {
            '\0'..='\x1f' if self.control => char::from_u32(0x2400 + character as u32),
            '\x7f' if self.control => Some('␡'),
            '!'..='~' if self.refused.contains(character) => {
                char::from_u32(character as u32 - 0x20 + 0xff00)
            }
            _ => None,
        }
    }

    fn original(&self, character: char) -> Option<char> {
        match character {
            '␀'..='␟' if self.control => char::from_u32(character as u32 - 0x2400),
            '␡' if self.control => Some('\x7f'),
            '！'..='～' => char::from_u32(character as u32 - 0xff00 + 0x20)
                .filter(|original| self.refused.contains(*original)),
            _ => None,
        }
    }

    fn encode(&self, raw: &[u8]) -> String {
        let mut text = String::with_capacity(raw.len() + 8);
        let mut at = 0;
        for chunk in raw.utf8_chunks() {
            for (offset, character) in chunk.valid().char_indices() {
                let start = at + offset;
                let edge = start == 0 || start + character.len_utf8() == raw.len();
                match character {
                    QUOTE => text.extend([QUOTE, QUOTE]),
                    ' ' if self.edge_space && edge => text.push('␠'),
                    '␠' if self.edge_space && edge => text.extend([QUOTE, '␠']),
                    _ => match self.twin(character) {
                        Some(twin) => text.push(twin),
                        None if self.original(character).is_some() => {
                            text.extend([QUOTE, character]);
                        }
                        None => text.push(character),
                    },
                }
            }
            for byte in chunk.invalid() {
                text.push(QUOTE);
                text.push_str(&format!("{byte:02X}"));
            }
            at += chunk.valid().len() + chunk.invalid().len();
        }
        text
    }

    fn decode(&self, text: &str) -> Vec<u8> {
        let mut raw = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let after = &rest[character.len_utf8()..];
            let at_start = rest.len() == text.len();
            if character == QUOTE
                && let Some((bytes, remaining)) = self.decode_quoted(after, at_start)
            {
                raw.extend(bytes);
                rest = remaining;
                continue;
            }
            let edge = at_start || after.is_empty();
            let original = match character {
                '␠' if self.edge_space && edge => ' ',
                _ => self.original(character).unwrap_or(character),
            };
            raw.extend_from_slice(original.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        }
        raw
    }

    /// What stands after a mark: itself if it would otherwise be replaced, or a byte above 0x7f. No mark can therefore
    /// make a slash, a dot or a NUL.
    fn decode_quoted<'a>(&self, after: &'a str, at_start: bool) -> Option<(Vec<u8>, &'a str)> {
        let next = after.chars().next()?;
        let remaining = &after[next.len_utf8()..];
        let is_edge_space = next == '␠' && self.edge_space && (at_start || remaining.is_empty());
        if next == QUOTE || self.original(next).is_some() || is_edge_space {
            return Some((next.to_string().into_bytes(), remaining));
        }
        let digits = after.get(..2)?;
        let is_digits = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
        let byte = u8::from_str_radix(digits, 16).ok().filter(|byte| is_digits && *byte >= 0x80)?;
        Some((vec![byte], &after[2..]))
    }
}

/// The core form of a name that is bytes (a file name on Unix).
pub fn core_from_bytes(raw: &[u8]) -> String {
    CORE.encode(raw)
}

/// The core form of a name that a person copied from an output: core forms stay as they are, and bytes that are not UTF-8
/// are read as bytes. A name that holds `‛XX` itself must be given as it is shown, with the mark doubled.
pub fn core_from_shown(shown: &[u8]) -> String {
    let mut raw = Vec::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        raw.extend(CORE.decode(chunk.valid()));
        raw.extend_from_slice(chunk.invalid());
    }
    CORE.encode(&raw)
}

/// The bytes of a core name. Never holds a slash or a NUL if the core name does not.
pub fn bytes_from_core(core: &str) -> Vec<u8> {
    CORE.decode(core)
}

/// The end of the name of a file that is set aside, before digits. It is not the name of a part: if this process dies, the
/// file stays under that name, and the next run handles it like any other file.
const ASIDE: &str = ".ketch-moving-";
/// Bytes of a name that are kept in it, so that it fits everywhere.
const ASIDE_STEM_BYTES: usize = 180;

/// A name for a file that was called `name` and is set aside for a moment. With a random `number` no other program uses it.
pub fn aside(name: &str, number: u32) -> String {
    let mut end = name.len().min(ASIDE_STEM_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ASIDE}{number:08x}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_set_aside_fits_and_is_no_part() {
        for name in ["f".to_owned(), "é".repeat(127), "x".repeat(255)] {
            let name_aside = aside(&name, 1);
            assert!(
                name_aside.len() < 255 && crate::RelPath::new(&name_aside).is_ok(),
                "{name_aside}"
            );
            assert!(!name_aside.ends_with(".part") && name_aside != aside(&name, 2));
        }
    }
    use proptest::prelude::*;

    const FICHIER: NameRules = NameRules { refused: "\\<>\"'$`", control: true, edge_space: true };

    fn check(raw: &[u8], core: &str, remote: &str) {
        assert_eq!(core_from_bytes(raw), core);
        assert_eq!(bytes_from_core(core), raw);
        assert_eq!(FICHIER.to_remote(core), remote);
        assert_eq!(FICHIER.to_core(remote), core);
    }

    #[test]
    fn refused_characters_have_twins_and_twins_are_marked() {
        check(b"plain.txt", "plain.txt", "plain.txt");
        check("été".as_bytes(), "été", "été");
        check(b"a\\b<c>\"d'$`", "a\\b<c>\"d'$`", "a＼b＜c＞＂d＇＄｀");
        check("a＼b".as_bytes(), "a＼b", "a‛＼b");
        check(b" a b ", " a b ", "␠a b␠");
        check("␠a".as_bytes(), "␠a", "‛␠a");
        check(b"a\nb\x7f", "a\nb\x7f", "a␊b␡");
        check("a␊b".as_bytes(), "a␊b", "a‛␊b");
        check("x‛y".as_bytes(), "x‛‛y", "x‛‛y");
        check(b" ", " ", "␠");
    }

    #[test]
    fn bytes_that_are_not_utf8_survive() {
        check(b"a\xfeb", "a‛FEb", "a‛FEb");
        check("a‛FE".as_bytes(), "a‛‛FE", "a‛‛FE");
    }

    #[test]
    fn what_is_shown_is_taken_back_and_so_are_bytes() {
        for (shown, core) in [
            ("a‛FEb".as_bytes(), "a‛FEb"),
            (b"a\xfeb", "a‛FEb"),
            ("a‛‛FE".as_bytes(), "a‛‛FE"),
            ("x‛y".as_bytes(), "x‛‛y"),
            ("x‛‛y".as_bytes(), "x‛‛y"),
            ("‛2F".as_bytes(), "‛‛2F"),
            (b"plain", "plain"),
        ] {
            assert_eq!(core_from_shown(shown), core);
        }
    }

    #[test]
    fn no_mark_can_make_a_slash_or_a_dot() {
        assert_eq!(bytes_from_core("‛2E‛2E"), "‛2E‛2E".as_bytes());
        assert_eq!(bytes_from_core("‛2F"), "‛2F".as_bytes());
    }

    proptest! {
        #[test]
        fn every_byte_string_survives_core_and_remote(raw in proptest::collection::vec(any::<u8>(), 0..24)) {
            let core = core_from_bytes(&raw);
            prop_assert_eq!(core_from_shown(core.as_bytes()), &*core);
            prop_assert_eq!(bytes_from_core(&core), raw);
            prop_assert_eq!(FICHIER.to_core(&FICHIER.to_remote(&core)), core);
        }

        #[test]
        fn every_odd_text_survives(raw in "[ \\\\a＼␠␊‛\n\"F0-9E]{0,8}") {
            let core = core_from_bytes(raw.as_bytes());
            prop_assert_eq!(core_from_shown(core.as_bytes()), &*core);
            prop_assert_eq!(bytes_from_core(&core), raw.as_bytes());
            let remote = FICHIER.to_remote(&core);
            prop_assert!(!remote.contains(['\\', '\n', '"']), "{:?}", remote);
            prop_assert_eq!(FICHIER.to_core(&remote), core);
        }
    }
}
