//! The crash harness: the built binary is killed, cut from power or refused room at every call that changes a disk and at
//! every request to the emulator; then the same command is run again, and everything must be as if nothing had happened.
//!
//! * `crash/tracer.rs` counts the calls (`ptrace`) and strikes at the chosen one; `calls.rs` and `registers.rs` say what a
//!   call is.
//! * `crash/disk.rs` is the disk that forgets what was not synced.
//! * `crash/proofs.rs` kills what writes and reads manifests.
//! * `crash/catalogs.rs` kills a sync with a catalogue.
//! * `crash/cases.rs` has the jobs, `crash/world.rs` their places, `crash/checks.rs` the rules.
//!
//! A small job between local folders is killed at *every* call, and at every request to the emulator. Of its calls with
//! 1fichier on one side, and for power cuts and bad disks, a part is struck, another part each time; `KETCH_CRASH_ALL=1`
//! strikes every single one. Larger jobs are struck at random calls: `KETCH_CRASH_RUNS` is how many of them there are (16
//! unless set), `KETCH_CRASH_CUTS` how often a job's record is cut (8 for each row). `KETCH_CRASH_SEED` repeats a seed that
//! was printed. Every failure names its run, and `KETCH_CRASH_ONLY='that name'` runs it alone. `crash/honest.rs` shows that
//! the harness sees what it is there to see.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unreachable_pub, reason = "shared by the modules of one test")]
#![allow(clippy::print_stderr, reason = "seeds are told")]

#[path = "crash/calls.rs"]
mod calls;
#[path = "crash/cases.rs"]
mod cases;
#[path = "crash/catalogs.rs"]
mod catalogs;
#[path = "crash/checks.rs"]
mod checks;
#[path = "crash/disk.rs"]
mod disk;
#[path = "crash/honest.rs"]
mod honest;
#[path = "crash/proofs.rs"]
mod proofs;
#[path = "crash/registers.rs"]
mod registers;
#[path = "crash/requests.rs"]
mod requests;
mod support;
#[path = "crash/system.rs"]
mod system;
#[path = "crash/tracer.rs"]
mod tracer;
#[path = "crash/world.rs"]
mod world;

use cases::{CASES, Case, Files, Side, Verb};
use checks::{
    Findings, Rule, Violation, Way, after_bad_disk, after_rerun, after_strike, moved_once,
};
use disk::Names;
use ketch_fichier_sim::Effect;
use requests::kill_at_request;
use std::fs::File;
use std::path::PathBuf;
use support::{finish, tree};
use tracer::{Strike, Traced, run};
use world::World;

/// More calls than any small job makes: a loop that passes it has gone wrong.
const MOST_CALLS: usize = 2_000;
/// More requests than any small job makes.
const MOST_REQUESTS: u64 = 200;
/// Fewer calls than any job that stores something locally makes: below, the tracer does not see.
const FEWEST_CALLS: usize = 10;

const FULL_DISK: &str = "disk full from";
/// What is said of a file that is not the version on record.
const STRANGERS: [&str; 2] = [
    "it is not as it was when the plan was made",
    "it changed after it was copied, so it stays at the source",
];
const TORN_RECORD: &str = "torn records by seed ";
const RANDOM_JOB: &str = "random job ";

/// The first call that is struck and the step to the next: of every `local` calls one between local folders, and of every
/// `remote` calls one with 1fichier, where most are about two small files that are hints. Another one each time.
fn calls(case: Case, seed: u64, local: usize, remote: usize) -> (usize, usize) {
    let is_local = (case.from, case.to) == (Side::Local, Side::Local);
    let step = if is_local { local } else { remote };
    (1 + seed as usize % step, step)
}

/// The one run that is asked for.
fn only() -> Option<String> {
    std::env::var("KETCH_CRASH_ONLY").ok()
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Where chance begins unless it is told: the same each time, so that what passed once passes again as far as threads let it.
const USUAL_SEED: u64 = 1_795_000_000_000;

/// Where chance begins: `KETCH_CRASH_SEED`, or [`USUAL_SEED`]. `cargo xtask check --slow` sets another one each time.
fn seed() -> u64 {
    number("KETCH_CRASH_SEED").unwrap_or(USUAL_SEED)
}

/// The small job of one case under one kind of strike.
struct EachCall<'a> {
    case: Case,
    way: Way,
    /// Completes "copy, local to local, … call 17".
    how: &'a str,
    /// The first call that is struck, and how many lie between one and the next.
    calls: (usize, usize),
    strike: fn(usize) -> Strike,
}

