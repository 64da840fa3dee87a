//! Manifests, repairs and SUM files, as a user meets them.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::support::Home;

/// `minisign -G -W`: keys of nobody, without a password.
const PUBLIC_KEY: &str = "RWRKSka34tGIoJE9mlwylJbzh8kP41qkkSryIp/bAoW8kgoVntgKKIAr";
const SECRET_KEY: &str = "untrusted comment: minisign encrypted secret key\n\
    RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAASkpGt+LRiKAdmjZ5mDgJwXcG\
    s3fQ9oZOaPOtYok6Dv91tSuN9E4/LpE9mlwylJbzh8kP41qkkSryIp/bAoW8kgoVntgKKIArAAAAAAAAAAAAAAAAAAAAAAAA\
    AAAAAAAAAAAAAAAAAAA=\n";

/// How many files there are in the promise.
const MANY: usize = 10_000;

fn count(lines: &[Value], name: &str) -> u64 {
    lines.last().expect("a summary")["counts"][name].as_u64().expect("a count")
}

/// Path and verdict of everything that is not as it was.
fn odd(lines: &[Value]) -> BTreeMap<String, String> {
    let told = lines.iter().filter(|line| line["type"] == "verify" && line["verdict"] != "ok");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    told.map(|line| (text(&line["path"]), text(&line["verdict"]))).collect()
}

/// Changes a file and gives it back the time it had.
fn rot(home: &Home, below: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = home.path(below);
    let time = fs::metadata(&path).expect("a file").modified().expect("a time");
    let mut content = fs::read(&path).expect("a file");
    change(&mut content);
    fs::write(&path, content).expect("written");
    let file = fs::File::options().write(true).open(&path).expect("a file");
    file.set_modified(time).expect("a time");
}

fn set_time(home: &Home, below: &str, seconds: u64) {
    let file = fs::File::options().write(true).open(home.path(below)).expect("a file");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("a time");
}

#[test]
fn one_flipped_bit_among_many_files_is_found_and_told_from_every_other_change() {
    let home = Home::new();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let name = |number: usize| format!("a/d{}/f{number:05}", number % 7);
    for number in 0..MANY {
        home.write(&name(number), &format!("{number} {}", "x".repeat(number % 300)));
    }
    home.expect(0, &["manifest", "create", "a", "-o", "m.zst"]);
    let lines = home.json(0, &["manifest", "verify", "m.zst", "a"]);
    assert_eq!(count(&lines, "ok"), MANY as u64);

    let mut numbers: Vec<_> = (1..MANY).collect();
    random.shuffle(&mut numbers);
    let [rotten, touched, edited, grown, cut, cut_in_time, gone] = numbers[..7] else { panic!() };
    rot(&home, &name(rotten), |content| {
        let at = random.usize(..content.len());
        content[at] ^= 1 << random.u32(..8);
    });
    set_time(&home, &name(touched), 5);
    rot(&home, &name(edited), |content| content[0] = b'E');
    set_time(&home, &name(edited), 6);
    home.write(&name(grown), &"y".repeat(400));
    // The time moves, as it does when a program or a full disk cuts a file.
    fs::File::options()
        .write(true)
        .open(home.path(&name(cut)))
        .expect("a file")
        .set_len(1)
        .expect("cut");
    rot(&home, &name(cut_in_time), |content| content.truncate(1));
    fs::remove_file(home.path(&name(gone))).expect("removed");
    home.write("a/d3/new", "new");

    for _ in 0..2 {
        let lines = home.json(22, &["manifest", "verify", "m.zst", "a"]);
        let below = |number: usize| name(number)[2..].to_owned();
        let expected = BTreeMap::from(
            [
                (below(rotten), "rotted"),
                (below(edited), "edited"),
                (below(grown), "edited"),
                (below(cut), "truncated"),
                (below(cut_in_time), "truncated"),
                (below(gone), "missing"),
                ("d3/new".to_owned(), "extra"),
            ]
            .map(|(path, verdict)| (path, verdict.to_owned())),
        );
        assert_eq!(odd(&lines), expected, "seed {seed}");
        assert_eq!(count(&lines, "ok"), MANY as u64 - 6);
    }
}

#[test]
fn a_file_written_anew_and_shorter_is_edited_and_not_cut() {
    let home = Home::new();
    home.write("a/f", &"old content ".repeat(10));
    home.expect(0, &["manifest", "create", "a", "-o", "m"]);
    home.write("a/f", &"new content ".repeat(9));
    let outcome = home.expect(1, &["manifest", "verify", "m", "a"]);
    assert_eq!(outcome.stdout, "edited        f\n");
}

