//! Running programs and measuring them: wall time, processor time, peak memory. Knows no tool and no row.
//!
//! Processor time is the growth of the waited-for children's time of this process, in ticks of 10 ms. Peak memory is the
//! high-water mark that the system keeps for a process, read until it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the peak memory is read.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Ticks a second of processor time on Linux.
const TICKS: f64 = 100.0;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    pub(crate) processor_seconds: f64,
    pub(crate) peak_kib: u64,
}

/// Runs a command to its end. `Err` says what went wrong.
pub(crate) fn run(command: &[String], folder: &Path, scratch: &Path) -> Result<Run, String> {
    let shown = command.join(" ");
    let before = children_ticks()?;
    let started = Instant::now();
    let mut child = prepared(&command[0], folder, scratch)
        .args(&command[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{shown}` cannot be started: {error}"))?;
    let status_file = format!("/proc/{}/status", child.id());
    let has_ended = AtomicBool::new(false);
    let (ended, seconds, peak_kib) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while !has_ended.load(Ordering::Relaxed) {
                peak = peak.max(high_water(&status_file));
                std::thread::sleep(LOOK_EVERY);
            }
            peak
        });
        let mut complaint = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            // What cannot be read is not told.
            let _ = std::io::Read::read_to_string(&mut stderr, &mut complaint);
        }
        let ended = child.wait();
        let seconds = started.elapsed().as_secs_f64();
        has_ended.store(true, Ordering::Relaxed);
        (ended.map(|status| (status, complaint)), seconds, watcher.join().unwrap_or(0))
    });
    let (status, complaint) = ended.map_err(|error| format!("`{shown}`: {error}"))?;
    if !status.success() {
        return Err(format!("`{shown}` ended with {status}: {}", complaint.trim()));
    }
    let processor_seconds = (children_ticks()? - before) as f64 / TICKS;
    Ok(Run { seconds, processor_seconds, peak_kib })
}

/// A program in `folder`, with everything that ketch keeps below `scratch`.
fn prepared(program: &str, folder: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    for kept in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        command.env(kept, scratch);
    }
    command
}

/// Peak memory in KiB of a run that is over before it can be looked at, by GNU time; 0 where that is not installed.
pub(crate) fn peak_of_short(command: &[String], folder: &Path, scratch: &Path) -> u64 {
    let mut time = prepared("/usr/bin/time", folder, scratch);
    let output = time.args(["--format", "%M"]).args(command).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
    let text = text.unwrap_or_default();
    text.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

fn high_water(status_file: &str) -> u64 {
    let status = fs::read_to_string(status_file).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn children_ticks() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc: {error}"))?;
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let numbers: Vec<u64> =
        fields.skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(numbers.iter().sum())
}

/// The middle of several runs, each figure by itself.
pub(crate) fn median(runs: &[Run]) -> Run {
    let middle = |figure: fn(&Run) -> f64| {
        let mut figures: Vec<f64> = runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Run {
        seconds: middle(|run| run.seconds),
        processor_seconds: middle(|run| run.processor_seconds),
        peak_kib: middle(|run| run.peak_kib as f64) as u64,
    }
}

/// Is there a program of that name?
pub(crate) fn is_installed(program: &str) -> bool {
    folder_of(program).is_some()
}

/// Where the program of that name lies.
fn folder_of(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).find(|folder| folder.join(program).is_file())
}

/// The program that a name stands for. A script of pyenv in its place would cost a start of its own each time.
pub(crate) fn resolved(program: &str) -> String {
    if !folder_of(program).is_some_and(|folder| folder.ends_with(".pyenv/shims")) {
        return program.to_owned();
    }
    let output = Command::new("pyenv").args(["which", program]).output();
    let path = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    // What pyenv cannot tell is run by its name.
    path.ok().filter(|path| Path::new(path).is_file()).unwrap_or_else(|| program.to_owned())
}

/// What a program says of itself, in one line.
pub(crate) fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or_default().trim().to_owned()
}
