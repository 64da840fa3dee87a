//! Faults of the system that end no process: disks that cannot be read, that become read-only or hang, short writes, limits,
//! clocks, a machine that sleeps. The numbers are the rows of the fault catalogue.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use ketch_fichier_sim::Effect;
use ketch_fichier_sim::{Fault, Site};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cases::{Case, Files, Side, Verb};
use super::checks::{Findings, Way, after_rerun, after_strike};
use super::tracer::{Strike, run};
use super::world::{World, runtime};
use crate::support::{Home, Run, behind, finish};

const fn case(verb: Verb, from: Side, to: Side) -> Case {
    Case { verb, from, to }
}

const LOCAL: Case = case(Verb::Sync, Side::Local, Side::Local);
const UP: Case = case(Verb::Sync, Side::Local, Side::Fichier);
const DOWN: Case = case(Verb::Sync, Side::Fichier, Side::Local);

/// Both sides are as wanted, and nothing is open.
#[track_caller]
fn assert_done(world: &World, files: &Files, label: &str, run: &Run) {
    let mut findings = Findings::default();
    findings.add(world.case, Way::BadDisk, label, after_rerun(world, files, label, run));
    findings.judge();
}

#[test]
fn fault_33_a_file_that_cannot_be_read_fails_alone_and_nothing_is_lost_by_it() {
    let files = Files::small();
    for case in [LOCAL, UP] {
        let world = World::new(case, &files);
        let strike = Strike::Unreadable("source/over.txt");
        let traced = run(&world.command(), &world.home().path(""), strike);
        let said = &traced.run.stderr;
        assert!(traced.struck.is_some(), "{case}: it was never read");
        assert_eq!(traced.run.code, 23, "{case}: {said}");
        assert!(said.contains("over.txt") && said.contains("input/output error"), "{case}: {said}");
        let held = world.destination();
        assert_eq!(held["over.txt"], [b"the old one"], "{case}");
        for path in ["a.txt", "big.bin", "deep/one/x.txt"] {
            assert_eq!(held.get(path), Some(&vec![files.source[path].clone()]), "{case}: {path}");
        }
        assert_done(&world, &files, "readable again", &finish(&mut world.command()));
    }
}

#[test]
fn fault_35_short_writes_and_interrupted_calls_are_gone_on_with() {
    let files = Files::small();
    for case in [LOCAL, DOWN] {
        let world = World::new(case, &files);
        let traced = run(&world.command(), &world.home().path(""), Strike::ShortWrites);
        assert!(traced.calls > 20, "{case}: {} writes", traced.calls);
        assert_done(&world, &files, "short writes", &traced.run);
    }
}

/// The command of a world under a limit of the shell.
fn limited(world: &World, limit: &str) -> Run {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "sh"]);
    finish(&mut behind(shell, &world.command()))
}

#[test]
fn fault_36_few_open_files_make_it_slower_and_too_few_are_told_of() {
    let mut files = Files::small();
    files.transfers = 64;
    for number in 0..200 {
        files.source.insert(format!("many/{number}"), vec![1; 70_000]);
    }
    let world = World::new(LOCAL, &files);
    let refused = limited(&world, "-n 20").expect(1).says("ulimit -n");
    assert!(refused.stdout.is_empty() && !world.destination().contains_key("a.txt"));
    assert_done(&world, &files, "32 files", &limited(&world, "-n 32"));
}

#[test]
fn fault_38_a_disk_that_becomes_read_only_ends_the_job_and_says_so() {
    let files = Files::small();
    let mut template = World::new(LOCAL, &files);
    let mut findings = Findings::default();
    for number in (1..).step_by(3) {
        let world = template.copy();
        let destination = world.local_destination();
        let traced = run(&world.command(), &destination, Strike::ReadOnlyFrom(number));
        if traced.struck.is_none() {
            break;
        }
        let label = format!("read-only from {number}");
        // Times of folders are told of and are no failure.
        let code = traced.run.code;
        assert!(matches!(code, 0 | 7), "{label}: {code}: {}", traced.run.stderr);
        assert!(traced.run.stderr.contains("read-only"), "{label}: {}", traced.run.stderr);
        findings.add(LOCAL, Way::BadDisk, &label, after_strike(&world, &files, &label));
        let rerun = finish(&mut world.command());
        findings.add(LOCAL, Way::BadDisk, &label, after_rerun(&world, &files, &label, &rerun));
    }
    findings.judge();
}

