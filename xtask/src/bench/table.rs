//! The page with the figures: date, machine, commands, medians, ratios, and which goals are met.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::commit;
use super::measure::{Run, version};
use super::rows::{Contestant, Row};

/// A row with the medians of its tools.
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) results: Vec<(Contestant, Run)>,
}

/// The page.
pub(crate) fn write(
    measured: &[Measured],
    ketch: &Path,
    at: &Path,
    rounds: usize,
) -> Result<String, String> {
    let mut page = String::new();
    let binary = fs::metadata(ketch).map_err(|error| format!("{}: {error}", ketch.display()))?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let put = |page: &mut String, line: &str| {
        page.push_str(line);
        page.push('\n');
    };
    put(&mut page, "# Benchmarks");
    put(&mut page, "");
    put(
        &mut page,
        "Written by `cargo xtask bench --write`; do not edit. The tools of a row take turns and the figures are medians. \
         Other work may run on the machine, so the ratios are what counts, and the processor time beside them. `cp`, \
         `rsync` and `rclone` force nothing to the disk; the rows named `ketch` use `--fsync none` to compare like with \
         like, and `ketch, syncing` is the default (`--fsync file`).",
    );
    put(&mut page, "");
    let _ = writeln!(
        page,
        "* {}, commit {}, {rounds} runs of each tool after one to warm up, data on {} ({})",
        date(),
        commit(),
        at.display(),
        file_system(at)
    );
    let _ = writeln!(page, "* {}, load at the end {}", machine(), load.trim());
    let _ = writeln!(page, "* binary: {:.1} MB", binary.len() as f64 / 1e6);
    let mut programs: Vec<&str> = measured
        .iter()
        .flat_map(|row| row.results.iter().map(|(contestant, _)| contestant.program()))
        .filter(|program| *program != "ketch")
        .collect();
    programs.sort_unstable();
    programs.dedup();
    for program in programs {
        let _ = writeln!(page, "* {}", version(program));
    }
    for measured in measured {
        section(&mut page, measured);
    }
    Ok(page)
}

fn section(page: &mut String, measured: &Measured) {
    let Measured { row, results } = measured;
    let _ = writeln!(page, "\n## {}\n", row.about);
    let time_of = |tool: &str| {
        results.iter().find(|(contestant, _)| contestant.tool == tool).map(|(_, run)| run.seconds)
    };
    let peer = time_of(row.goal.peer);
    let ratio = |seconds: f64| match peer {
        Some(peer) => format!("{:.2}", seconds / peer),
        None => "-".to_owned(),
    };
    let _ = writeln!(
        page,
        "| tool | seconds | × {} | processor seconds | peak MiB | command |",
        row.goal.peer
    );
    page.push_str("|---|---|---|---|---|---|\n");
    for (contestant, run) in results {
        let _ = writeln!(
            page,
            "| {} | {:.3} | {} | {:.2} | {:.1} | `{}` |",
            contestant.tool,
            run.seconds,
            ratio(run.seconds),
            run.processor_seconds,
            run.peak_kib as f64 / 1024.0,
            contestant.command
        );
    }
    let Some((_, ours)) = results.iter().find(|(contestant, _)| contestant.tool == "ketch") else {
        return;
    };
    let is_fast = peer.map(|peer| ours.seconds / peer <= row.goal.ratio);
    let is_small = row.goal.peak_mib.map(|peak| ours.peak_kib <= peak * 1024);
    let told = |is_met: Option<bool>| match is_met {
        Some(true) => "met",
        Some(false) => "**not met**",
        None => "not measured",
    };
    if row.goal.peer != "ketch" {
        let _ = write!(
            page,
            "\nGoal: at most {} × {}: {}.",
            row.goal.ratio,
            row.goal.peer,
            told(is_fast)
        );
    }
    if let Some(peak) = row.goal.peak_mib {
        let _ = write!(page, "\nGoal: at most {peak} MiB: {}.", told(is_small));
    }
    page.push('\n');
}

fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = text.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}

fn file_system(folder: &Path) -> String {
    told(Command::new("stat").args(["--file-system", "--format=%T"]).arg(folder))
}

fn date() -> String {
    told(Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M UTC"]))
}

/// What a command prints.
fn told(command: &mut Command) -> String {
    let output = command.output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
