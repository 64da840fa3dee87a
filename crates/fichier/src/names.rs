//! Names: what 1fichier refuses, and what a listing shows that no path can address.

use ketch_core::names::NameRules;
use ketch_core::{Error, ErrorKind, RelPath, Result};

/// Section 9.1 of the API reference; the same twins as rclone, so each reads what the other wrote.
const RULES: NameRules = NameRules { refused: "\\<>\"'$`", control: true, edge_space: true };
/// The longest name in characters. Documented for folders; no figure is known for files.
const NAME_MAX_CHARS: usize = 250;

/// The name to give to 1fichier. Fails with `InvalidInput` when it is too long.
pub(crate) fn to_remote(core: &str) -> Result<String> {
    let name = RULES.to_remote(core);
    let count = name.chars().count();
    if count > NAME_MAX_CHARS {
        let message = format!("the name has {count} characters, 1fichier takes {NAME_MAX_CHARS}");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(name)
}

/// The name as paths hold it.
pub(crate) fn to_core(remote: &str) -> String {
    RULES.to_core(remote)
}

/// The path of a listed name in `dir`; `Err` holds a path to show when no path can address it.
pub(crate) fn child(dir: &RelPath, core: &str) -> std::result::Result<RelPath, RelPath> {
    dir.join(core).map_err(|_| {
        let mut shown = core.replace('/', "／").replace('\0', "␀");
        if matches!(shown.as_str(), "" | "." | "..") {
            shown = if shown.is_empty() { "␀".to_owned() } else { shown.replace('.', "．") };
        }
        dir.join(&shown).unwrap_or_else(|_| dir.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_characters_are_written_as_rclone_writes_them() {
        for (core, remote) in [
            ("plain.txt", "plain.txt"),
            ("été ü.txt", "été ü.txt"),
            ("a\\b<c>\"d'$`", "a＼b＜c＞＂d＇＄｀"),
            (" a ", "␠a␠"),
            ("a\nb\x7f", "a␊b␡"),
            ("a＼b", "a‛＼b"),
        ] {
            assert_eq!(to_remote(core).expect("short"), remote);
            assert_eq!(to_core(remote), core);
        }
    }

    #[test]
    fn a_name_of_more_than_250_characters_is_refused() {
        assert!(to_remote(&"é".repeat(250)).is_ok());
        let error = to_remote(&"é".repeat(251)).expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_listed_name_that_leaves_its_folder_gets_a_harmless_path() {
        let dir = RelPath::new("d").expect("legal");
        for (name, shown) in
            [("a/b", "d/a／b"), ("..", "d/．．"), (".", "d/．"), ("", "d/␀"), ("\0", "d/␀")]
        {
            assert_eq!(child(&dir, name).expect_err("not addressable").as_str(), shown);
        }
        assert_eq!(child(&dir, "x").expect("legal").as_str(), "d/x");
    }
}