impl EachCall<'_> {
    /// Strikes at each call in turn, until the job ends before the call is reached. `then` says what was wrong after that.
    fn run(
        &self,
        findings: &mut Findings,
        mut then: impl FnMut(&World, &Files, &str, Traced) -> Vec<Violation>,
    ) {
        let (case, files) = (self.case, Files::small());
        let mut template = World::new(case, &files);
        let is_all = only().is_some() || std::env::var_os("KETCH_CRASH_ALL").is_some();
        let (from, step) = if is_all { (1, 1) } else { self.calls };
        for number in (from..MOST_CALLS).step_by(step) {
            let label = format!("{case}, {} call {number}", self.how);
            if only().is_some_and(|only| only != label) {
                continue;
            }
            let world = template.copy();
            let first = run(&world.command(), &world.home().path(""), (self.strike)(number));
            if first.struck.is_none() {
                assert_eq!(first.run.code, 0, "{label}: {}", first.run.stderr);
                assert!(case.to == Side::Fichier || number > FEWEST_CALLS, "{number} calls seen");
                return;
            }
            let violations = then(&world, &files, &label, first);
            findings.add(case, self.way, &label, violations);
        }
        assert!(only().is_some(), "{case}: the calls have no end");
    }
}

/// The same command again, after a kill. Where it writes locally it is traced, so that every byte is counted.
fn rerun(world: &World, files: &Files, label: &str, first: &Traced) -> Vec<Violation> {
    let mut written = first.written_below(&world.local_destination());
    let second = if world.case.to == Side::Local {
        let second = run(&world.command(), &world.home().path(""), Strike::Never);
        written += second.written_below(&world.local_destination());
        second.run
    } else {
        finish(&mut world.command())
    };
    let mut violations = after_rerun(world, files, label, &second);
    violations.extend(moved_once(world, files, label, written));
    violations
}

/// Cuts the power, and runs the same command again: twice, if it took for a stranger what came back.
fn after_power_cut(
    world: &World,
    files: &Files,
    label: &str,
    first: Traced,
    names: Names,
) -> Vec<Violation> {
    let came_back = world.cut_power(first.disk, names);
    let mut violations = after_strike(world, files, label);
    let mut last = finish(&mut world.command());
    let says_stranger = STRANGERS.iter().any(|text| last.stderr.contains(text));
    if came_back && matches!(last.code, 23 | 24) && says_stranger {
        last = finish(&mut world.command());
    }
    violations.extend(after_rerun(world, files, label, &last));
    violations
}

/// The same command again, after anything that may have cost what was moved.
fn rerun_afresh(world: &World, files: &Files, label: &str) -> Vec<Violation> {
    after_rerun(world, files, label, &finish(&mut world.command()))
}

#[test]
fn killed_at_any_call_every_path_is_old_or_new_and_the_same_command_finishes_the_job() {
    let mut findings = Findings::default();
    let seed = seed();
    eprintln!("seed {seed}");
    for case in CASES.iter().copied() {
        let (way, how, calls) = (Way::Call, "killed before", calls(case, seed, 1, 6));
        let strike = Strike::KillBefore as fn(_) -> _;
        EachCall { case, way, how, calls, strike }.run(
            &mut findings,
            |world, files, label, first| {
                let mut violations = after_strike(world, files, label);
                violations.extend(rerun(world, files, label, &first));
                violations
            },
        );
    }
    findings.judge();
}

#[test]
fn a_power_cut_at_any_call_leaves_no_file_without_its_content() {
    let mut findings = Findings::default();
    let seed = seed();
    eprintln!("seed {seed}");
    for case in CASES.iter().copied() {
        for (names, how) in [
            (Names::Kept, "power cut with names kept before"),
            (Names::Lost(None), "power cut with names lost before"),
        ] {
            let calls = calls(case, seed, 3, 12);
            let (way, strike) = (Way::PowerCut, Strike::KillBefore as fn(_) -> _);
            let each = EachCall { case, way, how, calls, strike };
            each.run(&mut findings, |world, files, label, first| {
                after_power_cut(world, files, label, first, names)
            });
        }
    }
    findings.judge();
}