#[test]
fn a_damaged_range_is_named_and_repaired_from_a_remote() {
    let home = Home::new();
    let mut random = fastrand::Rng::with_seed(7);
    let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(9 << 20).collect();
    home.write("a/small", "small");
    home.write("a/lost/deep", "lost");
    home.write("a/mine", "mine");
    fs::write(home.path("a/large"), &content).expect("written");
    set_time(&home, "a/large", 1_000_000);
    home.expect(0, &["copy", "a", "sandbox:copy"]);
    home.expect(0, &["manifest", "create", "a", "-o", "m.gz"]);
    rot(&home, "a/large", |content| content[5 << 20] ^= 1);
    rot(&home, "a/small", |content| content.truncate(2));
    fs::remove_dir_all(home.path("a/lost")).expect("removed");
    home.write("a/mine", "my own change");
    let outcome = home.expect(22, &["manifest", "verify", "m.gz", "a"]);
    assert_eq!(
        outcome.stdout,
        "rotted        large  (bytes 4194304 to 8388607)\n\
         missing       lost/deep\n\
         edited        mine\n\
         truncated     small  (bytes 2 to 4)\n"
    );

    let repair = ["repair", "a", "--from", "sandbox:copy", "--manifest", "m.gz"];
    let outcome = home.expect(0, &[&repair[..], &["-n"]].concat());
    assert!(outcome.stderr.contains("would repair 3 files"), "{}", outcome.stderr);
    assert!(!home.path("a/lost").exists() && home.read("a/small") == "sm");
    let lines = home.json(0, &repair);
    assert_eq!((count(&lines, "repaired"), count(&lines, "left_alone")), (3, 1));
    assert_eq!(count(&lines, "bytes"), (4 << 20) + 5 + 4);
    assert!(fs::read(home.path("a/large")).expect("a file") == content);
    let lines = home.json(1, &["manifest", "verify", "m.gz", "a"]);
    assert_eq!(odd(&lines), BTreeMap::from([("mine".to_owned(), "edited".to_owned())]));
    assert_eq!(home.read("a/mine"), "my own change");
}

#[test]
fn an_update_reads_only_what_has_changed_and_a_diff_says_what_did() {
    let home = Home::new();
    for name in ["a", "b", "c", "d"] {
        home.write(&format!("p/{name}"), name);
        set_time(&home, &format!("p/{name}"), 1000);
    }
    home.expect(0, &["manifest", "create", "p", "-o", "m1"]);
    home.write("p/b", "B");
    fs::remove_file(home.path("p/c")).expect("removed");
    home.write("p/e", "e");
    set_time(&home, "p/d", 2000);
    let update = ["manifest", "update", "--no-cache", "m1", "p", "-o", "m2"];
    let lines = home.json(0, &update);
    assert_eq!((count(&lines, "entries"), count(&lines, "digest_files_read")), (4, 3));
    home.json(0, &["manifest", "verify", "m2", "p"]);
    let outcome = home.expect(1, &["manifest", "diff", "m1", "m2"]);
    let expected = "* b  (changed)\n- c  (removed)\n~ d  (touched)\n+ e  (added)\n";
    assert_eq!(outcome.stdout, expected);
    home.expect(0, &["manifest", "diff", "m2", "m2"]);
    // In place of the old one.
    home.expect(0, &["manifest", "update", "m1", "p"]);
    home.expect(0, &["manifest", "diff", "m1", "m2"]);
}

#[test]
fn a_signed_manifest_is_believed_and_a_changed_one_is_not() {
    let home = Home::new();
    home.write("p/f", "content");
    home.write("key", SECRET_KEY);
    home.write("key.pub", &format!("untrusted comment: a key\n{PUBLIC_KEY}\n"));
    home.expect(0, &["manifest", "create", "p", "-o", "m", "--sign", "key"]);
    for key in ["key.pub", PUBLIC_KEY] {
        home.expect(0, &["manifest", "verify", "m", "p", "--key", key]);
    }
    // Another manifest, in itself right, with the signature of the first.
    home.write("p/f", "CONTENT");
    home.expect(0, &["manifest", "create", "p", "-o", "other"]);
    fs::copy(home.path("m.minisig"), home.path("other.minisig")).expect("copied");
    let outcome = home.expect(22, &["manifest", "verify", "other", "p", "--key", PUBLIC_KEY]);
    assert!(outcome.stderr.contains("not one of this file"), "{}", outcome.stderr);
    fs::remove_file(home.path("m.minisig")).expect("removed");
    let outcome = home.expect(22, &["manifest", "verify", "m", "p", "--key", PUBLIC_KEY]);
    assert!(outcome.stderr.contains("m.minisig"), "{}", outcome.stderr);
    // Cut short: no signature is needed to see it.
    let text = home.read("other");
    home.write("cut", &text[..text.len() - 20]);
    let outcome = home.expect(23, &["manifest", "verify", "cut", "p"]);
    assert!(outcome.stderr.contains("cut short"), "{}", outcome.stderr);
    assert!(!format!("{}{}", outcome.stdout, outcome.stderr).contains("RWQAAEIy"));
}

