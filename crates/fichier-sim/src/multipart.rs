//! The multipart parser of the upload nodes, which reads by position and not by the standard.
//!
//! It does no I/O: bytes are pushed in, events come out, and at most one head or one delimiter's
//! worth of bytes is held back. Anything it does not like poisons the whole body: the real nodes
//! swallow such a body and then say that there was no file in it.

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

/// The largest head of a part.
const HEAD_BYTES: usize = 16 * 1024;
/// The largest text field.
const FIELD_BYTES: usize = 64 * 1024;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A text part, complete.
    Field { name: String, value: String },
    /// A file part begins.
    FileStart { name: String, file_name: String },
    /// Some of its content.
    FileData(Bytes),
    /// It is complete.
    FileEnd,
    /// The last delimiter was seen; whatever follows is ignored.
    End,
}

/// The body breaks a rule of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("the content type is not multipart/form-data with an unquoted boundary")]
    Boundary,
    #[error("the body does not begin with the boundary")]
    Preamble,
    #[error("Content-Disposition is not the first header of a part")]
    DispositionNotFirst,
    #[error("the disposition is not form-data with names in double quotes")]
    Disposition,
    #[error("a text part has a Content-Type")]
    TypedText,
    #[error("the head or text of a part is too long")]
    TooLong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Start,
    /// Behind a delimiter: a line end or two dashes follow.
    Delimiter,
    Head,
    Field(String),
    File,
    End,
}

/// The parser with what it holds back.
#[derive(Debug)]
pub(crate) struct Parser {
    delimiter: Finder<'static>,
    buffer: BytesMut,
    state: State,
}

impl Parser {
    /// Reads the boundary out of a `Content-Type` value.
    pub(crate) fn new(content_type: &str) -> Result<Self, Violation> {
        let (kind, parameters) = content_type.split_once(';').ok_or(Violation::Boundary)?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(Violation::Boundary);
        }
        let boundary = parameters
            .split(';')
            .find_map(|parameter| parameter.trim().strip_prefix("boundary="))
            .ok_or(Violation::Boundary)?;
        if boundary.is_empty() || boundary.len() > 200 || boundary.contains('"') {
            return Err(Violation::Boundary);
        }
        // The line end before a delimiter belongs to the delimiter; lending one to the beginning
        // of the body makes the first delimiter like all others.
        Ok(Self {
            delimiter: Finder::new(format!("\r\n--{boundary}").as_bytes()).into_owned(),
            buffer: BytesMut::from(&b"\r\n"[..]),
            state: State::Start,
        })
    }

    /// Adds bytes of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.state != State::End {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next event that the bytes so far allow; `None` asks for more bytes.
    pub(crate) fn next_event(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            match &self.state {
                State::Start => {
                    let needle = self.delimiter.needle();
                    let known = self.buffer.len().min(needle.len());
                    if self.buffer[..known] != needle[..known] {
                        return Err(Violation::Preamble);
                    }
                    if known < needle.len() {
                        return Ok(None);
                    }
                    drop(self.buffer.split_to(known));
                    self.state = State::Delimiter;
                }
                State::Delimiter => {
                    if self.buffer.len() < 2 {
                        return Ok(None);
                    }
                    let tail = self.buffer.split_to(2);
                    match &tail[..] {
                        b"\r\n" => self.state = State::Head,
                        b"--" => {
                            self.state = State::End;
                            self.buffer.clear();
                            return Ok(Some(Event::End));
                        }
                        // Content never gets here: `Parser::cut` looks at these two bytes first.
                        _ => return Err(Violation::Preamble),
                    }
                }
                State::Head => return self.head(),
                State::Field(name) => {
                    let name = name.clone();
                    let Some(at) = self.cut() else {
                        if self.buffer.len() > FIELD_BYTES {
                            return Err(Violation::TooLong);
                        }
                        return Ok(None);
                    };
                    let value = self.buffer.split_to(at);
                    self.leave_part();
                    let value = String::from_utf8_lossy(&value).into_owned();
                    return Ok(Some(Event::Field { name, value }));
                }
                State::File => return Ok(self.content()),
                State::End => return Ok(None),
            }
        }
    }

    /// Where the content ends, when a whole delimiter with its two following bytes is here.
    ///
    /// The boundary followed by anything else is content that happens to look like it.
    fn cut(&self) -> Option<usize> {
        let length = self.delimiter.needle().len();
        self.delimiter.find_iter(&self.buffer).find(|at| {
            let tail = self.buffer.get(at + length..at + length + 2);
            tail.is_some_and(|tail| tail == b"\r\n" || tail == b"--")
        })
    }

    fn leave_part(&mut self) {
        drop(self.buffer.split_to(self.delimiter.needle().len()));
        self.state = State::Delimiter;
    }

    fn content(&mut self) -> Option<Event> {
        if let Some(at) = self.cut() {
            if at > 0 {
                return Some(Event::FileData(self.buffer.split_to(at).freeze()));
            }
            self.leave_part();
            return Some(Event::FileEnd);
        }
        // A delimiter may have begun in the last bytes.
        let keep = self.delimiter.needle().len() + 1;
        let safe = self.buffer.len().saturating_sub(keep);
        (safe > 0).then(|| Event::FileData(self.buffer.split_to(safe).freeze()))
    }

    fn head(&mut self) -> Result<Option<Event>, Violation> {
        let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
            let too_long = self.buffer.len() > HEAD_BYTES;
            return if too_long { Err(Violation::TooLong) } else { Ok(None) };
        };
        if end > HEAD_BYTES {
            return Err(Violation::TooLong);
        }
        let head = self.buffer.split_to(end + 4);
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let disposition = header(lines.next().unwrap_or_default(), "content-disposition")
            .ok_or(Violation::DispositionNotFirst)?;
        let has_type = lines.any(|line| header(line, "content-type").is_some());
        let Disposition { name, file_name } = Disposition::parse(disposition)?;
        match file_name {
            Some(file_name) => {
                self.state = State::File;
                // The empty line may be followed at once by a delimiter: the content is empty
                // and the line end of the delimiter is there, as for any other content.
                Ok(Some(Event::FileStart { name, file_name }))
            }
            None if has_type => Err(Violation::TypedText),
            None => {
                self.state = State::Field(name);
                self.next_event()
            }
        }
    }
}

