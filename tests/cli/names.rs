//! Names that are written with a mark: what is shown of a file finds it again.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Output;

use crate::support::Home;

/// Names as bytes on a disk, and as they are shown.
const NAMES: [(&[u8], &str); 6] = [
    (b"plain", "plain"),
    (b"a\xffb", "a‛FFb"),
    ("q‛FEz".as_bytes(), "q‛‛FEz"),
    ("x‛y".as_bytes(), "x‛‛y"),
    ("double‛‛".as_bytes(), "double‛‛‛‛"),
    (" ä".as_bytes(), " ä"),
];

/// A home with a folder `src` of these files, each of which holds its own name as it is shown.
fn named() -> Home {
    let home = Home::new();
    std::fs::create_dir(home.path("src")).expect("a folder");
    for (raw, shown) in NAMES {
        let name = OsString::from_vec(raw.to_vec());
        std::fs::write(home.path("src").join(name), shown).expect("a file");
    }
    home
}

fn raw(home: &Home, verb: &str, place: &[u8]) -> Output {
    let place = std::ffi::OsStr::from_bytes(place);
    home.command().arg(verb).arg(place).output().expect("it starts")
}

/// Does `cat` of this place give the content of the file that is shown so?
#[track_caller]
fn finds(home: &Home, folder: &str, name: &[u8], shown: &str) {
    let output = raw(home, "cat", &[folder.as_bytes(), name].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown, "{folder}{shown}: {told}");
    assert_eq!(output.status.code(), Some(0), "{folder}{shown}: {told}");
}

#[test]
fn what_is_listed_is_found_by_what_the_list_shows() {
    let home = named();
    home.expect(0, &["copy", "src", "sandbox:there"]);
    home.expect(0, &["check", "src", "sandbox:there"]);
    for (folder, prefix) in [("src", "src/"), ("sandbox:there", "sandbox:there/")] {
        // As JSON, which has to be text.
        let lines = home.json(0, &["ls", folder]);
        let paths: Vec<&str> = lines.iter().filter_map(|line| line["path"].as_str()).collect();
        let mut expected: Vec<&str> = NAMES.iter().map(|(_, shown)| *shown).collect();
        expected.sort_unstable();
        assert_eq!(paths, expected, "{folder}");
        for path in paths {
            finds(&home, prefix, path.as_bytes(), path);
        }
        // Into a pipe, which gets bytes.
        let listed = raw(&home, "ls", folder.as_bytes()).stdout;
        let lines: Vec<&[u8]> = listed.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), NAMES.len() + 1, "{folder}");
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let name = &line[35..];
            let (_, shown) = NAMES.iter().find(|(raw, _)| *raw == name).expect("one of them");
            finds(&home, prefix, name, shown);
        }
    }
}

#[test]
fn what_is_shown_can_be_copied_looked_at_and_deleted_and_hits_nothing_else() {
    let home = named();
    home.expect(0, &["copy", "src", "sandbox:there"]);
    for (_, shown) in NAMES {
        let place = format!("sandbox:there/{shown}");
        assert_eq!(home.json(0, &["stat", &place])[0]["path"], format!("there/{shown}"), "{shown}");
        home.expect(0, &["copy", &place, &format!("sandbox:once/{shown}")]);
        home.expect(0, &["cat", &format!("sandbox:once/{shown}/{shown}")]);
        let before = home.json(0, &["ls", "sandbox:there"]).len();
        home.expect(0, &["delete", &place]);
        assert_eq!(home.json(0, &["ls", "sandbox:there"]).len(), before - 1, "{shown}");
        home.expect(4, &["cat", &place]);
    }
}

#[test]
fn a_folder_is_made_under_the_name_that_is_typed() {
    let home = Home::new();
    for shown in ["d‛FF", "d‛‛FF"] {
        home.expect(0, &["mkdir", &format!("sandbox:{shown}")]);
        home.expect(0, &["ls", &format!("sandbox:{shown}")]);
    }
    let lines = home.json(0, &["ls", "sandbox:"]);
    let paths: Vec<&str> = lines.iter().filter_map(|line| line["path"].as_str()).collect();
    assert_eq!(paths, ["d‛FF", "d‛‛FF"]);
    // Where both are, the one that is shown so is meant.
    home.expect(0, &["purge", "sandbox:d‛FF"]);
    let lines = home.json(0, &["ls", "sandbox:"]);
    assert_eq!(lines[0]["path"], "d‛‛FF");
}
