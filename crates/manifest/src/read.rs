//! Reads a manifest, entry by entry, and checks its form, order, totals and root digest. Whether it is the manifest that
//! was signed is another question (see `sign.rs`).

use std::io::{self, BufRead};

use ketch_core::compare_keys;
use serde::Deserialize;

use crate::entry::{EntryLine, Header, ManifestEntry, Totals, VERSION};
use crate::line::{self, Line};

/// The longest line: the parts of the largest file, and the longest path.
const LINE_BYTES: usize = 1024 * 1024;

/// Why a manifest cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read, or is not what its compression promises.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not begin as a manifest does.
    #[error("this is not a manifest of ketch")]
    Foreign,
    /// A later ketch made it.
    #[error("this is a manifest of version {0}, and this ketch reads version {VERSION}")]
    Version(u32),
    /// A line makes no sense.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// The last line is missing.
    #[error("it ends after {0} entries, without its last line: it was cut short")]
    Cut(u64),
    /// The last line does not fit to the others.
    #[error("its {0} is not that of its entries: it was changed after it was made")]
    Totals(&'static str),
}

/// A manifest that is being read.
#[derive(Debug)]
pub struct ManifestReader<R> {
    reader: R,
    header: Header,
    root: blake3::Hasher,
    entries: u64,
    bytes: u64,
    last: Option<String>,
    totals: Option<Totals>,
    line: Vec<u8>,
    number: u64,
    has_failed: bool,
}

/// A line after the first.
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Entry(Box<EntryLine>),
    Totals(Totals),
}

impl<R: BufRead> ManifestReader<R> {
    /// Reads the first line.
    pub fn begin(mut reader: R) -> Result<Self, ReadError> {
        let mut line = Vec::new();
        match line::next(&mut reader, &mut line, LINE_BYTES)? {
            Line::Whole => {}
            Line::Cut | Line::End | Line::TooLong => return Err(ReadError::Foreign),
        }
        #[derive(Deserialize)]
        struct Version {
            #[serde(rename = "ketch_manifest")]
            version: u32,
        }
        let version: Version = serde_json::from_slice(&line).map_err(|_| ReadError::Foreign)?;
        if version.version != VERSION {
            return Err(ReadError::Version(version.version));
        }
        let header = serde_json::from_slice(&line)
            .map_err(|error| ReadError::Line { line: 1, why: one_line(&error) })?;
        Ok(ManifestReader {
            reader,
            header,
            root: blake3::Hasher::new(),
            entries: 0,
            bytes: 0,
            last: None,
            totals: None,
            line,
            number: 1,
            has_failed: false,
        })
    }

    /// What the manifest says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The last line, once it was reached and found to be right.
    pub fn totals(&self) -> Option<&Totals> {
        self.totals.as_ref()
    }

    /// The next file. `None` comes only when the manifest is whole and in itself right; after an error too.
    pub fn next_entry(&mut self) -> Option<Result<ManifestEntry, ReadError>> {
        if self.totals.is_some() || self.has_failed {
            return None;
        }
        let entry = self.step().transpose();
        self.has_failed = matches!(entry, Some(Err(_)));
        entry
    }

    /// Reads all of it for nothing but its last line.
    pub fn check(mut self) -> Result<Totals, ReadError> {
        while let Some(entry) = self.next_entry() {
            entry?;
        }
        self.totals.ok_or(ReadError::Cut(self.entries))
    }

    fn step(&mut self) -> Result<Option<ManifestEntry>, ReadError> {
        self.number += 1;
        match line::next(&mut self.reader, &mut self.line, LINE_BYTES)? {
            Line::Whole => {}
            Line::Cut | Line::End => return Err(ReadError::Cut(self.entries)),
            Line::TooLong => return Err(self.wrong("it is too long")),
        }
        let body = serde_json::from_slice(&self.line);
        match body.map_err(|_| self.wrong("it is neither an entry nor the last line"))? {
            Body::Entry(line) => {
                let entry = line.into_entry().map_err(|why| self.wrong(why))?;
                self.take(&entry)?;
                Ok(Some(entry))
            }
            Body::Totals(totals) => {
                self.end(totals)?;
                Ok(None)
            }
        }
    }

    fn take(&mut self, entry: &ManifestEntry) -> Result<(), ReadError> {
        let path = entry.path.as_str();
        let is_later = |last: &String| compare_keys((last, false), (path, false)).is_lt();
        if !self.last.as_ref().is_none_or(is_later) {
            return Err(self.wrong(format!("`{path}` is not in order")));
        }
        self.last = Some(path.to_owned());
        self.root.update(&self.line);
        self.root.update(b"\n");
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size);
        Ok(())
    }

    fn end(&mut self, totals: Totals) -> Result<(), ReadError> {
        if totals.root != self.root.finalize().to_hex().as_str() {
            return Err(ReadError::Totals("root digest"));
        }
        if (totals.entries, totals.bytes) != (self.entries, self.bytes) {
            return Err(ReadError::Totals("count"));
        }
        self.number += 1;
        match line::next(&mut self.reader, &mut self.line, LINE_BYTES)? {
            Line::End => {}
            Line::Whole | Line::Cut | Line::TooLong => {
                return Err(self.wrong("something follows the last line"));
            }
        }
        self.totals = Some(totals);
        Ok(())
    }

    fn wrong(&self, why: impl Into<String>) -> ReadError {
        ReadError::Line { line: self.number, why: why.into() }
    }
}

fn one_line(error: &serde_json::Error) -> String {
    error.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests;
