//! The harness held against programs that break the promises on purpose: it must see that they do.

use std::fs;
use std::process::Command;

use crate::calls::Act;
use crate::cases::{Case, Files, Side, Verb};
use crate::checks::after_strike;
use crate::disk::{Disk, Names};
use crate::support::Home;
use crate::tracer::{Strike, run};
use crate::world::World;

const COPY: Case = Case { verb: Verb::Copy, from: Side::Local, to: Side::Local };

/// `cp` of a new file over an old one, which it empties first.
fn in_place() -> (Home, Command) {
    let home = Home::in_memory();
    home.write("new", vec![2; 300_000]);
    home.write("old", vec![1; 200_000]);
    let mut command = home.command();
    let mut copy = Command::new("cp");
    copy.args(["new", "old"]).current_dir(home.path(""));
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command = copy;
    (home, command)
}

#[test]
fn a_program_that_writes_in_place_is_seen_to_tear_its_file() {
    let mut torn = 0;
    for number in 1.. {
        let (home, command) = in_place();
        let traced = run(&command, &home.path(""), Strike::KillBefore(number));
        if traced.struck.is_none() {
            assert!(number > 2, "it opens and writes");
            break;
        }
        let held = fs::read(home.path("old")).unwrap();
        torn += usize::from(held != vec![1; 200_000] && held != vec![2; 300_000]);
    }
    assert!(torn > 0, "no kill was between the emptying and the writing");
}

#[test]
fn a_call_that_is_killed_before_it_is_made_has_no_effect_and_one_killed_after_it_has() {
    for (strike, length) in [(Strike::KillBefore(1), 200_000), (Strike::KillAfter(1), 0)] {
        let (home, command) = in_place();
        let traced = run(&command, &home.path(""), strike);
        assert_eq!(traced.run.code, -1);
        assert_eq!(traced.struck.as_deref(), Some("Open of old"));
        assert_eq!(fs::metadata(home.path("old")).unwrap().len(), length, "{strike:?}");
    }
}

#[test]
fn what_was_never_synced_is_gone_after_a_power_cut() {
    let (home, command) = in_place();
    let traced = run(&command, &home.path(""), Strike::Never);
    assert_eq!((traced.run.code, fs::read(home.path("old")).unwrap()), (0, vec![2; 300_000]));
    traced.disk.power_cut(Names::Lost(None));
    assert_eq!(fs::read(home.path("old")).unwrap(), vec![1; 200_000], "it was there before");
}

#[test]
fn names_whose_folder_was_not_synced_are_taken_back_and_others_stay() {
    let home = Home::in_memory();
    home.write("folder/first", "1");
    home.write("folder/second", "2");
    home.write("folder/third", "3");
    let folder = home.path("folder").canonicalize().unwrap();
    let mut disk = Disk::new(&home.path("").canonicalize().unwrap());
    let mut make = |act, path: &str, target: Option<&str>| {
        let (path, target) = (folder.join(path), target.map(|target| folder.join(target)));
        let intent = disk.intend(act, &path, target.as_deref());
        match act {
            Act::Rename => fs::rename(&path, target.unwrap()).unwrap(),
            Act::Remove => fs::remove_file(&path).unwrap(),
            Act::MakeFolder => fs::create_dir(&path).unwrap(),
            Act::Open => fs::write(&path, "new").unwrap(),
            _ => disk.sync(&path),
        }
        intent.into_iter().for_each(|intent| disk.done(intent));
    };
    make(Act::Rename, "first", Some("one"));
    make(Act::Sync, "", None);
    make(Act::Rename, "second", Some("third"));
    make(Act::Remove, "one", None);
    make(Act::MakeFolder, "new", None);
    make(Act::Open, "new/file", None);
    disk.power_cut(Names::Lost(None));
    let mut names: Vec<_> = fs::read_dir(home.path("folder"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["one", "second", "third"]);
    let read = |name: &str| fs::read_to_string(home.path(format!("folder/{name}"))).unwrap();
    assert_eq!([read("one"), read("second"), read("third")], ["1", "2", "3"]);
}

#[test]
fn a_full_and_a_broken_disk_are_told_to_the_program() {
    for (strike, text) in [
        (Strike::FullFrom as fn(usize) -> Strike, "No space left on device"),
        (Strike::BrokenAt as _, "Input/output error"),
    ] {
        let mut told = 0;
        for number in 1.. {
            let (home, command) = in_place();
            let traced = run(&command, &home.path(""), strike(number));
            if traced.struck.is_none() {
                break;
            }
            // There are calls that may fail: it tries another way to copy.
            if traced.run.code != 0 {
                assert!(traced.run.stderr.contains(text), "{number}: {}", traced.run.stderr);
                told += 1;
            }
        }
        assert!(told > 0, "{text}");
    }
}

#[test]
fn ketch_without_fsync_is_seen_to_lose_content_in_a_power_cut() {
    let files = Files::small();
    let mut template = World::new(COPY, &files);
    let mut lost = 0;
    for number in 1.. {
        let world = template.copy();
        let mut command = world.home().command();
        command.args(["copy", "--transfers", "1", "--fsync", "none", "source", "destination"]);
        let traced = run(&command, &world.home().path(""), Strike::KillBefore(number));
        if traced.struck.is_none() {
            break;
        }
        traced.disk.power_cut(Names::Kept);
        lost += after_strike(&world, &files, "without fsync").len();
    }
    assert!(lost > 0, "files got their names before their content was safe, and nobody saw it");
}
