//! The files in which a job leaves what became of each item: JSON lines, and rclone's list of marks.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use ketch_core::names::bytes_from_core;
use ketch_engine::decide::Reason;
use ketch_engine::file::close_once;
use ketch_engine::journal::{ItemOutcome, Status};
use ketch_engine::{Event, Report};
use serde_json::{Value, json};

use crate::args::RecordArgs;
use crate::jsonl;
use crate::output::Console;
use crate::problem::{Problem, Result, about_file};
use crate::values::is_dash;

/// No line of a report is longer.
const LINE_LIMIT: usize = 16 * 1024 * 1024;

/// The files that were asked for.
pub(crate) struct Reports<'a> {
    console: &'a Console,
    json: Option<(PathBuf, BufWriter<File>)>,
    combined: Option<Combined>,
}

enum Combined {
    Stdout,
    File(PathBuf, BufWriter<File>),
}

impl<'a> Reports<'a> {
    /// Makes the files, so that a mistake shows before anything is done.
    pub(crate) fn open(args: &RecordArgs, console: &'a Console) -> Result<Self> {
        let open = |path: &Path| -> Result<(PathBuf, BufWriter<File>)> {
            let file = File::create(path).map_err(|error| about_file(path, &error))?;
            Ok((path.to_owned(), BufWriter::new(file)))
        };
        let combined = match &args.combined {
            Some(path) if is_dash(path) && console.is_json() => {
                let text = "`-` and --json both mean standard output: give one of them";
                return Err(Problem::usage(text));
            }
            Some(path) if is_dash(path) => Some(Combined::Stdout),
            Some(path) => open(path).map(|(path, file)| Some(Combined::File(path, file)))?,
            None => None,
        };
        let json = args.report.as_deref().map(open).transpose()?;
        Ok(Reports { console, json, combined })
    }

    /// Do files that need nothing belong in one of them?
    pub(crate) fn want_unchanged(&self) -> bool {
        self.json.is_some() || self.combined.is_some()
    }

    /// Writes down what an event says about an item.
    pub(crate) fn write(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::ItemDone { record, .. } | Event::ItemFailed { record, .. } => self.item(record),
            Event::Unchanged { path, reason } if self.want_unchanged() => {
                let outcome = ItemOutcome::new(path.clone(), Status::Skipped, "unchanged");
                self.item(&ItemOutcome { reason: Some(Reason::as_str(*reason).into()), ..outcome })
            }
            _ => Ok(()),
        }
    }

    fn item(&mut self, outcome: &ItemOutcome) -> Result<()> {
        if let Some((path, file)) = &mut self.json {
            let line = jsonl::line("item", item(outcome)) + "\n";
            file.write_all(line.as_bytes()).map_err(|error| about_file(path, &error))?;
        }
        let before = format!("{} ", outcome.mark());
        match &mut self.combined {
            Some(Combined::Stdout) => {
                self.console.named_line(&before, outcome.path.as_str(), "")?;
            }
            Some(Combined::File(path, file)) => {
                let name = bytes_from_core(outcome.path.as_str());
                let line = [before.as_bytes(), &name, b"\n"].concat();
                file.write_all(&line).map_err(|error| about_file(path, &error))?;
            }
            None => {}
        }
        Ok(())
    }

    /// Ends the files.
    pub(crate) fn finish(mut self, report: &Report) -> Result<()> {
        if let Some((path, file)) = &mut self.json {
            let body = json!({ "counts": jsonl::counts(report), "stopped": report.stopped });
            let line = jsonl::line("report", body) + "\n";
            let written = file.write_all(line.as_bytes()).and_then(|()| file.flush());
            let written = written.and_then(|()| close_once(file.get_ref()));
            written.map_err(|error| about_file(path, &error))?;
        }
        if let Some(Combined::File(path, file)) = &mut self.combined {
            let written = file.flush().and_then(|()| close_once(file.get_ref()));
            written.map_err(|error| about_file(path, &error))?;
        }
        Ok(())
    }
}

/// The body of an `item` line.
pub(crate) fn item(outcome: &ItemOutcome) -> Value {
    serde_json::to_value(outcome).unwrap_or_default()
}

/// The paths that a report says were not done, in its order.
pub(crate) fn failed_paths(path: &Path) -> Result<Vec<String>> {
    let wrong = |text: String| Problem::usage(format!("{}: {text}", path.display()));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut paths = Vec::new();
    let mut is_report = false;
    let mut torn = false;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|error| wrong(error.to_string()))?;
        if line.len() > LINE_LIMIT {
            return Err(wrong("it is no report of ketch".to_owned()));
        }
        // A torn last line is what a killed job leaves; any other would hide a failure.
        if torn {
            return Err(wrong("a line of it is no line of a report".to_owned()));
        }
        let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| !is_report).unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            torn = true;
            continue;
        };
        is_report |= matches!(value["type"].as_str(), Some("item" | "report"));
        if value["type"] == "item"
            && let Ok(outcome) = serde_json::from_value::<ItemOutcome>(value)
            && was_not_done(&outcome)
        {
            paths.push(outcome.path.as_str().to_owned());
        }
    }
    if is_report { Ok(paths) } else { Err(wrong("it is no report of ketch".to_owned())) }
}

/// Is it to be tried again by `--retry-failed`?
pub(crate) fn was_not_done(outcome: &ItemOutcome) -> bool {
    match outcome.status {
        Status::Failed | Status::Changed | Status::Refused => true,
        Status::Done | Status::Skipped | Status::Vanished => false,
    }
}
