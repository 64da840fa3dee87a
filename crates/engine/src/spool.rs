//! A list that waits on disk: appended to once, then read from the front or from the back, one record at a time.
//!
//! The file has no name, so nothing of it survives the process. Records are framed by their length on both sides, which is
//! what makes reading from the back possible.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ketch_core::{Error, ErrorKind, Result};

use crate::plan::Planned;

/// No record of a plan is this large; a length above it means a damaged file.
const RECORD_LIMIT: u32 = 16 * 1024 * 1024;

/// A list of planned actions being written.
#[derive(Debug)]
pub(crate) struct SpoolWriter {
    file: BufWriter<File>,
    records: u64,
}

impl SpoolWriter {
    /// An empty list in `folder`, or in the system's folder for temporary files.
    pub(crate) fn create(folder: Option<&Path>) -> Result<Self> {
        let file = match folder {
            Some(folder) => tempfile::tempfile_in(folder),
            None => tempfile::tempfile(),
        };
        let file = file.map_err(failed)?;
        Ok(SpoolWriter { file: BufWriter::with_capacity(256 * 1024, file), records: 0 })
    }

    /// Adds a record at the end.
    pub(crate) fn push(&mut self, action: &Planned) -> Result<()> {
        let line = serde_json::to_vec(action)
            .map_err(|error| Error::new(ErrorKind::Io, "a planned action").with_source(error))?;
        let length = u32::try_from(line.len())
            .ok()
            .filter(|length| *length <= RECORD_LIMIT)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a planned action is too long"))?;
        let frame = length.to_le_bytes();
        let written = self
            .file
            .write_all(&frame)
            .and_then(|()| self.file.write_all(&line))
            .and_then(|()| self.file.write_all(&frame));
        written.map_err(failed)?;
        self.records += 1;
        Ok(())
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> u64 {
        self.records
    }

    /// Ends writing and reads from the front.
    pub(crate) fn into_forward(self) -> Result<SpoolForward> {
        let mut file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(SpoolForward { file: BufReader::with_capacity(256 * 1024, file), left: self.records })
    }

    /// Ends writing and reads from the back.
    pub(crate) fn into_backward(self) -> Result<SpoolBackward> {
        let mut file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        let at = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(SpoolBackward { file, at })
    }
}

/// Records from the first to the last.
#[derive(Debug)]
pub(crate) struct SpoolForward {
    file: BufReader<File>,
    left: u64,
}

impl SpoolForward {
    /// The next record.
    pub(crate) fn next(&mut self) -> Result<Option<Planned>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let length = read_length(&mut self.file)?;
        let mut line = vec![0; length as usize];
        self.file.read_exact(&mut line).map_err(failed)?;
        read_length(&mut self.file)?;
        parse(&line).map(Some)
    }
}

/// Records from the last to the first.
#[derive(Debug)]
pub(crate) struct SpoolBackward {
    file: File,
    at: u64,
}

impl SpoolBackward {
    /// The record before the one given last.
    pub(crate) fn next(&mut self) -> Result<Option<Planned>> {
        if self.at == 0 {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(self.at - 4)).map_err(failed)?;
        let length = u64::from(read_length(&mut self.file)?);
        let start = self.at.checked_sub(length + 8).ok_or_else(damaged)?;
        self.file.seek(SeekFrom::Start(start + 4)).map_err(failed)?;
        let mut line = vec![0; length as usize];
        self.file.read_exact(&mut line).map_err(failed)?;
        self.at = start;
        parse(&line).map(Some)
    }
}

fn read_length(file: &mut impl Read) -> Result<u32> {
    let mut frame = [0; 4];
    file.read_exact(&mut frame).map_err(failed)?;
    let length = u32::from_le_bytes(frame);
    if length > RECORD_LIMIT { Err(damaged()) } else { Ok(length) }
}

fn parse(line: &[u8]) -> Result<Planned> {
    serde_json::from_slice(line).map_err(|error| damaged().with_source(error))
}

fn damaged() -> Error {
    Error::new(ErrorKind::Io, "the plan on disk is damaged")
}

fn failed(error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => ErrorKind::Quota,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("the plan cannot be kept on disk: {error}")).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::RelPath;

    fn dir(number: u32) -> Planned {
        Planned::MakeDir { path: RelPath::new(&format!("dir {number}")).expect("legal") }
    }

    fn filled() -> SpoolWriter {
        let mut spool = SpoolWriter::create(None).expect("a temporary file");
        (0..100).for_each(|number| spool.push(&dir(number)).expect("writes"));
        spool
    }

    #[test]
    fn records_come_back_from_the_front_and_from_the_back() {
        let mut forward = filled().into_forward().expect("reads");
        for number in 0..100 {
            assert_eq!(forward.next().expect("reads"), Some(dir(number)));
        }
        assert_eq!(forward.next().expect("reads"), None);
        let mut backward = filled().into_backward().expect("reads");
        for number in (0..100).rev() {
            assert_eq!(backward.next().expect("reads"), Some(dir(number)));
        }
        assert_eq!(backward.next().expect("reads"), None);
    }
}
