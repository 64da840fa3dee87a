//! A list on disk, one record on each line. Records are appended, and read from the front or from the back.
//!
//! A line is the CRC-32 of a JSON text in eight digits, a space, and the JSON. A process that dies leaves at most a torn
//! last line; a reader stops at the first line that is not whole, and ignores everything after it. A list without a name
//! ends with the process.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::marker::PhantomData;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use ketch_core::{Error, ErrorKind, Hint, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::file::{close_once, force_bytes};

/// No record is this long; a longer line means that the file is damaged.
const LINE_LIMIT: usize = 16 * 1024 * 1024;
/// Bytes that wait to be written.
const WRITE_BUFFER: usize = 64 * 1024;
/// Bytes read at a time.
const READ_BUFFER: usize = 64 * 1024;

/// A list being written.
#[derive(Debug)]
pub(crate) struct LogWriter {
    file: BufWriter<File>,
    length: u64,
    /// Nothing that was written or cut off could be changed by a power cut.
    is_forced: bool,
}

impl LogWriter {
    /// An empty list without a name, in `folder` or in the system's folder for temporary files.
    pub(crate) fn unnamed(folder: Option<&Path>) -> Result<Self> {
        let file = match folder {
            Some(folder) => tempfile::tempfile_in(folder),
            None => tempfile::tempfile(),
        };
        Ok(LogWriter::new(file.map_err(failed)?, 0, true))
    }

    /// Continues the list at `path` after its first `length` bytes, and cuts off the rest. Creates the list if needed.
    pub(crate) fn open(path: &Path, length: u64) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(failed)?;
        let was_empty = file.metadata().map_err(failed)?.len() == 0;
        file.set_len(length).map_err(failed)?;
        io::Seek::seek(&mut &file, io::SeekFrom::End(0)).map_err(failed)?;
        Ok(LogWriter::new(file, length, was_empty))
    }

    fn new(file: File, length: u64, is_forced: bool) -> Self {
        LogWriter { file: BufWriter::with_capacity(WRITE_BUFFER, file), length, is_forced }
    }

    /// Adds a record at the end. It may wait in memory until [`LogWriter::flush`].
    pub(crate) fn push(&mut self, record: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec(record)
            .map_err(|error| Error::new(ErrorKind::Io, "a record of a job").with_source(error))?;
        if json.len() + 10 > LINE_LIMIT {
            return Err(Error::new(ErrorKind::InvalidInput, "a record of a job is too long"));
        }
        let head = format!("{:08x} ", crc32fast::hash(&json));
        let written = self
            .file
            .write_all(head.as_bytes())
            .and_then(|()| self.file.write_all(&json))
            .and_then(|()| self.file.write_all(b"\n"));
        self.is_forced = false;
        written.map_err(failed)?;
        self.length += head.len() as u64 + json.len() as u64 + 1;
        Ok(())
    }

    /// Hands everything to the system, so that it survives the end of the process.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(failed)
    }

    /// Forces everything to the disk, so that it survives a power cut.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if self.is_forced {
            return Ok(());
        }
        self.flush()?;
        let file = self.file.get_ref();
        force_bytes(file).and_then(|()| close_once(file)).map_err(failed)?;
        self.is_forced = true;
        Ok(())
    }

    /// Bytes so far: where the next record begins.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads what was written so far, from the front.
    pub(crate) fn reader<T: DeserializeOwned>(&mut self) -> Result<LogReader<T>> {
        self.flush()?;
        let file = self.file.get_ref().try_clone().map_err(failed)?;
        Ok(LogReader::new(file, self.length))
    }

    /// Reads what was written so far, from the back.
    pub(crate) fn backward<T: DeserializeOwned>(&mut self) -> Result<LogBackward<T>> {
        self.flush()?;
        let file = self.file.get_ref().try_clone().map_err(failed)?;
        let text = Vec::new();
        Ok(LogBackward { file, start: self.length, text, record: PhantomData })
    }
}

/// Records from the first to the last whole one.
#[derive(Debug)]
pub(crate) struct LogReader<T> {
    file: File,
    end: u64,
    /// Where `text` begins in the file.
    start: u64,
    text: Vec<u8>,
    used: usize,
    record: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> LogReader<T> {
    /// Reads the list at `path`; one that is not there is empty.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        match File::open(path) {
            Ok(file) => {
                let end = file.metadata().map_err(failed)?.len();
                Ok(LogReader::new(file, end))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(LogReader::new(tempfile::tempfile().map_err(failed)?, 0))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn new(file: File, end: u64) -> Self {
        LogReader { file, end, start: 0, text: Vec::new(), used: 0, record: PhantomData }
    }

    /// Where the next record begins: everything before it is whole.
    pub(crate) fn position(&self) -> u64 {
        self.start + self.used as u64
    }

    /// Has everything been read that was written? `false` after the last record means a torn or damaged line.
    pub(crate) fn is_at_end(&self) -> bool {
        self.position() == self.end
    }

    /// The next record; `None` at the end and before anything that is not whole.
    pub(crate) fn next(&mut self) -> Result<Option<T>> {
        loop {
            let rest = &self.text[self.used..];
            if let Some(length) = memchr::memchr(b'\n', rest) {
                let record = parse(&rest[..length]);
                if record.is_some() {
                    self.used += length + 1;
                }
                return Ok(record);
            }
            if rest.len() > LINE_LIMIT || !self.read_more()? {
                return Ok(None);
            }
        }
    }

    fn read_more(&mut self) -> Result<bool> {
        self.text.drain(..self.used);
        self.start += self.used as u64;
        self.used = 0;
        let at = self.start + self.text.len() as u64;
        let wanted = (self.end - at).min(READ_BUFFER as u64) as usize;
        let before = self.text.len();
        self.text.resize(before + wanted, 0);
        let got = read_at(&self.file, &mut self.text[before..], at)?;
        self.text.truncate(before + got);
        Ok(got > 0)
    }
}

/// Records from the last to the first.
#[derive(Debug)]
pub(crate) struct LogBackward<T> {
    file: File,
    /// Where `text` begins in the file.
    start: u64,
    text: Vec<u8>,
    record: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> LogBackward<T> {
    /// The record before the last one that was returned.
    pub(crate) fn next(&mut self) -> Result<Option<T>> {
        loop {
            // The last byte ends the line that is wanted.
            let inner = self.text.len().saturating_sub(1);
            let line_start = match memchr::memrchr(b'\n', &self.text[..inner]) {
                Some(at) => at + 1,
                None if self.start == 0 => 0,
                None => {
                    self.read_more()?;
                    continue;
                }
            };
            if self.text.is_empty() {
                return Ok(None);
            }
            let record = parse(&self.text[line_start..inner]).ok_or_else(damaged)?;
            self.text.truncate(line_start);
            return Ok(Some(record));
        }
    }

