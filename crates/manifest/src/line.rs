//! One line at a time, and never more of it in memory than a line may have.

use std::io::{self, BufRead, Read};

/// What came instead of a line.
pub(crate) enum Line {
    /// A line, without its end; it is in the buffer.
    Whole,
    /// Bytes at the end of the file that no line feed follows; they are in the buffer.
    Cut,
    /// The file has ended.
    End,
    /// It has more than the allowed bytes.
    TooLong,
}

/// Reads the next line of at most `most` bytes into `buffer`.
pub(crate) fn next(
    reader: &mut impl BufRead,
    buffer: &mut Vec<u8>,
    most: usize,
) -> io::Result<Line> {
    buffer.clear();
    reader.by_ref().take(most as u64 + 1).read_until(b'\n', buffer)?;
    Ok(match buffer.last() {
        None => Line::End,
        Some(b'\n') => {
            buffer.pop();
            Line::Whole
        }
        Some(_) if buffer.len() > most => Line::TooLong,
        Some(_) => Line::Cut,
    })
}
