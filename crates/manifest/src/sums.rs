//! Lines of SUM files as `sha256sum`, `b3sum`, `md5sum` and `rclone hashsum` write and read them.
//!
//! A line is a digest, two spaces (or a space and `*`) and a name. A backslash before the digest says that the name is
//! escaped: `\\` for a backslash, `\n` for a line feed, `\r` for a carriage return. rclone escapes nothing and so cannot list
//! a name with a line feed. The tagged form, `SHA256 (name) = digest`, is read too. Names are bytes.

use std::io::{self, BufRead};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ketch_core::{Digest, HashAlgo};

use crate::line::{self, Line};

/// The longest line: a path of 4096 bytes, all of them escaped, and room.
const LINE_BYTES: usize = 64 * 1024;

/// What some editors put before a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One file of a SUM file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumLine {
    /// Its digest.
    pub digest: Digest,
    /// Its name, as the bytes it is.
    pub name: Vec<u8>,
}

/// What one line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// A file.
    File(SumLine),
    /// An empty line or a comment.
    Nothing,
    /// Nothing that can be understood.
    Bad,
}

/// The form of the digest in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Hexadecimal digits.
    #[default]
    Hex,
    /// Base64 with `-`, `_` and padding, as rclone writes it.
    Base64,
}

/// The line of a file, with its line feed.
pub fn write_line(digest: &Digest, name: &[u8], form: Form) -> Vec<u8> {
    let needs = |byte: &u8| matches!(byte, b'\\' | b'\n' | b'\r');
    let mut line = Vec::new();
    if name.iter().any(needs) {
        line.push(b'\\');
    }
    match form {
        Form::Hex => line.extend_from_slice(digest.to_string().as_bytes()),
        Form::Base64 => line.extend_from_slice(URL_SAFE.encode(digest.as_bytes()).as_bytes()),
    }
    line.extend_from_slice(b"  ");
    for byte in name {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

/// Understands one line, without its line feed, of a file of `algo` digests.
pub fn read_line(line: &[u8], algo: HashAlgo) -> Sum {
    let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, None | Some(b'#')) {
        return Sum::Nothing;
    }
    let (line, is_escaped) = match line.strip_prefix(b"\\") {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let found = plain(line, algo).or_else(|| tagged(line, algo));
    let name = found.and_then(|(digest, name)| {
        let name = if is_escaped { unescape(name)? } else { name.to_vec() };
        (!name.is_empty() && !name.contains(&0)).then_some(SumLine { digest, name })
    });
    name.map_or(Sum::Bad, Sum::File)
}

/// `digest  name`. What follows the first space is one more space, or a mark, before the name.
fn plain(line: &[u8], algo: HashAlgo) -> Option<(Digest, &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    let digest = digest(&line[..end], algo)?;
    match &line[end + 1..] {
        [b' ' | b'*', name @ ..] => Some((digest, name)),
        _ => None,
    }
}

/// `SHA256 (name) = digest`.
fn tagged(line: &[u8], algo: HashAlgo) -> Option<(Digest, &[u8])> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let tag = line[..open].trim_ascii();
    let named = algo.as_str().as_bytes();
    if !tag.eq_ignore_ascii_case(named) {
        return None;
    }
    // From the end: a name may have this text in it, a digest not.
    let mark = b") = ";
    let close = line.windows(mark.len()).rposition(|window| window == mark)?;
    let name = line.get(open + 1..close)?;
    Some((digest(&line[close + mark.len()..], algo)?, name))
}

fn digest(text: &[u8], algo: HashAlgo) -> Option<Digest> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(digest) = Digest::from_hex(algo, text) {
        return Some(digest);
    }
    let bytes = URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()?;
    Digest::new(algo, &bytes)
}

fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(bytes)
}

/// The lines of a SUM file.
#[derive(Debug)]
pub struct SumReader<R> {
    reader: R,
    algo: HashAlgo,
    line: Vec<u8>,
    has_begun: bool,
}

impl<R: BufRead> SumReader<R> {
    /// Reads lines with `algo` digests.
    pub fn new(reader: R, algo: HashAlgo) -> Self {
        SumReader { reader, algo, line: Vec::new(), has_begun: false }
    }

