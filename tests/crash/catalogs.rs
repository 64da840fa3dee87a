//! A `sync` with a catalogue, killed at each of its requests: at any moment every path has what it had or what it is to have,
//! and the next run leaves one catalogue and everything as at the source.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use ketch_fichier_sim::{Effect, Rules, Sim, SimOptions};

use super::MOST_REQUESTS;
use super::requests::kill_at_request;
use super::world::{copy_folder, runtime};
use crate::support::{Home, Run, SANDBOX_KEY, facts, finish};

/// A home with `src`, and an emulator, in which a first `sync` has been.
struct Scene {
    home: Home,
    sim: Sim,
    _state: Home,
}

impl Scene {
    /// A copy of an emulator that nobody runs, and the source as it is after the first `sync`.
    fn from(template: &Home) -> Scene {
        let (home, state) = (Home::in_memory(), Home::in_memory());
        copy_folder(&template.path("sim"), &state.path("sim"));
        let sim = runtime().block_on(Sim::start(SimOptions::new(state.path("sim")))).unwrap();
        write_second(&home);
        Scene { home, sim, _state: state }
    }

    fn ketch(&self, words: &str) -> std::process::Command {
        command(&self.home, &self.sim, words)
    }

    fn run(&self, words: &str) -> Run {
        finish(&mut self.ketch(words))
    }
}

fn command(home: &Home, sim: &Sim, words: &str) -> std::process::Command {
    let place = |word: &str| match word.strip_prefix("box:") {
        Some(path) => format!(
            ":fichier,api_key={SANDBOX_KEY},api_url=\"{}\",pace=off,pace_scale=1000,catalog=true:{path}",
            sim.api_url()
        ),
        None => word.to_owned(),
    };
    let mut command = home.command();
    command.args(words.split(' ').map(place));
    command
}

const SYNC: &str = "sync --links keep --max-delete 100% src box:there";
const BACK: &str = "copy --links keep box:there";

/// A file of a known time.
fn write(home: &Home, name: &str, content: &str, second: u64) {
    let path = home.write(format!("src/{name}"), content);
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000 + second, 7);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// What both bring.
fn write_kept(home: &Home) {
    write(home, "same", "the same in both", 1);
    write(home, "empty", "", 4);
    symlink("same", home.path("src/link")).unwrap();
}

/// What the first `sync` brings.
fn write_first(home: &Home) {
    write_kept(home);
    write(home, "d/edited", "the old content", 2);
    write(home, "d/gone", "only at first", 3);
    write(home, "empty once", "", 5);
    symlink("old/target", home.path("src/turned")).unwrap();
}

/// What the second one brings.
fn write_second(home: &Home) {
    write_kept(home);
    write(home, "d/edited", "the new content", 12);
    write(home, "d/new", "only now", 13);
    write(home, "d/empty now", "", 14);
    symlink("new/target", home.path("src/turned")).unwrap();
    symlink("d/new", home.path("src/link now")).unwrap();
}

/// Kinds and contents, or targets, by path; without times and permissions, which are hints.
fn contents(home: &Home, folder: &str) -> BTreeMap<String, String> {
    let folder = home.path(folder);
    let names = facts(&folder).into_keys();
    let content = |name: &String| {
        let path = folder.join(name);
        if path.is_symlink() {
            return format!("link to {}", fs::read_link(path).unwrap().display());
        }
        fs::read_to_string(path).unwrap_or_else(|_| "folder".to_owned())
    };
    names.map(|name| (name.clone(), content(&name))).collect()
}

fn catalogs(sim: &Sim) -> usize {
    sim.stored().iter().filter(|file| file.path.starts_with("there/.ketch-catalog")).count()
}

/// Whatever a client finds now is old or new, and nothing that both have is missing.
fn old_or_new(scene: &Scene, old: &BTreeMap<String, String>, label: &str) {
    // A process of another machine: it knows nothing of the one that was killed.
    let mut peek = scene.ketch(&format!("{BACK} peek"));
    let run = finish(peek.env("XDG_STATE_HOME", scene.home.path("state of another")));
    // For a moment the old version and the new one are both there, which is told and not guessed about.
    let is_both =
        |path: &str| run.stderr.contains(&format!("failed: {path}: copy: the source has several"));
    let is_told = old.keys().filter(|path| is_both(path)).count() == 1;
    assert!(run.code == 0 || is_told && run.code == 23, "{label}: {}: {}", run.code, run.stderr);
    let (new, found) = (contents(&scene.home, "src"), contents(&scene.home, "peek"));
    for (path, content) in &found {
        let known = [old.get(path), new.get(path)];
        assert!(known.contains(&Some(content)), "{label}: {path} holds {content:?}");
    }
    for path in old.keys().filter(|path| new.contains_key(*path)) {
        assert!(found.contains_key(path) || is_both(path), "{label}: {path} is gone");
    }
}

