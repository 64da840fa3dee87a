//! The append-only journal: one JSON line a change, replayed and compacted when it is opened.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record::{FileRecord, FolderRecord, Report};
use super::tables::Tables;
use crate::SimError;

/// One change of the tables, and its journal line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    File(FileRecord),
    FileGone(String),
    Folder(FolderRecord),
    FolderGone(u64),
    Report(Report),
    /// The files of this upload became visible.
    Settled(String),
    ReportGone(String),
}

/// The journal, positioned at its end.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Kept between appends so that an append allocates nothing.
    line: Vec<u8>,
}

impl Journal {
    /// Replays `journal.jsonl` into the tables and rewrites it with only what is still true.
    pub(super) fn open(root: &Path, tables: &mut Tables) -> Result<Self, SimError> {
        let path = root.join("journal.jsonl");
        let action = || format!("open {}", path.display());
        match File::open(&path) {
            Ok(file) => replay(file, &path, tables)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(SimError::Io { action: action(), source }),
        }
        let fresh = root.join("journal.jsonl.new");
        compact(&fresh, tables)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(SimError::io(action()))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(SimError::io(action()))?;
        Ok(Self { file, line: Vec::new() })
    }

    /// Appends the changes with one write, so that a kill tears at most the last line.
    pub(super) fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.line.clear();
        for change in changes {
            serde_json::to_writer(&mut self.line, change)?;
            self.line.push(b'\n');
        }
        self.file.write_all(&self.line)
    }
}

fn replay(file: File, path: &Path, tables: &mut Tables) -> Result<(), SimError> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let length = reader
            .read_until(b'\n', &mut line)
            .map_err(SimError::io(format!("read {}", path.display())))?;
        number += 1;
        if length == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            tracing::warn!(path = %path.display(), line = number, "torn last line ignored");
            return Ok(());
        }
        match serde_json::from_slice(&line) {
            Ok(change) => tables.apply(change),
            Err(error) => {
                return Err(SimError::Journal {
                    path: path.to_owned(),
                    line: number,
                    reason: error.to_string(),
                });
            }
        }
    }
}

fn compact(path: &Path, tables: &Tables) -> io::Result<()> {
    let mut writer = BufWriter::new(File::create(path)?);
    for change in tables.snapshot() {
        serde_json::to_writer(&mut writer, &change)?;
        writer.write_all(b"\n")?;
    }
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}