    /// The next line; `None` at the end. A byte order mark before the first means nothing. A line that is too long is bad, and so is each of its pieces.
    pub fn next_line(&mut self) -> io::Result<Option<Sum>> {
        let next = line::next(&mut self.reader, &mut self.line, LINE_BYTES)?;
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        Ok(match next {
            Line::End => None,
            Line::TooLong => Some(Sum::Bad),
            Line::Whole | Line::Cut => {
                let line = self.line.strip_prefix(MARK).filter(|_| is_first).unwrap_or(&self.line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                Some(read_line(line, self.algo))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketch_core::hash::hash_bytes;
    use proptest::prelude::*;

    fn md5(content: &str) -> Digest {
        let hashes = hash_bytes(&[HashAlgo::Md5], content.as_bytes());
        hashes.get(HashAlgo::Md5).expect("computed").clone()
    }

    const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

    #[test]
    fn lines_of_all_tools_are_read() {
        let check = |line: &str, name: &str| {
            let expected = SumLine { digest: md5("abc"), name: name.into() };
            assert_eq!(read_line(line.as_bytes(), HashAlgo::Md5), Sum::File(expected), "{line}");
        };
        check(&format!("{ABC}  a b"), "a b");
        check(&format!("{ABC} *a b"), "a b");
        check(&format!("{ABC}   a"), " a");
        check(&format!("{}  a", ABC.to_uppercase()), "a");
        check(&format!("\\{ABC}  a\\nb\\\\c\\r"), "a\nb\\c\r");
        check(&format!("{ABC}  a\\nb"), "a\\nb");
        check(&format!("MD5 (a) = {ABC}"), "a");
        check(&format!("md5 (a) = b) = {ABC}"), "a) = b");
        check(&format!("\\MD5 (a\\nb) = {ABC}"), "a\nb");
        check("kAFQmDzST7DWlj99KOF_cg==  a", "a");
        check("kAFQmDzST7DWlj99KOF/cg==  a", "a");
    }

    #[test]
    fn what_is_no_line_is_told_from_what_means_nothing() {
        let check = |line: &str, expected: Sum| {
            assert_eq!(read_line(line.as_bytes(), HashAlgo::Md5), expected, "{line}")
        };
        check("", Sum::Nothing);
        check("  ", Sum::Nothing);
        check("# comment", Sum::Nothing);
        check(ABC, Sum::Bad);
        check(&format!("{ABC}  "), Sum::Bad);
        check(&format!("{ABC}\ta"), Sum::Bad);
        check(&format!("{ABC}0  a"), Sum::Bad);
        check(&format!("SHA1 (a) = {ABC}"), Sum::Bad);
        check(&format!("\\{ABC}  a\\x"), Sum::Bad);
        check(&format!("\\{ABC}  a\\"), Sum::Bad);
        check(") = (", Sum::Bad);
    }

    #[test]
    fn names_are_escaped_as_the_tool_of_the_digest_does() {
        let line = |algo, name: &str| {
            let hashes = hash_bytes(&[algo], b"abc");
            let digest = hashes.get(algo).expect("computed").clone();
            let line = write_line(&digest, name.as_bytes(), Form::Hex);
            String::from_utf8(line).expect("UTF-8").replace(&digest.to_string(), "X")
        };
        assert_eq!(line(HashAlgo::Md5, "a"), "X  a\n");
        assert_eq!(line(HashAlgo::Md5, "a\nb\\c\rd"), "\\X  a\\nb\\\\c\\rd\n");
        assert_eq!(line(HashAlgo::Blake3, "a\nb\\c"), "\\X  a\\nb\\\\c\n");
        assert_eq!(line(HashAlgo::Blake3, "a\rd\r"), "\\X  a\\rd\\r\n");
        let base64 = write_line(&md5("abc"), b"a", Form::Base64);
        assert_eq!(base64, b"kAFQmDzST7DWlj99KOF_cg==  a\n");
    }

    #[test]
    fn a_mark_means_nothing_and_a_line_that_is_too_long_is_bad_and_the_next_is_read() {
        let long = "x".repeat(LINE_BYTES + 5);
        let text =
            format!("\u{feff}{ABC}  c\n{long}\n{ABC}  a\r\n{ABC}  b\n\u{feff}{ABC}  d\n{ABC}  e\0");
        let mut reader = SumReader::new(text.as_bytes(), HashAlgo::Md5);
        let mut found = Vec::new();
        while let Some(sum) = reader.next_line().expect("readable") {
            found.push(sum);
        }
        let file = |name: &str| Sum::File(SumLine { digest: md5("abc"), name: name.into() });
        assert_eq!(
            found,
            [file("c"), Sum::Bad, Sum::Bad, file("a"), file("b"), Sum::Bad, Sum::Bad]
        );
    }

    proptest! {
        #[test]
        fn any_name_survives(name in proptest::collection::vec(1_u8..=255, 1..40)) {
            let blake3 = hash_bytes(&[HashAlgo::Blake3], b"abc").get(HashAlgo::Blake3).expect("computed").clone();
            for (digest, form) in [(md5("abc"), Form::Hex), (md5("abc"), Form::Base64), (blake3, Form::Hex)] {
                let line = write_line(&digest, &name, form);
                prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                prop_assert!(!line.contains(&b'\r'));
                let mut reader = SumReader::new(&line[..], digest.algo());
                let read = reader.next_line().expect("readable");
                let expected = SumLine { digest: digest.clone(), name: name.clone() };
                prop_assert_eq!(read, Some(Sum::File(expected)));
            }
        }

        #[test]
        fn no_bytes_make_the_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for algo in HashAlgo::BY_STRENGTH {
                let mut reader = SumReader::new(&bytes[..], algo);
                while reader.next_line().expect("memory is readable").is_some() {}
            }
        }
    }
}