    fn read_more(&mut self) -> Result<()> {
        if self.text.len() > LINE_LIMIT {
            return Err(damaged());
        }
        let wanted = self.start.min(READ_BUFFER as u64) as usize;
        let mut text = vec![0; wanted];
        self.start -= wanted as u64;
        if read_at(&self.file, &mut text, self.start)? < wanted {
            return Err(damaged());
        }
        text.append(&mut self.text);
        self.text = text;
        Ok(())
    }
}

fn read_at(file: &File, buffer: &mut [u8], mut at: u64) -> Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], at) {
            Ok(0) => break,
            Ok(count) => {
                got += count;
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(got)
}

/// The record of a line; `None` when the line is not whole.
fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (head, json) = line.split_at_checked(9)?;
    let digits = std::str::from_utf8(head.strip_suffix(b" ")?).ok()?;
    let sum = u32::from_str_radix(digits, 16).ok()?;
    (crc32fast::hash(json) == sum).then(|| serde_json::from_slice(json).ok())?
}

/// The error of a list that must be whole and is not.
pub(crate) fn damaged() -> Error {
    Error::new(ErrorKind::Io, "the records of the job on disk are damaged")
        .with_hint(Hint::StartAnew)
}

/// The error of a file of a job.
pub(crate) fn failed(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Quota,
        _ => ErrorKind::Io,
    };
    let text = format!("the records of the job cannot be kept on disk: {error}");
    Error::new(kind, text).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: usize) -> Vec<String> {
        // Lines of every length around the buffers.
        (0..count).map(|number| format!("{number} {}", "x\n".repeat(number * 37 % 5_000))).collect()
    }

    fn all(mut reader: LogReader<String>) -> Vec<String> {
        std::iter::from_fn(|| reader.next().expect("reads")).collect()
    }

    #[test]
    fn records_come_back_from_the_front_and_from_the_back() {
        let mut log = LogWriter::unnamed(None).expect("made");
        let mut expected = texts(300);
        expected.iter().for_each(|text| log.push(text).expect("written"));
        assert_eq!(all(log.reader().expect("reads")), expected);
        let mut backward = log.backward::<String>().expect("reads");
        let found: Vec<_> = std::iter::from_fn(|| backward.next().expect("reads")).collect();
        expected.reverse();
        assert_eq!(found, expected);
        let mut empty = LogWriter::unnamed(None).expect("made");
        assert_eq!(empty.backward::<String>().expect("reads").next().expect("reads"), None);
        assert_eq!(all(empty.reader().expect("reads")), Vec::<String>::new());
    }

    #[test]
    fn a_list_cut_at_any_byte_gives_its_whole_records_and_is_gone_on_with_behind_them() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("log");
        let expected = ["first", "second", "third"].map(str::to_owned);
        let mut ends = Vec::new();
        {
            let mut log = LogWriter::open(&path, 0).expect("made");
            for text in &expected {
                log.push(text).expect("written");
                ends.push(log.length());
            }
            log.flush().expect("written");
        }
        let whole = std::fs::read(&path).expect("there");
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("written");
            let mut reader = LogReader::<String>::open(&path).expect("opens");
            let mut found = Vec::new();
            while let Some(text) = reader.next().expect("reads") {
                found.push(text);
            }
            let kept = ends.iter().filter(|end| **end <= cut as u64).count();
            assert_eq!(found, expected[..kept], "cut at {cut}");
            assert_eq!(reader.is_at_end(), cut as u64 == reader.position(), "cut at {cut}");
            let mut log = LogWriter::open(&path, reader.position()).expect("opens");
            log.push(&"more").expect("written");
            log.flush().expect("written");
            found.push("more".to_owned());
            assert_eq!(all(LogReader::open(&path).expect("opens")), found);
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_list_before_its_record() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("log");
        let mut log = LogWriter::open(&path, 0).expect("made");
        ["first", "second"].iter().for_each(|text| log.push(text).expect("written"));
        log.flush().expect("written");
        let whole = std::fs::read(&path).expect("there");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).expect("written");
            let found = all(LogReader::open(&path).expect("opens"));
            let expected = ["first".to_owned(), "second".to_owned()];
            // Only the case of a digit of the sum may change without changing the record.
            assert!(expected.starts_with(&found), "bit {bit}: {found:?}");
        }
    }
}
