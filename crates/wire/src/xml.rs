//! Answers in XML, read in one pass without building a tree.

use ketch_core::{Error, ErrorKind, Result};
use quick_xml::Reader;
use quick_xml::events::Event;

/// Elements may be nested so deep.
const DEPTH: usize = 64;

/// What is read, in the order of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// An element begins.
    Start(&'a str),
    /// An element that holds no other ends, with its text.
    Text(&'a str, &'a str),
    /// An element that holds others ends.
    End(&'a str),
}

/// Reads `bytes` and hands every element to `take`, by its name without a prefix.
///
/// Errors: `Protocol` when it is no XML, ends early or is nested too deep.
pub fn each(bytes: &[u8], mut take: impl FnMut(Piece<'_>)) -> Result<()> {
    let wrong = || Error::new(ErrorKind::Protocol, "the answer is no XML that can be read");
    let mut reader = Reader::from_reader(bytes);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<(String, bool)> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().map_err(|error| wrong().with_source(error))? {
            Event::Start(start) => {
                if open.len() == DEPTH {
                    return Err(wrong());
                }
                if let Some((_, holds_others)) = open.last_mut() {
                    *holds_others = true;
                }
                let name = start.local_name();
                let name = name.as_ref().to_owned();
                take(Piece::Start(&name));
                open.push((name, false));
                text.clear();
            }
            Event::End(_) => {
                let (name, holds_others) = open.pop().ok_or_else(wrong)?;
                take(if holds_others { Piece::End(&name) } else { Piece::Text(&name, &text) });
                text.clear();
            }
            Event::Text(piece) => {
                text.push_str(&piece);
            }
            Event::CData(piece) => {
                text.push_str(&piece);
            }
            Event::GeneralRef(reference) => {
                let name: &str = &reference;
                let code = match name.strip_prefix('#') {
                    Some(number) => match number.strip_prefix(['x', 'X']) {
                        Some(digits) => u32::from_str_radix(digits, 16).ok(),
                        None => number.parse().ok(),
                    },
                    None => None,
                };
                match (code.and_then(char::from_u32), name) {
                    (Some(character), _) => text.push(character),
                    (None, "amp") => text.push('&'),
                    (None, "lt") => text.push('<'),
                    (None, "gt") => text.push('>'),
                    (None, "quot") => text.push('"'),
                    (None, "apos") => text.push('\''),
                    (None, _) => return Err(wrong()),
                }
            }
            Event::Eof if open.is_empty() => return Ok(()),
            Event::Eof => return Err(wrong()),
            Event::Empty(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
}

/// `text` as it stands in an element.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A reader takes a bare one for the end of a line.
            '\r' => escaped.push_str("&#13;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Result<Vec<String>> {
        let mut all = Vec::new();
        each(text.as_bytes(), |piece| {
            all.push(match piece {
                Piece::Start(name) => format!("<{name}"),
                Piece::Text(name, text) => format!("{name}={text}"),
                Piece::End(name) => format!("{name}>"),
            });
        })?;
        Ok(all)
    }

    #[test]
    fn elements_come_in_order_with_their_texts() {
        let text = "<?xml version=\"1.0\"?><a xmlns=\"u\"><x:b>1 &amp; 2&#x20;&lt;</x:b><c/><b><![CDATA[<]]></b></a>";
        let expected = ["<a", "<b", "b=1 & 2 <", "<c", "c=", "<b", "b=<", "a>"];
        assert_eq!(pieces(text).expect("XML"), expected);
        for wrong in ["<a><b></a>", "<a>", "<a>&nothing;</a>", "<a", &"<a>".repeat(100)] {
            assert_eq!(pieces(wrong).expect_err(wrong).kind(), ErrorKind::Protocol);
        }
    }

    #[test]
    fn what_is_escaped_is_read_back() {
        let text = "a & b < c > \"d\"\r\n";
        assert_eq!(
            pieces(&format!("<k>{}</k>", escape(text))).expect("XML")[1],
            format!("k={text}")
        );
    }
}