/// Everything has the content that it has at the source, each file is there once.
fn is_whole(scene: &Scene, label: &str) {
    let names: Vec<String> = scene.sim.stored().into_iter().map(|file| file.path).collect();
    let sent = ["there/same", "there/d/edited", "there/d/new"];
    for name in sent {
        let count = names.iter().filter(|stored| *stored == name).count();
        assert_eq!(count, 1, "{label}: {name} in {names:?}");
    }
    assert_eq!(names.len(), sent.len() + catalogs(&scene.sim), "{label}: {names:?}");
    let run = scene.run("check --links keep src box:there");
    assert_eq!(run.code, 0, "{label}: {}{}", run.stdout, run.stderr);
    let _ = fs::remove_dir_all(scene.home.path("back"));
    let run = scene.run(&format!("{BACK} back"));
    assert_eq!(run.code, 0, "{label}: {}", run.stderr);
    assert_eq!(contents(&scene.home, "back"), contents(&scene.home, "src"), "{label}");
}

/// What has been sent and nobody has asked about shows from now on.
fn show_what_is_late(sim: &Sim) {
    sim.set_rules(Rules { store_after: Duration::ZERO, ..sim.rules() });
}

fn ends_clean(scene: &Scene, label: &str) {
    let run = scene.run(SYNC);
    assert_eq!(run.code, 0, "{label}: {}", run.stderr);
    is_whole(scene, label);
    // A catalogue of the process that was killed may arrive as late as this, beside that of the second one. It says nothing
    // that is newer, and goes with the next one that is stored.
    show_what_is_late(&scene.sim);
    assert!(matches!(catalogs(&scene.sim), 1 | 2), "{label}");
    is_whole(scene, label);
    write(&scene.home, "d/empty at last", "", 15);
    let run = scene.run(SYNC);
    assert_eq!(run.code, 0, "{label}: {}", run.stderr);
    is_whole(scene, label);
    assert_eq!(catalogs(&scene.sim), 1, "{label}");
    // Times are hints: those of the process that was killed are known by now, too.
    let (back, source) = (facts(&scene.home.path("back")), facts(&scene.home.path("src")));
    for (path, fact) in source.iter().filter(|(path, _)| *path != "d") {
        assert_eq!(back.get(path), Some(fact), "{label}: {path}");
    }
}

#[test]
fn a_sync_with_a_catalogue_that_is_killed_at_any_request_is_finished_by_the_next_one() {
    // The emulator's state in one home, what the first source held in another.
    let (template, first) = (Home::in_memory(), Home::in_memory());
    write_first(&first);
    let old = contents(&first, "src");
    let sim = runtime().block_on(Sim::start(SimOptions::new(template.path("sim")))).unwrap();
    finish(&mut command(&first, &sim, SYNC)).expect(0);
    assert_eq!(catalogs(&sim), 1);
    runtime().block_on(sim.shutdown());
    let mut runs = 0;
    for (how, effect) in [
        ("before request", Effect::Hold),
        ("before the answer to request", Effect::HoldAnswer),
        ("with everything on its way of request", Effect::HoldWhole),
    ] {
        for number in 1..MOST_REQUESTS {
            let label = format!("killed {how} {number}");
            let scene = Scene::from(&template);
            if !kill_at_request(&mut scene.ketch(SYNC), &scene.sim, number, effect.clone()) {
                if scene.sim.stats().requests.values().sum::<u64>() < number {
                    break;
                }
                continue; // No upload, so nothing of it can be on its way.
            }
            runs += 1;
            if effect == Effect::HoldWhole {
                show_what_is_late(&scene.sim);
            }
            old_or_new(&scene, &old, &label);
            ends_clean(&scene, &label);
        }
    }
    eprintln!("{runs} runs");
    assert!(runs > 30, "{runs} runs: the job made fewer requests than it must");
}
