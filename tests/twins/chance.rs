//! Folders that are one another by chance: whatever is mounted or linked where, nothing that exists only once is ever removed.
//!
//! `KETCH_TWINS_RUNS` sets how many runs there are, `KETCH_TWINS_SEED` where chance begins; each failure tells its seed.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use super::*;

const USUAL_RUNS: u64 = 100;
const USUAL_SEED: u64 = 20_261_130;
/// One run in so many has a disk that ignores case.
const ANY_CASE: u64 = 8;

const NAMES: [&str; 6] = ["x", "X", "y", "d", "D", "e"];

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

/// What chance made of one run.
struct World {
    home: Home,
    random: fastrand::Rng,
    /// ORDER: what was mounted last goes first.
    mounts: Vec<Mounted>,
    next: u32,
    story: Vec<String>,
}

impl World {
    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.random.usize(..from.len())]
    }

    /// Files of contents that exist once.
    fn fill(&mut self, folder: &str, depth: u32) {
        std::fs::create_dir_all(self.home.path(folder)).unwrap();
        for name in NAMES {
            let path = format!("{folder}/{name}");
            match self.random.u32(..6) {
                0 | 1 if !self.home.path(&path).exists() => {
                    self.next += 1;
                    // Some are of one size, some are not.
                    let filler = "z".repeat(self.random.usize(..2));
                    self.home.write(&path, format!("{:04}{filler}", self.next));
                    self.set_time(&path);
                }
                2 if depth > 0 && !self.home.path(&path).exists() => self.fill(&path, depth - 1),
                _ => {}
            }
        }
    }

    /// Few different times, so that size and time are equal now and then.
    fn set_time(&mut self, path: &str) {
        let seconds = 1_000_000_000 + self.random.u64(..2) * 86_400;
        let file = std::fs::File::options().write(true).open(self.home.path(path)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    }

    /// A folder below one of the two places.
    fn folder(&mut self) -> String {
        let top = *self.pick(&["a", "b"]);
        let mut found = vec![top.to_owned()];
        let mut at = 0;
        while at < found.len() && found.len() < 50 {
            let folder = found[at].clone();
            for entry in std::fs::read_dir(self.home.path(&folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    found.push(format!("{folder}/{}", entry.file_name().to_str().unwrap()));
                }
            }
            at += 1;
        }
        self.pick(&found).clone()
    }

    fn file(&mut self) -> Option<String> {
        let folder = self.folder();
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.home.path(&folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                files.push(format!("{folder}/{}", entry.file_name().to_str().unwrap()));
            }
        }
        files.sort();
        (!files.is_empty()).then(|| self.pick(&files).clone())
    }

    /// A name that nothing has yet, somewhere.
    fn free_name(&mut self) -> Option<String> {
        let folder = self.folder();
        let path = format!("{folder}/{}", self.pick(&NAMES));
        (!self.home.path(&path).exists()).then_some(path)
    }

    fn alias(&mut self) -> bool {
        let kind = self.random.u32(..5);
        let from = if kind < 3 { Some(self.folder()) } else { self.file() };
        let Some((from, to)) = from.zip(self.free_name()) else { return true };
        self.story.push(format!("{kind}: {from} at {to}"));
        match kind {
            0 | 1 => match Mounted::bind(&self.home, &from, &to) {
                Some(mounted) => self.mounts.push(mounted),
                None => return false,
            },
            2 | 3 => symlink(self.home.path(&from), self.home.path(&to)).unwrap(),
            // Not across mounts.
            _ => _ = std::fs::hard_link(self.home.path(&from), self.home.path(&to)),
        }
        true
    }

    fn place(&mut self) -> String {
        let folder = self.folder();
        match self.random.u32(..4) {
            0 => folder,
            1 => self.free_name().unwrap_or(folder),
            _ => (*self.pick(&["a", "b"])).to_owned(),
        }
    }
}

