//! Percent encoding and the little XML that S3 needs. Pure.

/// Encodes everything but letters, digits, `-._~` and the bytes in `kept`.
pub(crate) fn percent(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Decodes; `None` for what is no encoding or no UTF-8.
pub(crate) fn unpercent(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

/// The pairs of a query, decoded.
pub(crate) fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unpercent(name)?, unpercent(value)?))
        })
        .collect()
}

pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // Written as such it would be read as a line end or not at all.
            control if control.is_control() => out.push_str(&format!("&#{};", control as u32)),
            plain => out.push(plain),
        }
    }
    out
}

/// `None`: a reference that does not exist.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (name, behind) = rest[at + 1..].split_once(';')?;
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

/// What stands in each element of this name, without looking at what surrounds it.
pub(crate) fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once(&open) {
        let Some((content, behind)) = behind.split_once(&close) else { break };
        found.push(content);
        rest = behind;
    }
    found
}

/// The text of the first element of this name.
pub(crate) fn text_of(text: &str, name: &str) -> Option<String> {
    elements(text, name).first().and_then(|found| unescape(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same_text() {
        for text in ["", "a b+c%/ü&<>\"'", "\u{1}\n", "%25", "&amp;"] {
            assert_eq!(unpercent(&percent(text, b"/")).as_deref(), Some(text));
            assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        }
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(unpercent(wrong), None, "{wrong}");
        }
        assert_eq!(unescape("&nothing;"), None);
    }

    #[test]
    fn elements_are_found_in_their_order() {
        let text = "<A><Key>a&amp;b</Key></A><A><Key></Key></A><A>";
        assert_eq!(elements(text, "A").len(), 2);
        assert_eq!(text_of(text, "Key").as_deref(), Some("a&b"));
    }
}
