//! Runs of packed entries in a file without a name, which is gone with the process.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ketch_core::{Error, ErrorKind, Result};

/// Bytes before each piece: its length.
const LENGTH_BYTES: u64 = 4;

fn failed(error: io::Error) -> Error {
    let text = format!("a listing with no room in memory cannot be kept in a file: {error}");
    Error::new(ErrorKind::Io, text).with_source(error)
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Scratch {
    file: BufWriter<File>,
    length: u64,
    /// Where each run starts.
    starts: Vec<u64>,
}

/// A run in a file.
#[derive(Debug)]
pub(super) struct Run {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Scratch {
    /// An empty file without a name, in `folder` or in the system's folder for temporary files.
    pub(super) fn new(folder: Option<&Path>) -> Result<Self> {
        let file = match folder {
            Some(folder) => tempfile::tempfile_in(folder),
            None => tempfile::tempfile(),
        };
        let file = BufWriter::new(file.map_err(failed)?);
        Ok(Scratch { file, length: 0, starts: Vec::new() })
    }

    /// What is written next belongs to a new run, or to the `same` as what was written last.
    pub(super) fn begin_run(&mut self, same: bool) {
        if !same || self.starts.is_empty() {
            self.starts.push(self.length);
        }
    }

    /// Adds a piece to the run.
    pub(super) fn write(&mut self, piece: &[u8]) -> Result<()> {
        let length = u32::try_from(piece.len())
            .map_err(|_| Error::new(ErrorKind::Io, "a page of four gigabytes"))?;
        self.file.write_all(&length.to_le_bytes()).map_err(failed)?;
        self.file.write_all(piece).map_err(failed)?;
        self.length += LENGTH_BYTES + u64::from(length);
        Ok(())
    }

    /// The runs, to be read.
    pub(super) fn finish(self) -> Result<Vec<Run>> {
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        let file = Arc::new(file);
        let ends = self.starts.iter().skip(1).copied().chain([self.length]);
        let runs = self.starts.iter().zip(ends);
        Ok(runs.map(|(at, end)| Run { file: Arc::clone(&file), at: *at, end }).collect())
    }
}

impl Run {
    /// Reads the next piece into `piece`; `false` = there is none.
    pub(super) fn read(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        if self.at >= self.end {
            return Ok(false);
        }
        let mut length = [0; LENGTH_BYTES as usize];
        self.file.read_exact_at(&mut length, self.at).map_err(failed)?;
        let length = u32::from_le_bytes(length);
        piece.resize(length as usize, 0);
        self.file.read_exact_at(piece, self.at + LENGTH_BYTES).map_err(failed)?;
        self.at += LENGTH_BYTES + u64::from(length);
        Ok(true)
    }
}