fn header<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (known, value) = line.split_once(':')?;
    known.eq_ignore_ascii_case(name).then(|| value.trim())
}

struct Disposition {
    name: String,
    file_name: Option<String>,
}

impl Disposition {
    fn parse(value: &str) -> Result<Self, Violation> {
        let mut rest = value.strip_prefix("form-data").ok_or(Violation::Disposition)?;
        let (mut name, mut file_name) = (None, None);
        while !rest.is_empty() {
            rest = rest.strip_prefix(';').ok_or(Violation::Disposition)?.trim_start();
            let (key, after) = rest.split_once('=').ok_or(Violation::Disposition)?;
            let quoted = after.strip_prefix('"').ok_or(Violation::Disposition)?;
            let (text, after) = quoted.split_once('"').ok_or(Violation::Disposition)?;
            match key {
                "name" => name = Some(text.to_owned()),
                "filename" => file_name = Some(text.to_owned()),
                _ => return Err(Violation::Disposition),
            }
            rest = after.trim_start();
        }
        Ok(Self { name: name.ok_or(Violation::Disposition)?, file_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=B";

    /// Feeds the body in the given pieces; joins neighbouring contents.
    fn parse(pieces: &[&[u8]]) -> Result<Vec<Event>, Violation> {
        let mut parser = Parser::new(TYPE)?;
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece);
            while let Some(event) = parser.next_event()? {
                match (events.last_mut(), event) {
                    (Some(Event::FileData(last)), Event::FileData(more)) => {
                        *last = [&last[..], &more[..]].concat().into();
                    }
                    (_, event) => events.push(event),
                }
            }
        }
        Ok(events)
    }

    fn field(name: &str, value: &str) -> Event {
        Event::Field { name: name.to_owned(), value: value.to_owned() }
    }

    fn start(file_name: &str) -> Event {
        Event::FileStart { name: "file[]".to_owned(), file_name: file_name.to_owned() }
    }

    fn data(content: &'static [u8]) -> Event {
        Event::FileData(Bytes::from_static(content))
    }

    #[test]
    fn every_split_of_a_body_gives_the_same_events() {
        let body = "--B\r\nContent-Disposition: form-data; name=\"did\"\r\n\r\n3357645\r\n\
            --B\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"été.txt\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\r\n--Bx\r\n--B \r\n-\r\n--\r\n--B\r\n\
            Content-Disposition: form-data; name=\"file[]\"; filename=\"b\"\r\n\r\n\r\n--B--\r\nrest"
            .as_bytes();
        let expected = vec![
            field("did", "3357645"),
            start("été.txt"),
            data(b"\r\n--Bx\r\n--B \r\n-\r\n--"),
            Event::FileEnd,
            start("b"),
            Event::FileEnd,
            Event::End,
        ];
        assert_eq!(parse(&[body]), Ok(expected.clone()));
        for first in 0..body.len() {
            let (left, right) = body.split_at(first);
            assert_eq!(parse(&[left, right]), Ok(expected.clone()), "split at {first}");
            for second in (0..right.len()).step_by(7) {
                let (middle, right) = right.split_at(second);
                assert_eq!(parse(&[left, middle, right]), Ok(expected.clone()));
            }
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(parse(&bytes), Ok(expected));
    }

    #[test]
    fn random_contents_of_delimiter_bytes_survive() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let length = random.usize(1..60);
            let content: Vec<u8> = (0..length).map(|_| b"\r\n-B"[random.usize(..4)]).collect();
            let clash = |tail: &[u8]| memchr::memmem::find(&content, tail).is_some();
            if clash(b"\r\n--B\r\n") || clash(b"\r\n--B--") {
                continue;
            }
            let mut body =
                b"--B\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"a\"\r\n\r\n"
                    .to_vec();
            body.extend_from_slice(&content);
            body.extend_from_slice(b"\r\n--B--\r\n");
            // A content that ends like the beginning of a delimiter may be ambiguous; then the
            // earlier reading wins everywhere, which is not what is checked here.
            let whole = parse(&[&body]).unwrap();
            let pieces: Vec<&[u8]> = body.chunks(random.usize(1..9)).collect();
            assert_eq!(parse(&pieces).unwrap(), whole);
            if content.ends_with(b"B") || content.ends_with(b"-") {
                continue;
            }
            assert_eq!(whole[1], Event::FileData(content.into()));
        }
    }

