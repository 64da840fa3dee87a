//! What was read once may spare a transfer, and is no proof for a removal.

use super::*;

/// Changes a bit of a file in the image of a disk, whose size and every time stay as they are.
fn rot(home: &Home, volume: &str) {
    let text = |path: &Path| std::fs::read(path).unwrap();
    let image = home.path(volume);
    let mut bytes = text(&image);
    let at = bytes.windows(12).position(|found| found == b"MARKMARKMARK").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&image, bytes).unwrap();
}

#[test]
fn a_move_reads_what_it_removes_though_its_digest_is_remembered() {
    let home = Home::new();
    home.write("a/f", format!("{}MARKMARKMARK", "x".repeat(5000)));
    let made = Command::new("sh")
        .args(["-c", "truncate -s 16M image && mkfs.ext4 -q -F image"])
        .current_dir(home.path(""))
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        println!("skipped: no mkfs.ext4");
        return;
    }
    let Some(mounted) = Mounted::new(&home, &["-o", "loop", "image"], "m") else { return };
    home.run("copy a m/b".split(' ')).expect(0);
    // Until it is remembered: what was written a moment ago is not.
    let mut is_remembered = false;
    for _ in 0..2_000 {
        let run = home.run("check a m/b".split(' ')).expect(0);
        is_remembered = run.stderr.contains("1 by remembered digests");
        assert!(!is_remembered || !run.stderr.contains("byte for byte"), "{}", run.stderr);
        if is_remembered {
            break;
        }
    }
    assert!(is_remembered, "nothing is remembered");
    drop(mounted);
    rot(&home, "image");
    let Some(_mounted) = Mounted::new(&home, &["-o", "loop", "image"], "m") else { return };
    assert_ne!(
        std::fs::read(home.path("a/f")).unwrap(),
        std::fs::read(home.path("m/b/f")).unwrap()
    );
    let before = std::fs::read(home.path("a/f")).unwrap();
    home.run("move a m/b".split(' '));
    let whole = |path: PathBuf| std::fs::read(path).is_ok_and(|found| found == before);
    assert!(whole(home.path("a/f")) || whole(home.path("m/b/f")), "the only whole copy is gone");
}

#[test]
fn nothing_is_remembered_where_change_times_prove_nothing() {
    let home = Home::new();
    home.write("a/f", "content");
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let set_old = |name: &str| {
        let file = std::fs::File::options().write(true).open(home.path(name)).unwrap();
        file.set_modified(old).unwrap();
    };
    set_old("a/f");
    let Some(_mounted) = Mounted::faulty(&home, "ctime=mtime") else { return };
    home.run("copy a m/b".split(' ')).expect(0);
    for _ in 0..3 {
        home.run("check a m/b".split(' ')).expect(0).says("byte for byte");
        home.run("check --digest sha256 a m/b".split(' ')).expect(0);
    }
    // Another content of the same size and every time as before.
    home.write("r/b/f", "CONTENT");
    set_old("r/b/f");
    home.run("check a m/b".split(' ')).expect(1);
    home.run("check --digest sha256 a m/b".split(' ')).expect(1);
    home.run("move a m/b".split(' '));
    let places = ["a/f", "r/b/f"].map(|name| std::fs::read_to_string(home.path(name)).ok());
    assert!(places.iter().flatten().any(|content| content == "content"), "{places:?}");
}
