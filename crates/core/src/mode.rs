//! The most permissions that a copy may have. Pure.

use crate::entry::EntryKind;

const OWNER: u32 = 0o700;
const GROUP_READ: u32 = 0o040;
const GROUP_RUN: u32 = 0o010;
const OTHERS_READ: u32 = 0o004;
const OTHERS_RUN: u32 = 0o001;

/// The permissions `copy`, without those that `source` does not grant to group and others. The owner's permissions stay,
/// and group or others keep the execute bit of a file that they may read: neither lets anyone read more.
pub fn narrowed(kind: EntryKind, copy: u32, source: u32) -> u32 {
    let mut allowed = source | OWNER;
    if kind == EntryKind::File {
        for (read, run) in [(GROUP_READ, GROUP_RUN), (OTHERS_READ, OTHERS_RUN)] {
            if source & read != 0 {
                allowed |= run;
            }
        }
    }
    copy & allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_source_keeps_from_others_its_copy_keeps_from_them_too() {
        use EntryKind::{Dir, File};
        for (kind, copy, source, expected) in [
            (File, 0o644, 0o600, 0o600),
            (File, 0o644, 0o640, 0o640),
            (File, 0o666, 0o644, 0o644),
            (File, 0o755, 0o644, 0o755),
            (File, 0o755, 0o600, 0o700),
            (File, 0o600, 0o644, 0o600),
            (File, 0o644, 0o400, 0o600),
            (File, 0o644, 0o000, 0o600),
            (Dir, 0o755, 0o700, 0o700),
            (Dir, 0o755, 0o744, 0o744),
            (Dir, 0o755, 0o500, 0o700),
            (Dir, 0o700, 0o755, 0o700),
            (Dir, 0o775, 0o755, 0o755),
        ] {
            let found = narrowed(kind, copy, source);
            assert_eq!(found, expected, "{kind:?} {copy:o} of {source:o}");
            assert_eq!(narrowed(kind, found, source), found);
        }
    }
}