    #[test]
    fn positions_and_quotes_are_insisted_on() {
        let check = |head: &str, expected: Violation| {
            let body = format!("--B\r\n{head}\r\n\r\nx\r\n--B--\r\n");
            assert_eq!(parse(&[body.as_bytes()]), Err(expected), "{head}");
        };
        check(
            "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"a\"",
            Violation::DispositionNotFirst,
        );
        check(
            "Content-Disposition: form-data; name=file[]; filename=\"a\"",
            Violation::Disposition,
        );
        check(
            "Content-Disposition: form-data; name=\"file[]\"; filename=a",
            Violation::Disposition,
        );
        check(
            "Content-Disposition: form-data; name=\"file[]\"; filename=\"a\"; filename*=UTF-8''a",
            Violation::Disposition,
        );
        check(
            "Content-Disposition: form-data; name=\"did\"\r\nContent-Type: text/plain",
            Violation::TypedText,
        );
        assert_eq!(parse(&[b"preamble\r\n--B\r\n"]), Err(Violation::Preamble));
        for quoted in
            ["multipart/form-data; boundary=\"B\"", "multipart/form-data", "text/plain; boundary=B"]
        {
            assert_eq!(Parser::new(quoted).map(|_| ()), Err(Violation::Boundary));
        }
    }
}
