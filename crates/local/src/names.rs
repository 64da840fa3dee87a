//! Names of ketch's own parts.

/// The longest name of one file or folder, in bytes.
pub(crate) const NAME_MAX: usize = 255;

const MARK: &[u8] = b".ketch-";
const END: &[u8] = b".part";
const ID_DIGITS: usize = 8;

/// The name under which a part of `name` is written: `.{name}.ketch-{id}.part`, with `name` cut so that it fits.
pub(crate) fn temporary(name: &[u8], id: u32) -> Vec<u8> {
    let room = NAME_MAX - 1 - MARK.len() - ID_DIGITS - END.len();
    let mut cut = name.len().min(room);
    // Some file systems take nothing but UTF-8, so no character is cut in two; at most three bytes follow a first one.
    if std::str::from_utf8(name).is_ok() {
        while cut < name.len() && name[cut] & 0b1100_0000 == 0b1000_0000 {
            cut -= 1;
        }
    }
    let id = format!("{id:0ID_DIGITS$x}");
    [b".", &name[..cut], MARK, id.as_bytes(), END].concat()
}

/// Is it a name that [`temporary`] makes?
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.strip_prefix(b".")
        .and_then(|rest| rest.strip_suffix(END))
        .and_then(|rest| rest.split_last_chunk::<ID_DIGITS>())
        .is_some_and(|(before, id)| before.ends_with(MARK) && id.iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_always_fits_and_is_recognised() {
        for name in
            ["a".to_owned(), "a".repeat(255), "é".repeat(127), "aé".repeat(85), "😀".repeat(63)]
        {
            let made = temporary(name.as_bytes(), 0xbeef);
            assert!(made.len() <= NAME_MAX, "{name}");
            assert!(is_temporary(&made), "{name}");
            assert!(std::str::from_utf8(&made).is_ok(), "{name}");
        }
        assert_eq!(temporary(b"a.txt", 0xbeef), b".a.txt.ketch-0000beef.part");
        assert!(is_temporary(&temporary(&[0xff; 255], u32::MAX)));
    }

    #[test]
    fn names_of_other_programs_are_content() {
        let names =
            ["a.part", ".a.ketch-0000beef.part2", "a.ketch-0000beef.part", ".a.ketch-beef.part"];
        for name in names.into_iter().chain([".a.ketch-0000BEEF.part", ".part", ".", "", ".ketch"])
        {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }
}
