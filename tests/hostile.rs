//! The whole pipeline on random trees of a real disk, with names that are hostile to programs.
//!
//! After a sync both trees are equal and a second one plans nothing; a folder that was emptied or cannot be read at a random
//! place never costs what it held. `KETCH_HOSTILE_RUNS` is how many trees there are (24 by default), and a failure names the
//! seed of its own (`KETCH_HOSTILE_SEED` is the first one).

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use support::{Home, Run, finish, tree};

mod support;

/// Somebody for whom permissions count.
const NOBODY: u32 = 65_534;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default, // Not set.
    }
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("KETCH_HOSTILE_SEED", 0);
    first..first + number("KETCH_HOSTILE_RUNS", 24)
}

/// Names that sort around the slash, that are no text, that look like ketch's own signs, that fill a folder's entry.
fn name(random: &mut fastrand::Rng) -> Vec<u8> {
    let stems: [&[u8]; 6] =
        [b"a", b"b", "\u{e9}".as_bytes(), "e\u{301}".as_bytes(), b"\xff", b"-x"];
    let ends: [&[u8]; 16] = [
        b"",
        b".",
        b"!",
        b" ",
        b"0",
        b"-",
        b"\n",
        b"\xfe\x80",
        "‛FF".as_bytes(),
        "‛".as_bytes(),
        b"\\",
        b"*",
        b"\x01",
        b"~",
        "\u{ff0f}".as_bytes(),
        b"{}",
    ];
    let mut name = random.choice(stems).unwrap().to_vec();
    name.extend_from_slice(random.choice(ends).unwrap());
    if random.u8(..) < 24 {
        // Two of one length that differ in the last byte only.
        name.resize(254, b'n');
        name.push(*random.choice(b"xy").unwrap());
    }
    name
}

/// Makes a random tree, and tells its folders.
fn make(root: &Path, random: &mut fastrand::Rng) -> Vec<PathBuf> {
    fs::create_dir_all(root).unwrap();
    let mut folders = vec![root.to_owned()];
    for _ in 0..6 {
        let above = random.choice(&folders).unwrap().clone();
        // Folders and files never meet under one name: that is a clash, which is another test's matter.
        let mut name = name(random);
        name.truncate(250);
        name.extend_from_slice(b"-d");
        let folder = above.join(OsStr::from_bytes(&name));
        if fs::create_dir(&folder).is_ok() {
            folders.push(folder);
        }
    }
    for _ in 0..30 {
        let folder = random.choice(&folders).unwrap();
        let path = folder.join(OsStr::from_bytes(&name(random)));
        if path.as_os_str().len() - root.as_os_str().len() > 2_000 {
            continue;
        }
        let mut content = vec![0; random.usize(..40)];
        random.fill(&mut content);
        fs::write(&path, content).unwrap();
        let modified =
            SystemTime::UNIX_EPOCH + Duration::from_secs(random.u64(1_000_000..1_000_004));
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_times(FileTimes::new().set_modified(modified))
            .unwrap();
    }
    folders
}

fn folders_of(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                found.insert(entry.path().strip_prefix(root).unwrap().to_owned());
                waiting.push(entry.path());
            }
        }
    }
    found
}

/// Everything that is at `from` is at `to`, and nothing else.
fn assert_equal(from: &Path, to: &Path, seed: u64) {
    assert!(tree(from) == tree(to), "seed {seed}: the files differ");
    let filled = |root: &Path| -> BTreeSet<PathBuf> {
        let files: BTreeMap<PathBuf, Vec<u8>> = tree(root);
        let above =
            |file: &PathBuf| file.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
        files.keys().flat_map(above).collect()
    };
    let kept: BTreeSet<PathBuf> =
        folders_of(to).into_iter().filter(|folder| !folders_of(from).contains(folder)).collect();
    assert_eq!(kept, BTreeSet::new(), "seed {seed}: folders that are not at the source");
    assert!(filled(from) == filled(to), "seed {seed}: the folders differ");
}

fn sync(home: &Home, more: &[&str]) -> Run {
    let arguments = ["sync", "--max-delete", "100%", "--fsync", "none"];
    home.run(arguments.iter().chain(more).chain(&["source", "destination"]))
}

