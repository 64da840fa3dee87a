//! The bytes of a catalogue: zstd around lines of JSON. `docs/CATALOG.md` is the description.
//!
//! Pure: bytes in, records out, and the other way. Whatever the bytes are, reading them ends in records or an error, and
//! takes no more memory than the bounds below allow.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::SystemTime;

use ketch_core::names::{bytes_from_core, core_from_bytes};
use ketch_core::{MODE_MASK, RelPath, seconds_and_nanoseconds, time_of};
use serde::{Deserialize, Serialize};

use crate::record::{Fact, FileFact, Record};
use crate::records::Records;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;
/// The most records of one catalogue; each takes some 200 bytes of memory.
pub const RECORDS_MAX: usize = 1_000_000;
/// The largest object that is read, in bytes.
pub const OBJECT_MAX: u64 = 256 * 1024 * 1024;
/// What it may grow to, in bytes.
const TEXT_MAX: u64 = 1024 * 1024 * 1024;
/// The longest line, in bytes: a path and a target of a link, each written with escapes.
const LINE_MAX: u64 = 64 * 1024;
/// How much of what went before a decoder keeps: a bound for hostile bytes.
const WINDOW_LOG: u32 = 25;
/// zstd's own default.
const LEVEL: i32 = 3;

/// Why bytes are not a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A newer program wrote it.
    #[error("it was written by a newer ketch (version {0} of the format, {VERSION} is known)")]
    Newer(u32),
    /// It is larger than what is read.
    #[error("it is larger than what is read ({0})")]
    TooLarge(&'static str),
    /// The remote does not hand it out.
    #[error("it may not be read: {0}")]
    Denied(String),
    /// It is not what was written.
    #[error("it is damaged ({0})")]
    Damaged(String),
}

fn damaged(what: impl ToString) -> FormatError {
    FormatError::Damaged(what.to_string())
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    ketch_catalog: u32,
    records: usize,
}

/// The last line: without it the rest was cut off.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    /// BLAKE3 of all lines before, with their ends.
    end: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Line {
    path: String,
    kind: String,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// Seconds since 1970 rounded down, and nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime: Option<(i64, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    /// In core form (`ketch_core::names`), so that bytes that are not UTF-8 survive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

/// The records as bytes.
pub fn encode(records: &Records) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    let mut writer = Digesting { inner: encoder, hasher: blake3::Hasher::new() };
    let head = Head { ketch_catalog: VERSION, records: records.len() };
    write_line(&mut writer, &head)?;
    for (path, record) in records.iter() {
        write_line(&mut writer, &line_of(&path, record))?;
    }
    let end = End { end: writer.hasher.finalize().to_hex().to_string() };
    write_line(&mut writer, &end)?;
    writer.inner.finish()
}

fn write_line(writer: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    writer.write_all(&bytes)
}

struct Digesting<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn line_of(path: &RelPath, record: &Record) -> Line {
    let line = Line { path: path.to_string(), at: record.at, ..Line::default() };
    match &record.fact {
        Fact::File(file) => Line {
            kind: "file".to_owned(),
            size: Some(file.size),
            identity: Some(hex(&file.identity)),
            mtime: file.mtime.map(seconds_and_nanoseconds),
            mode: file.mode,
            blake3: file.blake3.map(|digest| hex(&digest)),
            ..line
        },
        Fact::Empty { mtime, mode } => Line {
            kind: "empty".to_owned(),
            mtime: mtime.map(seconds_and_nanoseconds),
            mode: *mode,
            ..line
        },
        Fact::Link { target, mtime } => Line {
            kind: "link".to_owned(),
            mtime: mtime.map(seconds_and_nanoseconds),
            target: Some(core_from_bytes(target)),
            ..line
        },
        Fact::Gone => Line { kind: "gone".to_owned(), ..line },
    }
}

