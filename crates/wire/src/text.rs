//! Small texts of HTTP: percent encoding and dates.

use std::fmt::Write;
use std::time::SystemTime;

use jiff::fmt::rfc2822;

/// `text` with every byte encoded but letters, digits, `-`, `.`, `_`, `~` and those of `kept`.
pub fn percent(text: &[u8], kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The bytes that a percent-encoded text stands for; with `plus_is_space` a `+` is a space. What is no code stays as it is.
pub fn unpercent(text: &str, plus_is_space: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|code| {
            bytes[at] == b'%' && code.bytes().all(|digit| digit.is_ascii_hexdigit())
        });
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(if plus_is_space && bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    decoded
}

/// The time that a header such as `Date` or `Last-Modified` means.
pub fn http_date(text: &str) -> Option<SystemTime> {
    let zoned =
        rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_zoned(text.trim()).ok()?;
    Some(zoned.timestamp().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn percent_encoding_is_exact_both_ways() {
        for (plain, encoded) in [
            ("a b/ü", "a%20b/%C3%BC"),
            ("100%+x", "100%25%2Bx"),
            ("~._-", "~._-"),
            ("a%2Fb", "a%252Fb"),
        ] {
            assert_eq!(percent(plain.as_bytes(), b"/"), encoded);
            assert_eq!(unpercent(encoded, false), plain.as_bytes());
        }
        assert_eq!(unpercent("a+b%2", true), b"a b%2");
        assert_eq!(unpercent("a+b", false), b"a+b");
        assert_eq!(unpercent("%zz%C3", false), b"%zz\xc3");
    }

    #[test]
    fn dates_of_headers_are_read() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(http_date("Tue, 14 Nov 2023 22:13:20 GMT"), Some(time));
        assert_eq!(http_date("soon"), None);
    }
}