#[test]
fn trees_with_hostile_names_become_equal_and_a_second_run_plans_nothing() {
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let home = Home::in_memory();
        let (source, destination) = (home.path("source"), home.path("destination"));
        make(&source, &mut random);
        make(&destination, &mut random);
        let run = sync(&home, &[]);
        assert_eq!(run.code, 0, "seed {seed}: {}", run.stderr);
        assert_equal(&source, &destination, seed);
        let plan = sync(&home, &["--dry-run", "--json"]).expect(0);
        let planned = plan.stdout.lines().filter(|line| line.contains("\"type\":\"file_")).count();
        assert_eq!(planned, 0, "seed {seed}: {}", plan.stdout);
        let again = sync(&home, &["--json"]).expect(0);
        let last: serde_json::Value =
            serde_json::from_str(again.stdout.lines().last().unwrap()).unwrap();
        for count in ["copied", "deleted", "failed"] {
            assert_eq!(last["counts"][count].as_u64(), Some(0), "seed {seed}: {count} in {last}");
        }
        home.run(["check", "source", "destination"]).expect(0);
    }
}

/// The binary with this home, run by somebody for whom permissions count.
fn as_nobody(home: &Home) -> Command {
    let command = home.command();
    let program = home.path("ketch");
    if !program.exists() {
        fs::copy(command.get_program(), &program).unwrap();
        fs::create_dir_all(home.path("state")).unwrap();
    }
    let mut other = Command::new(&program);
    other.env_clear().current_dir(home.path("."));
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if fs::metadata(home.path("source")).unwrap().uid() == 0 {
        let mut waiting = vec![home.path("").parent().unwrap().join(home.path(""))];
        while let Some(next) = waiting.pop() {
            chown(&next, Some(NOBODY), Some(NOBODY)).unwrap();
            if next.symlink_metadata().unwrap().is_dir() {
                waiting.extend(fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        other.uid(NOBODY).gid(NOBODY);
    }
    other
}

#[test]
fn promise_1_an_unreadable_folder_at_a_random_place_costs_nothing_of_what_it_held() {
    for seed in seeds().step_by(3) {
        let mut random = fastrand::Rng::with_seed(seed);
        let home = Home::in_memory();
        let (source, destination) = (home.path("source"), home.path("destination"));
        let folders = make(&source, &mut random);
        make(&destination, &mut random);
        sync(&home, &[]).expect(0);
        let before = tree(&destination);
        // What is below an unreadable folder is not known to be gone, and what lies elsewhere is synced.
        let Some(bad) = folders.get(1 + random.usize(..folders.len().max(2) - 1)) else { continue };
        let bad_path = bad.strip_prefix(&source).unwrap().to_owned();
        fs::write(source.join("new"), "new").unwrap();
        let mut command = as_nobody(&home);
        fs::set_permissions(bad, fs::Permissions::from_mode(0o0)).unwrap();
        let arguments =
            ["sync", "--max-delete", "100%", "--fsync", "none", "source", "destination"];
        let run = finish(command.args(arguments));
        fs::set_permissions(bad, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(run.code, 23, "seed {seed}: {}", run.stderr);
        let after = tree(&destination);
        assert!(after.contains_key(Path::new("new")), "seed {seed}: {}", run.stderr);
        for (path, content) in &before {
            let is_kept = after.get(path) == Some(content);
            assert!(is_kept, "seed {seed}: {path:?} was lost, {bad_path:?} was unreadable");
        }
    }
}

#[test]
fn an_emptied_folder_at_a_random_place_is_emptied_within_the_limit_and_refused_beyond_it() {
    let (mut emptied, mut refused) = (0, 0);
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let home = Home::in_memory();
        let (source, destination) = (home.path("source"), home.path("destination"));
        let folders = make(&source, &mut random);
        sync(&home, &[]).expect(0);
        let before = tree(&destination);
        let folder = random.choice(&folders).unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.unwrap();
        }
        let run = home.run(["sync", "--fsync", "none", "source", "destination"]);
        match run.code {
            0 => assert_equal(&source, &destination, seed),
            _ => {
                refused += 1;
                assert!(tree(&destination) == before, "seed {seed}: {}", run.stderr);
                assert!(run.stderr.contains("delet"), "seed {seed}: {}", run.stderr);
            }
        }
        emptied += usize::from(run.code == 0 && tree(&destination) != before);
    }
    assert!(emptied > 0 && refused > 0, "the test must have teeth: {emptied}, {refused}");
}
