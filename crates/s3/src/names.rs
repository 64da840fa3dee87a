//! Names of S3: every UTF-8 text without a slash is one, but for those that addresses cannot hold.
//!
//! The encoding is rclone's for S3, `Slash,InvalidUtf8,Dot`, so that each of the two reads the other's keys.

use ketch_core::names::NameRules;

const RULES: NameRules = NameRules { refused: "", control: false, edge_space: false };
/// Names of one and two dots in full width: in a key they stand for `.` and `..`.
const DOTS: [&str; 2] = ["．", "．．"];
const QUOTE: &str = "‛";

/// The part of a key that stands for a core name.
pub(crate) fn to_key(name: &str) -> String {
    let part = RULES.to_remote(name);
    if DOTS.contains(&part.as_str()) { format!("{QUOTE}{part}") } else { part }
}

/// The core name of a part of a key; `None` when no path can hold it.
pub(crate) fn to_core(part: &str) -> Option<String> {
    if part.is_empty() || part == "." || part == ".." || DOTS.contains(&part) {
        return None;
    }
    match part.strip_prefix(QUOTE).filter(|rest| DOTS.contains(rest)) {
        Some(dots) => Some(dots.to_owned()),
        None => Some(RULES.to_core(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_what_no_path_can_hold_has_none() {
        for (core, part) in [
            ("a b", "a b"),
            ("．", "‛．"),
            ("．．", "‛．．"),
            ("‛‛．", "‛‛．"),
            ("x‛FF", "x‛FF"),
            ("\u{1}", "\u{1}"),
        ] {
            assert_eq!(to_key(core), part);
            assert_eq!(to_core(part).as_deref(), Some(core), "{part}");
        }
        for part in ["", ".", "..", "．", "．．"] {
            assert_eq!(to_core(part), None, "{part}");
        }
        // A lone mark is read, and written otherwise: such an entry keeps its key.
        assert_eq!(to_core("a‛b").as_deref(), Some("a‛‛b"));
    }
}
