//! Disks that find names in any case.

use super::*;

fn any_case(home: &Home) -> Option<Mounted> {
    Mounted::faulty(home, "nocase=1")
}

fn spelled(home: &Home) -> Vec<String> {
    contents(&home.path("r")).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_move_to_another_spelling_of_its_own_name_is_that() {
    let home = Home::new();
    home.write("r/Dir/f", "1");
    home.write("r/Dir/G", "22");
    let Some(_mounted) = any_case(&home) else { return };
    home.run("move --dry-run m/Dir m/dir".split(' ')).expect(0);
    assert_eq!(spelled(&home), ["Dir/G", "Dir/f"]);
    home.run("move m/Dir m/dir".split(' ')).expect(0);
    assert_eq!(spelled(&home), ["dir/G", "dir/f"]);
    // The others change nothing, and say so.
    for job in ["copy", "sync"] {
        assert_ne!(home.run([job, "m/dir", "m/DIR"]).code, 0);
    }
    assert_eq!(spelled(&home), ["dir/G", "dir/f"]);
}

#[test]
fn a_sync_after_a_change_of_case_respells_and_deletes_nothing() {
    let home = Home::new();
    home.write("a/Photos/One.jpg", "1");
    home.write("a/Photos/two.jpg", "2");
    home.write("a/Gone", "3");
    home.write("r/x", "");
    let Some(_mounted) = any_case(&home) else { return };
    home.run("copy a m".split(' ')).expect(0);
    std::fs::rename(home.path("a/Photos/One.jpg"), home.path("a/Photos/one.JPG")).unwrap();
    std::fs::rename(home.path("a/Photos"), home.path("a/photos")).unwrap();
    std::fs::remove_file(home.path("a/Gone")).unwrap();
    home.write("a/photos/two.jpg", "changed");
    home.run("sync a m --dry-run --max-delete 100%".split(' ')).expect(0);
    home.run("sync a m --max-delete 100%".split(' ')).expect(0);
    assert_eq!(spelled(&home), ["photos/one.JPG", "photos/two.jpg"]);
    assert_eq!(contents(&home.path("a")), contents(&home.path("r")));
    let again = home.run("sync a m".split(' ')).expect(0);
    assert!(again.stderr.contains("copied 0 files"), "{}", again.stderr);
    home.run("check a m".split(' ')).expect(0);
}

#[test]
fn two_names_that_are_one_at_the_destination_are_told_of_and_lose_nothing() {
    let all = ["lower", "UPPER", "1", "22", "3"];
    for job in ["copy", "sync", "move"] {
        let home = Home::new();
        home.write("a/f", "lower");
        home.write("a/F", "UPPER");
        home.write("a/Dir/x", "1");
        home.write("a/dir/x", "22");
        home.write("a/Dir/only", "3");
        let Some(_mounted) = any_case(&home) else { return };
        for run in 1..=3 {
            assert_ne!(home.run([job, "a", "m", "--max-delete", "100%"]).code, 0, "{job} {run}");
            let places = [contents(&home.path("a")), contents(&home.path("r"))].concat();
            for content in all {
                assert!(places.iter().any(|(_, found)| found == content), "{job} {run}: {content}");
            }
        }
        assert_ne!(home.run("check a m".split(' ')).code, 0, "{job}");
    }
}

#[test]
fn two_equal_files_whose_names_are_one_stay_two_at_the_source() {
    let home = Home::new();
    home.write("a/f", "same");
    home.write("a/F", "same");
    let Some(_mounted) = any_case(&home) else { return };
    for _ in 0..2 {
        assert_ne!(home.run("move a m".split(' ')).code, 0);
        let places = [contents(&home.path("a")), contents(&home.path("r"))].concat();
        assert_eq!(places.len(), 2, "{places:?}");
    }
}

#[test]
fn a_change_of_case_on_an_ordinary_disk_is_another_file() {
    let home = Home::new();
    home.write("a/Name", "1");
    home.run("copy a b".split(' ')).expect(0);
    std::fs::rename(home.path("a/Name"), home.path("a/name")).unwrap();
    home.run("sync a b --max-delete 100%".split(' ')).expect(0);
    assert_eq!(contents(&home.path("b")), [("name".to_owned(), "1".to_owned())]);
}