/// What is in a folder and what is seen in it. Links are followed if `fence` says where they must not lead: there, into it, or
/// above it.
fn seen_in(folder: &Path, fence: Option<&Path>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((current, depth)) = waiting.pop() {
        // Mounts and links may lead in circles.
        let Ok(entries) = std::fs::read_dir(&current) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            if meta.is_symlink() {
                let (Some(fence), Ok(target)) = (fence, path.canonicalize()) else { continue };
                // What is only a link to something of the destination is the destination's.
                if target.starts_with(fence) || fence.starts_with(&target) {
                    continue;
                }
            }
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if meta.is_dir() && depth < 8 {
                waiting.push((path, depth + 1));
            } else if meta.is_file() {
                found.insert(std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// One run. `false`: nothing can be mounted here.
fn run(seed: u64) -> bool {
    let home = Home::in_memory();
    let random = fastrand::Rng::with_seed(seed);
    let mut world = World { home, random, mounts: Vec::new(), next: 0, story: Vec::new() };
    let ignores_case = seed.is_multiple_of(ANY_CASE);
    world.fill("a", 2);
    world.fill("b", 2);
    world.fill("elsewhere", 1);
    for _ in 0..world.random.u32(..4) {
        if !world.alias() {
            return false;
        }
    }
    let (mut source, mut destination) = (world.place(), world.place());
    if ignores_case {
        std::fs::create_dir_all(world.home.path("r")).unwrap();
        // Names that are one there are made one before.
        let Some(mounted) = Mounted::faulty(&world.home, "nocase=1") else { return true };
        world.mounts.push(mounted);
        match world.random.u32(..3) {
            0 => destination = "m".to_owned(),
            1 => {
                world.home.run(["copy", &source, "m/Dir"]);
                (source, destination) = ("m/Dir".to_owned(), "m/dir".to_owned());
            }
            _ => {
                world.home.run(["copy", "a", "m/x"]);
                (source, destination) = ("b".to_owned(), "m/X".to_owned());
            }
        }
    }
    let job = *world.pick(&["copy", "sync", "move", "move"]);
    let links = *world.pick(&["--links=skip", "--links=skip", "--links=follow", "--links=keep"]);
    let compare = *world.pick(&["", "--checksum", "--size-only", "--ignore-times"]);
    let mut command = vec![job, &*source, &*destination, links, "--max-delete", "100%"];
    command.extend(Some(compare).filter(|compare| !compare.is_empty()));
    let told = format!("seed {seed}: {command:?}, {:?}", world.story);
    let there = world.home.path(&destination);
    let there = there
        .ancestors()
        .find_map(|path| Some(path.canonicalize().ok()?.join(there.strip_prefix(path).ok()?)));
    let fence = there.as_deref().filter(|_| links == "--links=follow");
    let before = seen_in(&world.home.path(&source), fence);
    let aside = seen_in(&world.home.path("elsewhere"), None);
    for run in 1..=2 {
        let ended = world.home.run(&command);
        assert!(ended.code != 101, "{told}: {}", ended.stderr);
        let mut after = BTreeSet::new();
        for place in ["a", "b", "r", "elsewhere"] {
            after.extend(seen_in(&world.home.path(place), None));
        }
        let lost: Vec<_> = before.difference(&after).collect();
        assert!(lost.is_empty(), "{told}: run {run} lost {lost:?}: {}", ended.stderr);
        assert_eq!(seen_in(&world.home.path("elsewhere"), None), aside, "{told}");
    }
    while let Some(mounted) = world.mounts.pop() {
        drop(mounted);
    }
    true
}

#[test]
fn whatever_leads_where_nothing_that_exists_only_once_is_removed() {
    let (runs, seed) =
        (number("KETCH_TWINS_RUNS", USUAL_RUNS), number("KETCH_TWINS_SEED", USUAL_SEED));
    println!("{runs} runs from seed {seed} on");
    for seed in seed..seed + runs {
        if !run(seed) {
            println!("skipped: nothing can be mounted here");
            return;
        }
    }
}