#[test]
fn killed_at_any_request_nothing_is_stored_twice_and_the_same_command_finishes_the_job() {
    let mut findings = Findings::default();
    let reaches_1fichier = |case: &Case| [case.from, case.to].contains(&Side::Fichier);
    for case in CASES.iter().copied().filter(reaches_1fichier) {
        let files = Files::small();
        let mut template = World::new(case, &files);
        for (how, effect) in [
            ("killed before request", Effect::Hold),
            ("killed before the answer to request", Effect::HoldAnswer),
            ("killed in the middle of request", Effect::HoldAfter(400_000)),
            ("killed with everything on its way of request", Effect::HoldWhole),
        ] {
            for number in 1..MOST_REQUESTS {
                let label = format!("{case}, {how} {number}");
                if only().is_some_and(|only| only != label) {
                    continue;
                }
                let world = template.copy();
                let Some(sim) = world.sim() else { continue };
                if !kill_at_request(&mut world.command(), sim, number, effect.clone()) {
                    if sim.stats().requests.values().sum::<u64>() < number {
                        break;
                    }
                    continue; // Its body is shorter.
                }
                let mut violations = after_strike(&world, &files, &label);
                violations.extend(rerun_afresh(&world, &files, &label));
                violations.extend(moved_once(&world, &files, &label, 0));
                findings.add(case, Way::Request, &label, violations);
            }
        }
    }
    findings.judge();
}

/// Faults 31 and 34.
#[test]
fn a_disk_that_is_full_or_broken_at_any_call_keeps_old_or_new_and_the_same_command_goes_on_later() {
    let mut findings = Findings::default();
    let seed = seed();
    eprintln!("seed {seed}");
    for case in CASES.iter().copied().filter(|case| case.to == Side::Local) {
        for (how, strike) in [
            (FULL_DISK, Strike::FullFrom as fn(_) -> _),
            ("disk broken at", Strike::BrokenAt as fn(_) -> _),
        ] {
            let (way, calls) = (Way::BadDisk, calls(case, seed, 3, 8));
            EachCall { case, way, how, calls, strike }.run(
                &mut findings,
                |world, files, label, first| {
                    let mut violations = after_strike(world, files, label);
                    violations.extend(after_bad_disk(
                        world,
                        files,
                        label,
                        how == FULL_DISK,
                        &first.run,
                    ));
                    violations.extend(rerun_afresh(world, files, label));
                    violations
                },
            );
        }
    }
    findings.judge();
}

/// The files that the record of interrupted jobs grows by, with their lengths. Its other files get their names when they are
/// whole and on the disk, so no crash cuts them.
fn record_files(world: &World) -> Vec<(PathBuf, u64)> {
    let jobs = world.home().path("state/ketch/jobs");
    if !jobs.exists() {
        return Vec::new();
    }
    let grows = |path: &PathBuf| path.extension().is_none_or(|extension| extension != "json");
    let files = tree(&jobs).into_iter().filter(|(path, _)| grows(path));
    files.map(|(path, content)| (jobs.join(path), content.len() as u64)).collect()
}