#[test]
fn samples_cover_everything_in_their_rounds() {
    let home = Home::new();
    for number in 0..40 {
        home.write(&format!("p/f{number}"), &number.to_string());
    }
    home.expect(0, &["manifest", "create", "p", "-o", "m"]);
    rot(&home, "p/f17", |content| content[0] ^= 1);
    let (mut found, mut compared) = (0, 0);
    for round in 0..4 {
        let outcome = home.run(&["--json", "manifest", "verify", "m", "p", "--sample", "25%"]);
        let lines = crate::support::json_lines(&outcome.stdout);
        let summary = lines.last().expect("a summary");
        assert_eq!(summary["sample"]["round"], round);
        assert_eq!(summary["sample"]["rounds_done"], round + 1);
        found += count(&lines, "rotted");
        compared += 40 - count(&lines, "not_sampled");
        assert_eq!(outcome.code == 22, count(&lines, "rotted") == 1);
    }
    assert_eq!((found, compared), (1, 40));
    home.expect(2, &["manifest", "verify", "m", "p", "--sample", "0%"]);
}

#[test]
fn the_manifest_of_a_remote_costs_its_listing() {
    let home = Home::new();
    home.write("p/f", "content");
    home.write("p/d/g", "more");
    home.expect(0, &["copy", "p", "sandbox:s"]);
    let lines = home.json(0, &["manifest", "create", "sandbox:s", "-o", "m"]);
    assert_eq!((count(&lines, "entries"), count(&lines, "digest_files_read")), (2, 0));
    assert!(home.read("m").contains("\"whirlpool\""));
    // The same tree on another place, by the digest that the manifest has.
    let lines = home.json(0, &["manifest", "verify", "m", "p"]);
    assert_eq!(count(&lines, "ok"), 2);
    home.json(0, &["manifest", "verify", "m", "sandbox:s"]);
}

#[test]
fn what_cannot_be_a_manifest_leaves_the_old_file_as_it_is() {
    let home = Home::new();
    home.write("p/f", "content");
    home.write("p/d/g", "more");
    home.write("m", "what was there");
    home.expect(3, &["manifest", "create", "none", "-o", "m"]);
    // The sandbox shows no BLAKE3, and what is not read has none.
    home.expect(0, &["copy", "p", "sandbox:s"]);
    let outcome = home.expect(23, &["hashsum", "blake3", "sandbox:s"]);
    assert!(outcome.stderr.contains("--download"), "{}", outcome.stderr);
    assert_eq!(home.read("m"), "what was there");
    // Nor of one that cannot be written, or is being written: nothing is read for it.
    for output in ["p", "none/m", "m/x"] {
        home.expect(1, &["manifest", "create", "p", "-o", output]);
    }
    let names = fs::read_dir(home.path("."))
        .expect("home")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
    let names: Vec<_> = names.filter(|name| name.contains("ketch-new")).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn sums_are_printed_and_checked() {
    let home = Home::new();
    home.write("p/a b", "abc");
    home.write("p/d/line\nfeed\\", "abc");
    let md5 = "900150983cd24fb0d6963f7d28e17f72";
    let outcome = home.expect(0, &["hashsum", "md5", "p"]);
    assert_eq!(outcome.stdout, format!("{md5}  a b\n\\{md5}  d/line\\nfeed\\\\\n"));
    home.write("sums", &outcome.stdout);
    let outcome = home.expect(0, &["hashsum", "md5", "p", "--check", "sums"]);
    assert_eq!(outcome.stdout, "a b: OK\n\\d/line\\nfeed\\\\: OK\n");
    let outcome = home.expect(0, &["hashsum", "md5", "--base64", "p/a b"]);
    assert_eq!(outcome.stdout, "kAFQmDzST7DWlj99KOF_cg==  a b\n");
    home.write("p/a b", "abd");
    let outcome = home.expect(1, &["-q", "hashsum", "md5", "p", "--check", "sums"]);
    assert_eq!(outcome.stdout, "a b: FAILED\n");
    fs::remove_file(home.path("p/a b")).expect("removed");
    let outcome = home.expect(1, &["-q", "hashsum", "md5", "p", "--check", "sums"]);
    assert_eq!(outcome.stdout, "a b: FAILED open or read\n");
    home.write("sums", "nonsense\n");
    home.expect(23, &["hashsum", "md5", "p", "--check", "sums"]);
    home.expect(2, &["hashsum", "crc", "p"]);

    // By the digest the sandbox shows, and by reading.
    home.expect(0, &["copy", "p", "sandbox:s"]);
    let shown = home.expect(0, &["hashsum", "whirlpool", "sandbox:s"]).stdout;
    assert_eq!(shown, home.expect(0, &["hashsum", "whirlpool", "p"]).stdout);
    let read = home.expect(0, &["hashsum", "blake3", "--download", "sandbox:s"]).stdout;
    assert_eq!(read, home.expect(0, &["hashsum", "blake3", "p"]).stdout);
}
