//! Names of ketch's own files: parts of files that are being written, and the ledgers that say how far a part is proven.

/// The longest name of one file or folder, in bytes.
pub(crate) const NAME_MAX: usize = 255;

const MARK: &[u8] = b".ketch-";
const PART: &[u8] = b".part";
const LEDGER: &[u8] = b".ledger";
const ID_DIGITS: usize = 8;
/// Digits of the digest that stands for the end of a long name.
const DIGEST_DIGITS: usize = 32;

/// The name under which a part of `name` is written: `.{name}.ketch-{id}.part`, with `name` cut so that it fits.
pub(crate) fn temporary(name: &[u8], id: u32) -> Vec<u8> {
    let room = NAME_MAX - 1 - MARK.len() - ID_DIGITS - PART.len();
    own(cut(name, room), id, PART)
}

/// The names of the part of `name` and of its ledger that any process of `job` finds again. Two files of one folder never
/// share them, also where the disk ignores case or how an accent is written: a name of which there may be another spelling gets
/// a digest of it, and the end of a name that does not fit is replaced by one.
pub(crate) fn of_job(name: &[u8], job: u32) -> (Vec<u8>, Vec<u8>) {
    let room = NAME_MAX - 1 - MARK.len() - ID_DIGITS - LEDGER.len();
    let short = room - 1 - DIGEST_DIGITS;
    let has_spellings = name.iter().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii());
    let stem = if name.len() <= short && !has_spellings {
        name.to_vec()
    } else {
        let digest = blake3::hash(name).to_hex();
        [cut(name, short), b"~", &digest.as_bytes()[..DIGEST_DIGITS]].concat()
    };
    (own(&stem, job, PART), own(&stem, job, LEDGER))
}

fn own(stem: &[u8], id: u32, end: &[u8]) -> Vec<u8> {
    let id = format!("{id:0ID_DIGITS$x}");
    [b".", stem, MARK, id.as_bytes(), end].concat()
}

/// The beginning of `name`, of `room` bytes at most.
fn cut(name: &[u8], room: usize) -> &[u8] {
    let mut cut = name.len().min(room);
    // Some file systems take nothing but UTF-8, so no character is cut in two; at most three bytes follow a first one.
    if std::str::from_utf8(name).is_ok() {
        while cut < name.len() && name[cut] & 0b1100_0000 == 0b1000_0000 {
            cut -= 1;
        }
    }
    &name[..cut]
}

/// The name of the ledger beside a part; `None` for a name that is no part's.
pub(crate) fn ledger_beside(part: &[u8]) -> Option<Vec<u8>> {
    Some([part.strip_suffix(PART)?, LEDGER].concat())
}

/// The number in a name of ketch's own: that of the job, or one of no job.
pub(crate) fn number_of(name: &[u8]) -> Option<u32> {
    let rest = name.strip_suffix(PART).or_else(|| name.strip_suffix(LEDGER))?;
    let (_, id) = rest.split_last_chunk::<ID_DIGITS>()?;
    u32::from_str_radix(std::str::from_utf8(id).ok()?, 16).ok()
}

/// Is it a name that [`temporary`] or [`of_job`] makes?
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let Some(rest) = name.strip_prefix(b".") else { return false };
    rest.strip_suffix(PART)
        .or_else(|| rest.strip_suffix(LEDGER))
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
        assert_eq!(number_of(&temporary(&[0xff; 255], 0xbeef)), Some(0xbeef));
        assert_eq!(number_of(&of_job(b"a.txt", u32::MAX).1), Some(u32::MAX));
        assert!(is_temporary(&temporary(&[0xff; 255], u32::MAX)));
    }

    #[test]
    fn the_names_of_a_job_fit_and_are_those_of_one_file_only() {
        let (part, ledger) = of_job(b"a.txt", 0xbeef);
        assert_eq!(part, b".a.txt.ketch-0000beef.part");
        assert_eq!(ledger, b".a.txt.ketch-0000beef.ledger");
        let mut names = std::collections::BTreeSet::new();
        for length in 190..=255 {
            for last in ["a", "b"] {
                let name = "n".repeat(length - 1) + last;
                let (part, _) = of_job(name.as_bytes(), 7);
                // A file may also have the very name that a long one is cut to.
                let stem = part[1..].split(|byte| *byte == b'.').next().expect("a stem");
                names.extend([name.into_bytes(), stem.to_vec()]);
            }
        }
        let parts: std::collections::BTreeSet<_> =
            names.iter().map(|name| of_job(name, 7)).collect();
        assert_eq!(parts.len(), names.len(), "each has names of its own");
        for (part, ledger) in &parts {
            assert!(part.len() <= NAME_MAX && ledger.len() <= NAME_MAX);
            assert!(is_temporary(part) && is_temporary(ledger));
        }
        assert!(std::str::from_utf8(&of_job("é".repeat(127).as_bytes(), 7).0).is_ok());
        // Nor where the disk takes several spellings for one name.
        let spellings = ["name", "Name", "NAME", "naMe", "n\u{e4}me", "na\u{308}me", "N\u{e4}me"];
        let folded: std::collections::BTreeSet<_> = spellings
            .iter()
            .map(|name| {
                String::from_utf8(of_job(name.as_bytes(), 7).0).expect("text").to_lowercase()
            })
            .collect();
        assert_eq!(folded.len(), spellings.len());
    }

    #[test]
    fn names_of_other_programs_are_content() {
        let names =
            ["a.part", ".a.ketch-0000beef.part2", "a.ketch-0000beef.part", ".a.ketch-beef.part"];
        for name in names.into_iter().chain([".a.ketch-0000BEEF.part", ".part", ".", "", ".ledger"])
        {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }
}