/// One kill of the small job by chance, after which one file of its record ends at one byte by chance.
///
/// Each cut is a run of its own, because files that were put back would not be the versions that are on record.
fn torn_record(findings: &mut Findings, template: &mut World, files: &Files, seed: u64) {
    let case = template.case;
    let label = format!("{case}, {TORN_RECORD}{seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = template.copy();
    let strike = Strike::KillBefore(random.usize(10..80));
    let first = run(&world.command(), &world.home().path(""), strike);
    let kept = record_files(&world);
    let (true, Some((path, length))) = (first.struck.is_some(), random.choice(kept)) else {
        return; // It ended before, or was killed before there was a record.
    };
    let cut = random.u64(..length.max(1));
    File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = format!("{label}, {strike:?}, `{name}` cut at {cut} of {length}");
    let mut violations = after_strike(&world, files, &text);
    violations.extend(rerun_afresh(&world, files, &text));
    // Where an upload went is known from its note only, and no crash cuts away what was forced to the disk.
    violations.retain(|violation| case.to == Side::Local || violation.rule != Rule::OneOfEachName);
    findings.add(case, Way::TornRecord, &label, violations);
}

#[test]
fn a_job_record_that_is_cut_anywhere_costs_no_promise() {
    let mut findings = Findings::default();
    let base = seed();
    eprintln!("seed {base}");
    let (files, cuts) = (Files::small(), number("KETCH_CRASH_CUTS").unwrap_or(8));
    for case in CASES.iter().copied() {
        let mut template = World::new(case, &files);
        let start = format!("{case}, {TORN_RECORD}");
        match only().map(|only| only.strip_prefix(&start).map(str::to_owned)) {
            Some(Some(seed)) => {
                let seed = seed.parse().expect("a seed");
                torn_record(&mut findings, &mut template, &files, seed);
            }
            Some(None) => {}
            None => (base..base + cuts)
                .for_each(|seed| torn_record(&mut findings, &mut template, &files, seed)),
        }
    }
    findings.judge();
}

#[test]
fn killed_inside_a_large_file_the_next_run_goes_on_behind_the_last_whole_part() {
    let mut findings = Findings::default();
    let seed = seed();
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let files = Files::large(&mut random);
    for from in [Side::Local, Side::Fichier] {
        let case = Case { verb: Verb::Copy, from, to: Side::Local };
        let mut template = World::new(case, &files);
        let counted = template.copy();
        let calls = run(&counted.command(), &counted.home().path(""), Strike::Never).calls;
        for tenth in [5, 7, 9] {
            let strike = Strike::KillBefore(calls * tenth / 10);
            let label = format!("{case}, a large file, {strike:?} of {calls}");
            let world = template.copy();
            let first = run(&world.command(), &world.home().path(""), strike);
            let mut violations = after_strike(&world, &files, &label);
            violations.extend(rerun(&world, &files, &label, &first));
            findings.add(case, Way::Call, &label, violations);
        }
    }
    findings.judge();
}

/// One larger job, struck by chance. Everything but the order of its threads follows from the seed.
fn random_job(findings: &mut Findings, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let label = format!("{RANDOM_JOB}{seed}");
    let case = CASES[random.usize(..CASES.len())];
    let files = Files::random(&mut random);
    let mut template = World::new(case, &files);
    let kinds = if case.to == Side::Local { 6 } else { 4 };
    let (strike, names) = match random.usize(..kinds) {
        0 => (Strike::KillBefore as fn(_) -> _, None),
        1 => (Strike::KillAfter as _, None),
        2 => (Strike::KillBefore as _, Some(Names::Kept)),
        3 => (Strike::KillAfter as _, Some(Names::Lost(Some(seed)))),
        4 => (Strike::FullFrom as _, None),
        _ => (Strike::BrokenAt as _, None),
    };
    let counted = template.copy();
    let calls = run(&counted.command(), &counted.home().path(""), strike(usize::MAX)).calls;
    let strike = strike(random.usize(1..=calls.max(1)));
    let world = template.copy();
    let what = format!("{case}, {strike:?} of {calls}, {names:?}");
    let first = run(&world.command(), &world.home().path(""), strike);
    let way = match (strike, names) {
        (_, Some(_)) => Way::PowerCut,
        (Strike::FullFrom(_) | Strike::BrokenAt(_), None) => Way::BadDisk,
        _ => Way::Call,
    };
    eprintln!("{label}: {what}, at {:?}", first.struck);
    let is_bad_disk = way == Way::BadDisk && first.struck.is_some();
    let bad_disk = is_bad_disk.then(|| {
        let is_full = matches!(strike, Strike::FullFrom(_));
        after_bad_disk(&world, &files, &label, is_full, &first.run)
    });
    let mut violations = match names {
        Some(names) => after_power_cut(&world, &files, &label, first, names),
        None => {
            let mut violations = after_strike(&world, &files, &label);
            violations.extend(match way {
                Way::Call => rerun(&world, &files, &label, &first),
                _ => rerun_afresh(&world, &files, &label),
            });
            violations
        }
    };
    violations.extend(bad_disk.unwrap_or_default());
    findings.add(case, way, &label, violations);
}

#[test]
fn larger_jobs_struck_by_chance_keep_every_promise_too() {
    let mut findings = Findings::default();
    if let Some(only) = only() {
        if let Some(seed) = only.strip_prefix(RANDOM_JOB) {
            random_job(&mut findings, seed.parse().expect("a seed"));
        }
        return findings.judge();
    }
    let (seed, runs) = (seed(), number("KETCH_CRASH_RUNS").unwrap_or(16));
    eprintln!("seeds {seed} to {}", seed + runs);
    for seed in seed..seed + runs {
        random_job(&mut findings, seed);
    }
    findings.judge();
}
