//! What must hold after a job was struck down, and after the same command was run again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::cases::{Case, Files, Side};
use super::world::{Stored, World};
use crate::support::{Run, finish};

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Each path holds its old content or its new one, and what is not to be touched is untouched.
    OldOrNew,
    /// The same command again ends well, and both sides are as wanted.
    Converges,
    /// No temporary file of ketch's is left.
    NoPart,
    /// One file of each name.
    OneOfEachName,
    /// Nothing was moved twice, but for one part of each file that was open.
    MovedOnce,
    /// The exit code says how it ended.
    TellsTheTruth,
    /// No job is on record as open.
    NoOpenJob,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    pub rule: Rule,
    text: String,
}

/// How the job came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Killed at a system call.
    Call,
    /// Killed while a request was open.
    Request,
    /// Killed, and what was not synced is gone.
    PowerCut,
    /// Calls failed.
    BadDisk,
    /// Killed, and a file of the job's record is cut short.
    TornRecord,
}

/// The most of a download that was open that may be written again: two ranges, because one is written while the one before
/// is being put on record, and what was on its way to the disk.
const PART_BYTES: u64 = 33 << 20;
/// The same of a copy within the machine, where ranges are larger.
const LOCAL_PART_BYTES: u64 = 65 << 20;
/// The most that a download may have received and not yet written: the ranges that are read ahead.
const AHEAD_BYTES: u64 = 64 << 20;
/// Requests and answers around the bytes of files.
const TALK_BYTES: u64 = 256 << 10;
/// What the system holds of a download that its receiver did not live to read. Linux lets a buffer grow to 6 MiB, which
/// says little about small files; what was *written* of them is counted to the byte.
const SOCKET_BYTES: u64 = 6 << 20;
/// The exit code of a job that ended for want of room.
const FULL: i32 = 7;

/// What went wrong in one test, over all its runs.
#[derive(Debug, Default)]
pub struct Findings {
    failures: Vec<String>,
    broken: BTreeMap<(Rule, String), usize>,
    runs: usize,
}

impl Findings {
    /// One run is through. `label` names it so that it can be run alone.
    pub fn add(&mut self, case: Case, way: Way, label: &str, violations: Vec<Violation>) {
        self.runs += 1;
        for Violation { rule, text } in violations {
            *self.broken.entry((rule, format!("{case}, {way:?}"))).or_default() += 1;
            self.failures.push(format!(
                "{rule:?}: {text}\n  alone: KETCH_CRASH_ONLY='{label}' cargo test -p ketch-cli --test crash"
            ));
        }
    }

    /// Fails the test for what was broken.
    #[track_caller]
    pub fn judge(self) {
        eprintln!("{} runs", self.runs);
        for ((rule, case), count) in &self.broken {
            eprintln!("{rule:?} was broken {count} times: {case}");
        }
        let count = self.failures.len();
        let shown = self.failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
        assert!(count == 0, "{count} promises broken in {} runs:\n{shown}", self.runs);
    }
}

fn is_part(path: &str) -> bool {
    path.rsplit('/').next().unwrap_or(path).starts_with('.') && path.contains(".ketch-")
}

struct Sayings<'a> {
    label: &'a str,
    found: RefCell<Vec<Violation>>,
}

impl Sayings<'_> {
    fn say(&self, rule: Rule, text: impl fmt::Display) {
        let text = format!("{}: {text}", self.label);
        self.found.borrow_mut().push(Violation { rule, text });
    }
}

/// What must hold as soon as the process is gone.
pub fn after_strike(world: &World, files: &Files, label: &str) -> Vec<Violation> {
    let said = Sayings { label, found: RefCell::default() };
    let wanted = files.wanted(world.case.verb);
    let (source, destination) = (world.source(), world.destination());
    for (path, contents) in destination.iter().filter(|(path, _)| !is_part(path)) {
        for content in contents {
            let is_old = files.destination.get(path) == Some(content);
            let is_new = files.source.get(path) == Some(content);
            if !is_old && !is_new {
                let length = content.len();
                said.say(
                    Rule::OldOrNew,
                    format!("{path} holds {length} bytes, neither old nor new"),
                );
            }
        }
    }
    for (path, content) in &files.destination {
        let stays = wanted.destination.contains_key(path);
        if stays && !destination.contains_key(path) {
            said.say(Rule::OldOrNew, format!("{path} is gone"));
        }
        let is_touched = destination.get(path).is_some_and(|held| !held.contains(content));
        if is_touched && !files.source.contains_key(path) {
            said.say(Rule::OldOrNew, format!("{path} has changed, and nobody asked for that"));
        }
    }
    for (path, content) in &files.source {
        let is_there = |held: &Stored| held.get(path).is_some_and(|held| held.contains(content));
        let may_be_moved = !wanted.source.contains_key(path);
        let is_safe = is_there(&source) || may_be_moved && is_there(&destination);
        if !is_safe {
            said.say(Rule::OldOrNew, format!("{path} is lost from the source"));
        }
    }
    said.found.into_inner()
}