/// The records that `bytes` hold: all of them or an error.
pub fn decode(bytes: &[u8]) -> Result<Records, FormatError> {
    if bytes.len() as u64 > OBJECT_MAX {
        return Err(FormatError::TooLarge("bytes"));
    }
    let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(damaged)?;
    decoder.window_log_max(WINDOW_LOG).map_err(damaged)?;
    let mut lines = Lines {
        reader: BufReader::new(decoder.take(TEXT_MAX)),
        hasher: blake3::Hasher::new(),
        line: Vec::new(),
    };
    let head: Head = parse(lines.next()?)?;
    if head.ketch_catalog > VERSION {
        lines.check_rest()?;
        return Err(FormatError::Newer(head.ketch_catalog));
    }
    if head.ketch_catalog == 0 {
        return Err(damaged("there is no version 0"));
    }
    if head.records > RECORDS_MAX {
        lines.check_rest()?;
        return Err(FormatError::TooLarge("records"));
    }
    let mut records = Records::default();
    for _ in 0..head.records {
        let (path, record) = record_of(parse(lines.next()?)?)?;
        if records.set(&path, record).is_some() {
            return Err(damaged("a path is there twice"));
        }
    }
    let expected = lines.hasher.finalize().to_hex();
    let end: End = parse(lines.next()?)?;
    if end.end != expected.as_str() {
        return Err(damaged("its digest is another"));
    }
    // The checksum of the compressed bytes is compared at their end.
    match lines.reader.fill_buf().map_err(damaged)? {
        [] => Ok(records),
        _ => Err(damaged("there is more than it says")),
    }
}

struct Lines<R> {
    reader: BufReader<R>,
    hasher: blake3::Hasher,
    line: Vec<u8>,
}

impl<R: Read> Lines<R> {
    fn next(&mut self) -> Result<&[u8], FormatError> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(LINE_MAX);
        limited.read_until(b'\n', &mut self.line).map_err(damaged)?;
        if self.line.last() != Some(&b'\n') {
            return Err(damaged("a line has no end"));
        }
        self.hasher.update(&self.line);
        Ok(&self.line)
    }
}

impl<R: Read> Lines<R> {
    /// Reads to the end, where the checksum is, so that a changed byte is not taken for news.
    fn check_rest(&mut self) -> Result<(), FormatError> {
        io::copy(&mut self.reader, &mut io::sink()).map(drop).map_err(damaged)
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, FormatError> {
    serde_json::from_slice(line).map_err(damaged)
}

fn record_of(line: Line) -> Result<(RelPath, Record), FormatError> {
    let missing = |what: &str| damaged(format!("{what} is missing"));
    let path = RelPath::new(&line.path).map_err(damaged)?;
    if path.is_root() {
        return Err(missing("a path"));
    }
    let mtime =
        line.mtime.map(|parts| real_time(parts).ok_or_else(|| damaged("an impossible time")));
    let mtime = mtime.transpose()?;
    let mode = line.mode.map(|mode| mode & MODE_MASK);
    let fact = match line.kind.as_str() {
        "file" => Fact::File(FileFact {
            size: line.size.ok_or_else(|| missing("a size"))?,
            identity: unhex(&line.identity.ok_or_else(|| missing("an identity"))?)?,
            mtime,
            mode,
            blake3: line.blake3.map(|digest| unhex(&digest)).transpose()?,
        }),
        "empty" => Fact::Empty { mtime, mode },
        "link" => {
            let target = bytes_from_core(&line.target.ok_or_else(|| missing("a target"))?);
            if target.is_empty() || target.contains(&0) {
                return Err(damaged("an impossible target"));
            }
            Fact::Link { target: target.into(), mtime }
        }
        "gone" => Fact::Gone,
        other => return Err(damaged(format!("{other:?} is no kind of record"))),
    };
    Ok((path, Record { at: line.at, fact }))
}

fn real_time(parts: (i64, u32)) -> Option<SystemTime> {
    time_of(parts).filter(|_| parts.1 < 1_000_000_000)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Result<[u8; N], FormatError> {
    let wrong = || damaged("wrong digits");
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
