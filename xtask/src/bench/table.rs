//! The page with the figures: date, machine, commands, medians, ratios, and which goals are met.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::measure::{Run, version};
use super::rows::{Contestant, Goal, Row};

/// Where the part of the page begins that is written by hand.
const KEPT: &str = "## Beside the table";
/// What the program may weigh.
const BINARY_MEGABYTES: f64 = 15.0;

/// A row with the medians of its tools.
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) results: Vec<(Contestant, Run)>,
}

/// The page.
pub(crate) fn write(
    measured: &[Measured],
    ketch: &Path,
    origin: &str,
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
         like, and `ketch, syncing` is the default (`--fsync file`). Tools do not do the same work: beside each is what it \
         compares or verifies.",
    );
    put(&mut page, "");
    let _ = writeln!(
        page,
        "* {}, {origin}, {rounds} runs of each tool after one to warm up, data on {} ({})",
        date(),
        at.display(),
        file_system(at)
    );
    let _ = writeln!(page, "* {}, load at the end {}", machine(), load.trim());
    let megabytes = binary.len() as f64 / 1e6;
    let is_met = megabytes <= BINARY_MEGABYTES;
    let _ = writeln!(
        page,
        "* binary: {megabytes:.1} MB. Goal: at most {BINARY_MEGABYTES} MB: {}",
        met(Some(is_met))
    );
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
    for measured in measured.iter().filter(|measured| measured.row.growth.is_none()) {
        section(&mut page, measured);
    }
    growth(&mut page, measured);
    Ok(page)
}

/// `page`, with what `before` has by hand: from [`KEPT`] to its end.
pub(crate) fn with_what_is_kept(page: &str, before: &str) -> String {
    match before.find(KEPT) {
        Some(at) => format!("{}\n{}", page.trim_end_matches('\n').to_owned() + "\n", &before[at..]),
        None => page.to_owned(),
    }
}

/// How time and memory grow with the entries of a tree.
fn growth(page: &mut String, measured: &[Measured]) {
    let mut steps = measured
        .iter()
        .filter_map(|measured| Some((measured.row.growth?, measured.results.first()?)))
        .peekable();
    let Some((_, (contestant, _))) = steps.peek() else { return };
    let _ = writeln!(
        page,
        "\n## Growth: a sync of N files in folders of 500, nothing to do\n\n`{}`\n",
        contestant.command
    );
    page.push_str(
        "| files on each side | seconds | microseconds a file | processor seconds | peak MiB |\n",
    );
    page.push_str("|---|---|---|---|---|\n");
    for (files, (_, run)) in steps {
        let _ = writeln!(
            page,
            "| {files} | {:.3} | {:.2} | {:.2} | {} |",
            run.seconds,
            run.seconds * 1e6 / files as f64,
            run.processor_seconds,
            peak(run.peak_kib)
        );
    }
}

fn section(page: &mut String, measured: &Measured) {
    let Measured { row, results } = measured;
    let _ = writeln!(page, "\n## {}\n", row.about);
    let run_of = |tool: &str| {
        results.iter().find(|(contestant, _)| contestant.tool == tool).map(|(_, run)| *run)
    };
    let first_peer = row.goals.first().map_or("ketch", |goal| goal.peer);
    let ratio = |seconds: f64| match run_of(first_peer) {
        Some(peer) => format!("{:.2}", seconds / peer.seconds),
        None => "-".to_owned(),
    };
    let _ = writeln!(
        page,
        "| tool | seconds | × {first_peer} | processor seconds | peak MiB | compares or verifies | command |"
    );
    page.push_str("|---|---|---|---|---|---|---|\n");
    for (contestant, run) in results {
        let _ = writeln!(
            page,
            "| {} | {:.3} | {} | {:.2} | {} | {} | `{}` |",
            contestant.tool,
            run.seconds,
            ratio(run.seconds),
            run.processor_seconds,
            peak(run.peak_kib),
            contestant.verifies,
            contestant.command
        );
    }
    for goal in &row.goals {
        tell_goal(page, goal, run_of(goal.tool), run_of(goal.peer));
    }
}

/// A line for each thing a goal asks for.
fn tell_goal(page: &mut String, goal: &Goal, ours: Option<Run>, peer: Option<Run>) {
    let Some(ours) = ours else { return };
    let tool = goal.tool;
    if let Some(most) = goal.ratio {
        let found = peer.map(|peer| ours.seconds / peer.seconds);
        let is_met = met(found.map(|found| found <= most));
        let found = found.map_or(String::new(), |found| format!(" ({found:.2})"));
        let _ = writeln!(page, "\nGoal: {tool} at most {most} × {}: {is_met}{found}.", goal.peer);
    }
    if let Some(most) = goal.milliseconds {
        let is_met = met(Some(ours.seconds * 1e3 <= most as f64));
        let _ = writeln!(page, "\nGoal: {tool} at most {most} ms: {is_met}.");
    }
    if let Some(most) = goal.peak_mib {
        // A run that is over before it was looked at has no peak.
        let is_met = met((ours.peak_kib > 0).then_some(ours.peak_kib <= most * 1024));
        let _ = writeln!(page, "\nGoal: {tool} at most {most} MiB: {is_met}.");
    }
}

fn met(is_met: Option<bool>) -> &'static str {
    match is_met {
        Some(true) => "met",
        Some(false) => "**not met**",
        None => "not measured",
    }
}

fn peak(kib: u64) -> String {
    if kib == 0 { "-".to_owned() } else { format!("{:.1}", kib as f64 / 1024.0) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_is_kept_with_everything_after_it() {
        let before = "# Benchmarks\n\nold\n\n## Beside the table\n\nby hand\n\n## More\n\nend";
        let expected = "# Benchmarks\n\nnew\n\n## Beside the table\n\nby hand\n\n## More\n\nend";
        assert_eq!(with_what_is_kept("# Benchmarks\n\nnew\n", before), expected);
        assert_eq!(with_what_is_kept("# Benchmarks\n\nnew\n", expected), expected);
        assert_eq!(with_what_is_kept("new\n", "no such part"), "new\n");
    }
}
