//! Foreign texts made fit for a message: short, one line, without tags, control characters and addresses.

/// The longest piece of a foreign text that a message holds, in characters.
const SNIPPET_CHARS: usize = 160;

/// The words of a page, without its tags, one line, bounded.
pub(crate) fn readable(page: &str) -> String {
    let mut words = String::new();
    let mut in_tag = false;
    for character in page.chars().take(8 * 1024) {
        match character {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                words.push(' ');
            }
            _ if !in_tag => words.push(character),
            _ => {}
        }
    }
    snippet(&words)
}

/// What a node's page says: the text of its first box that is not empty, else of the page.
pub(crate) fn node_says(page: &str) -> String {
    for class in ["bloc2", "ct_warn", "alerte"] {
        for (at, _) in page.match_indices(class) {
            let after = &page[at..];
            let Some(start) = after.find('>') else { continue };
            let end = after.find("</div").unwrap_or(after.len());
            let text = readable(after.get(start + 1..end).unwrap_or_default());
            if !text.is_empty() {
                return text;
            }
        }
    }
    readable(page)
}

/// A foreign text fit for a message: one line, no control characters, no addresses, bounded.
pub(crate) fn snippet(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        // An address may be a download token.
        line.push_str(if word.contains("://") { "<address>" } else { word });
        if line.len() > SNIPPET_CHARS * 4 {
            break;
        }
    }
    let mut shown = String::new();
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for (at, character) in line.chars().enumerate() {
        if at == SNIPPET_CHARS {
            shown.push('…');
            break;
        }
        if is_hidden(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_bounded_escaped_and_without_addresses() {
        let text = snippet("a\x1b[31m\n\n b https://a-4.1fichier.com/csecret \u{202e}evil");
        assert_eq!(text, "a\\u{1b}[31m b <address> \\u{202e}evil");
        assert!(snippet(&"x".repeat(100_000)).chars().count() <= SNIPPET_CHARS + 1);
        assert_eq!(readable("<div class=\"bloc2\">Pas de <b>fichier</b></div>"), "Pas de fichier");
    }

    #[test]
    fn a_node_says_what_is_in_its_first_box() {
        let page = "<title>x</title><div class=\"bloc2\"> </div><div class=\"bloc2\">Non</div>";
        assert_eq!(node_says(page), "Non");
        assert_eq!(node_says("<p class=ct_warn>Attention</p>"), "Attention");
        assert_eq!(node_says("<p>plain</p>"), "plain");
    }
}
