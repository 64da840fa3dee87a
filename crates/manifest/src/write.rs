//! Writing a manifest, entry by entry, in key order.

use std::io::{self, Write};

use ketch_core::compare_keys;
use serde::Serialize;

use crate::entry::{EntryLine, Header, ManifestEntry, Totals, VERSION};

/// Why an entry was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Entries come in key order, each once.
    #[error("`{0}` comes after a later path; this is a bug")]
    Order(String),
}

/// A manifest that is being written. Without [`ManifestWriter::finish`] it has no last line, and no reader takes it for whole.
#[derive(Debug)]
pub struct ManifestWriter<W> {
    writer: W,
    root: blake3::Hasher,
    entries: u64,
    bytes: u64,
    last: Option<String>,
    line: Vec<u8>,
}

impl<W: Write> ManifestWriter<W> {
    /// Writes the first line. `created` is in seconds since 1970.
    pub fn begin(
        writer: W,
        created: Option<i64>,
        place: Option<String>,
    ) -> Result<Self, WriteError> {
        let root = blake3::Hasher::new();
        let mut manifest =
            ManifestWriter { writer, root, entries: 0, bytes: 0, last: None, line: Vec::new() };
        manifest.set_line(&Header { version: VERSION, created, place })?;
        manifest.writer.write_all(&manifest.line)?;
        Ok(manifest)
    }

    /// Writes the line of a file.
    pub fn push(&mut self, entry: &ManifestEntry) -> Result<(), WriteError> {
        let path = entry.path.as_str();
        if self.last.as_ref().is_some_and(|last| compare_keys((last, false), (path, false)).is_ge())
        {
            return Err(WriteError::Order(path.to_owned()));
        }
        self.last = Some(path.to_owned());
        self.set_line(&EntryLine::of(entry))?;
        self.root.update(&self.line);
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size);
        self.writer.write_all(&self.line)?;
        Ok(())
    }

    /// Writes the last line and gives back what is written to, and what that line says.
    pub fn finish(mut self) -> Result<(W, Totals), WriteError> {
        let root = self.root.finalize().to_hex().to_string();
        let totals = Totals { entries: self.entries, bytes: self.bytes, root };
        self.set_line(&totals)?;
        self.writer.write_all(&self.line)?;
        self.writer.flush()?;
        Ok((self.writer, totals))
    }

    fn set_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        Ok(())
    }
}