#[test]
fn fault_39_a_limit_of_file_sizes_is_an_error_of_its_file_and_kills_nothing() {
    let files = Files::small();
    let world = World::new(LOCAL, &files);
    // 512 KiB in the unit of POSIX, half of that where a shell counts by the KiB: below `big.bin`, above everything else.
    let run = limited(&world, "-f 1024").expect(23).says("big.bin").says("limit of this process");
    let held = world.destination();
    assert!(held.contains_key("a.txt") && !held.contains_key("big.bin"), "{}", run.stderr);
    assert_done(&world, &files, "without the limit", &finish(&mut world.command()));
}

#[test]
fn fault_43_a_disk_that_hangs_does_not_keep_ctrl_c_from_ending_the_program() {
    let files = Files::small();
    let world = World::new(LOCAL, &files);
    let destination = world.local_destination();
    let traced = run(&world.command(), &destination, Strike::Hang(4));
    assert!(traced.struck.is_some(), "{}", traced.run.stderr);
    assert_eq!(traced.run.code, 130, "{}", traced.run.stderr);
    assert_done(&world, &files, "the disk works again", &finish(&mut world.command()));
}

/// Seconds since 1970: the ends of 32 bits, before the epoch, and far away.
const TIMES: [i64; 7] =
    [-2_147_483_648, -1, 0, 2_147_483_648, 4_294_967_296, 7_000_000_000, 15_000_000_000];

fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}

#[test]
fn fault_45_files_of_any_time_are_copied_and_a_second_run_finds_nothing_to_do() {
    let home = Home::in_memory();
    for seconds in TIMES {
        let path = home.write(format!("source/{seconds}"), "content");
        File::options().write(true).open(path).unwrap().set_modified(time(seconds)).unwrap();
    }
    home.run(["sync", "source", "destination"]).expect(0);
    for seconds in TIMES {
        let copied = fs::metadata(home.path(format!("destination/{seconds}"))).unwrap();
        assert_eq!(copied.modified().unwrap(), time(seconds));
    }
    let again = home.run(["sync", "--json", "source", "destination"]).expect(0);
    assert!(!again.stdout.contains("\"copy\""), "{}", again.stdout);
    home.run(["sync", "source", "sandbox:there"]).expect(0);
    home.run(["check", "source", "sandbox:there"]).expect(0);
}

/// A download stands still while the machine sleeps; when it wakes the connection is gone and the address has run out.
#[test]
fn fault_46_a_machine_that_slept_renews_what_ran_out_and_goes_on() {
    let files = Files::small();
    let world = World::new(DOWN, &files);
    let sim = world.sim().unwrap();
    // One file at a time, and `big.bin` is the second.
    sim.faults().inject(Fault::nth(2, Site::Download, Effect::HoldAfter(400_000)));
    let mut command = world.command();
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let patience = Duration::from_secs(60);
    let arrived = async { tokio::time::timeout(patience, sim.holds().arrived()).await };
    runtime().block_on(arrived).expect("the download begins");
    kill(pid, Signal::SIGSTOP).unwrap();
    sim.faults().clear();
    sim.faults().inject("download next=1 status 410".parse().unwrap());
    sim.holds().release(false);
    kill(pid, Signal::SIGCONT).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_done(&world, &files, "awake again", &run);
}

#[test]
fn fault_52_a_disk_that_is_full_for_the_records_only_loses_no_track_of_the_job() {
    let files = Files::small();
    let mut template = World::new(LOCAL, &files);
    let mut findings = Findings::default();
    let mut ended = 0;
    for number in (1..).step_by(2) {
        let world = template.copy();
        let state = world.home().path("state");
        fs::create_dir_all(&state).unwrap();
        let traced = run(&world.command(), &state, Strike::FullFrom(number));
        if traced.struck.is_none() {
            break;
        }
        let label = format!("records full from {number}");
        let code = traced.run.code;
        assert!(matches!(code, 0 | 7), "{label}: {code}: {}", traced.run.stderr);
        ended += usize::from(code == 7);
        findings.add(LOCAL, Way::BadDisk, &label, after_strike(&world, &files, &label));
        if code == 0 {
            let done = after_rerun(&world, &files, &label, &traced.run);
            findings.add(LOCAL, Way::BadDisk, &label, done);
        }
        let rerun = finish(&mut world.command());
        findings.add(LOCAL, Way::BadDisk, &label, after_rerun(&world, &files, &label, &rerun));
    }
    assert!(ended > 0, "a job went on without its records");
    findings.judge();
}