/// What must hold when the same command has run to its end.
pub fn after_rerun(world: &World, files: &Files, label: &str, second: &Run) -> Vec<Violation> {
    let said = Sayings { label, found: RefCell::default() };
    let wanted = files.wanted(world.case.verb);
    if second.code != 0 {
        let text = format!("the rerun ended with {}:\n{}", second.code, second.stderr);
        said.say(Rule::Converges, text);
    }
    let (source, destination) = (world.source(), world.destination());
    for path in destination.keys().filter(|path| is_part(path)) {
        said.say(Rule::NoPart, format!("{path} is left after the rerun"));
    }
    for (path, contents) in &destination {
        if contents.len() != 1 {
            let text = format!("{} files are {path} after the rerun", contents.len());
            said.say(Rule::OneOfEachName, text);
        }
    }
    for (name, held, wanted) in
        [("source", &source, &wanted.source), ("destination", &destination, &wanted.destination)]
    {
        for (path, content) in wanted {
            match held.get(path) {
                Some(held) if held.contains(content) => {}
                Some(_) => said.say(Rule::Converges, format!("{path} differs at the {name}")),
                None => said.say(Rule::Converges, format!("{path} is missing at the {name}")),
            }
        }
        for path in held.keys().filter(|path| !is_part(path) && !wanted.contains_key(*path)) {
            said.say(Rule::Converges, format!("{path} is still at the {name}"));
        }
    }
    let jobs = finish(world.home().command().args(["jobs", "list", "--json"]));
    if jobs.code != 0 || jobs.stdout.contains("\"open\"") || jobs.stdout.contains("\"running\"") {
        said.say(Rule::NoOpenJob, format!("{}{}", jobs.stdout, jobs.stderr));
    }
    said.found.into_inner()
}

/// What must hold of a run during which the disk was full or broken.
pub fn after_bad_disk(
    world: &World,
    files: &Files,
    label: &str,
    is_full: bool,
    first: &Run,
) -> Vec<Violation> {
    let said = Sayings { label, found: RefCell::default() };
    // What only makes the next run faster may fail and nothing is said of it.
    if is_full && first.code != FULL && first.code != 0 {
        let text = format!("the disk was full and the code {}:\n{}", first.code, first.stderr);
        said.say(Rule::TellsTheTruth, text);
    }
    if first.code == 0 {
        // Told as done, so it must be.
        let violations = after_rerun(world, files, label, first);
        violations.into_iter().for_each(|violation| said.say(Rule::TellsTheTruth, violation.text));
    }
    said.found.into_inner()
}

/// Files up to this size the local disk copies many at a time.
const GATHERED_BYTES: usize = 64 * 1024;

/// No byte is moved twice, but for one part of each file that was open at the strike.
pub fn moved_once(world: &World, files: &Files, label: &str, written: u64) -> Vec<Violation> {
    let said = Sayings { label, found: RefCell::default() };
    let wanted = files.wanted(world.case.verb);
    let open = files.transfers as u64;
    if world.case.to == Side::Local {
        let part = if world.case.from == Side::Local { LOCAL_PART_BYTES } else { PART_BYTES };
        let small = files.source.values().map(Vec::len).filter(|size| *size <= GATHERED_BYTES);
        let together = match world.case.from {
            Side::Local => small.sum::<usize>() as u64,
            Side::Fichier => 0,
        };
        let most = wanted.moved + open * part.min(wanted.largest) + together;
        if written > most {
            said.say(Rule::MovedOnce, format!("{written} bytes were written, of {most} at most"));
        }
    }
    let Some(sim) = world.sim() else { return said.found.into_inner() };
    let stats = sim.stats();
    let (moved, part) = match world.case.to {
        // An upload cannot be gone on with, so its part is the whole file.
        Side::Fichier => (stats.bytes_in, wanted.largest),
        Side::Local => (stats.bytes_out, AHEAD_BYTES.min(wanted.largest) + SOCKET_BYTES),
    };
    let most = wanted.moved + open * part + TALK_BYTES;
    if moved > most {
        said.say(Rule::MovedOnce, format!("{moved} bytes were moved, of {most} at most"));
    }
    said.found.into_inner()
}
