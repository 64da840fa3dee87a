//! A move within one file system gives a file its new name, and keeps everything else of it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn number(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn a_move_within_one_file_system_keeps_the_file_itself() {
    let home = Home::new();
    for name in ["a/f", "a/sub/g", "a/sub/deep/h"] {
        home.write(name, name);
    }
    home.write("b/sub/g", "an older one");
    let file = home.path("a/f");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4751)).unwrap();
    std::fs::hard_link(&file, home.path("a/sub/other-name")).unwrap();
    std::fs::hard_link(&file, home.path("outside")).unwrap();
    let before = ["f", "sub/g", "sub/deep/h"].map(|name| number(&home.path("a").join(name)));
    home.run("move a b".split(' ')).expect(0);
    let after = ["f", "sub/g", "sub/deep/h"].map(|name| number(&home.path("b").join(name)));
    assert_eq!(before, after);
    let meta = std::fs::metadata(home.path("b/f")).unwrap();
    assert_eq!((meta.nlink(), meta.mode() & 0o7777), (3, 0o4751));
    assert_eq!(number(&home.path("b/sub/other-name")), number(&home.path("outside")));
    assert!(contents(&home.path("a")).is_empty());
    assert_eq!(std::fs::read_to_string(home.path("b/sub/g")).unwrap(), "a/sub/g");
}

#[test]
fn a_move_needs_no_room_where_it_is_a_new_name() {
    let home = Home::new();
    let Some(_mounted) = Mounted::new(&home, &["-t", "tmpfs", "-o", "size=2m", "none"], "m") else {
        return;
    };
    home.write("m/a/f", vec![7; 1_500_000]);
    let before = number(&home.path("m/a/f"));
    home.run("move m/a m/b".split(' ')).expect(0);
    assert_eq!(number(&home.path("m/b/f")), before);
}

#[test]
fn a_move_to_another_file_system_copies_and_proves() {
    let home = Home::new();
    let Some(_mounted) = Mounted::new(&home, &["-t", "tmpfs", "-o", "size=2m", "none"], "m") else {
        return;
    };
    home.write("a/f", "content");
    home.run("move a m/b".split(' ')).expect(0);
    assert_eq!(std::fs::read_to_string(home.path("m/b/f")).unwrap(), "content");
    assert!(contents(&home.path("a")).is_empty());
}

#[test]
fn another_name_of_the_same_file_is_removed_and_the_file_stays() {
    let home = Home::new();
    home.write("h/f", "x");
    std::fs::create_dir_all(home.path("i")).unwrap();
    std::fs::hard_link(home.path("h/f"), home.path("i/f")).unwrap();
    home.run("move h i".split(' ')).expect(0);
    assert_eq!(std::fs::read_to_string(home.path("i/f")).unwrap(), "x");
    assert!(!home.path("h/f").exists());
}

#[test]
fn a_move_from_a_folder_into_one_inside_it_or_around_it_is_not_in_its_own_way() {
    let home = Home::new();
    home.write("f1", "1");
    home.write("sub/f2", "2");
    home.run("move f1 sub".split(' ')).expect(0);
    assert_eq!(std::fs::read_to_string(home.path("sub/f1")).unwrap(), "1");
    home.run("move sub/f2 .".split(' ')).expect(0);
    assert_eq!(std::fs::read_to_string(home.path("f2")).unwrap(), "2");
    assert!(!home.path("sub/f2").exists());
}

#[test]
fn what_appeared_at_the_destination_is_not_replaced_by_a_new_name() {
    let home = Home::new();
    home.write("a/f", "new");
    home.write("b/f", "another");
    // It is there, and is left alone when asked for.
    home.run("move a b --ignore-existing".split(' ')).expect(0);
    assert_eq!(std::fs::read_to_string(home.path("b/f")).unwrap(), "another");
    assert_eq!(std::fs::read_to_string(home.path("a/f")).unwrap(), "new");
    home.run("move a b --dry-run".split(' ')).expect(0);
    assert_eq!(std::fs::read_to_string(home.path("a/f")).unwrap(), "new");
}
