//! Identifiers, links and the characters a name may not have.

use std::sync::atomic::{AtomicU64, Ordering};

/// The domains a file may live on, by the `domain` number of the upload form.
pub(crate) const DOMAINS: [&str; 11] = [
    "1fichier.com",
    "alterupload.com",
    "cjoint.net",
    "desfichiers.com",
    "dfichiers.com",
    "megadl.fr",
    "mesfichiers.org",
    "piecejointe.net",
    "pjointe.com",
    "tenvoi.com",
    "dl4free.com",
];

/// The longest folder name, in characters.
pub(crate) const FOLDER_NAME_CHARACTERS: usize = 250;

const LOWER_ALPHANUMERIC: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What the next identifier is made of; 0: of chance.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Makes all identifiers of this process follow from a number, so that the same requests give the same ones.
pub(crate) fn set_seed(seed: u64) {
    NEXT.store(seed.max(1), Ordering::Relaxed);
}

/// The random numbers of one identifier.
pub(crate) fn random() -> fastrand::Rng {
    let next = |next: u64| (next > 0).then(|| next.wrapping_add(1).max(1));
    match NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
        Ok(seed) => fastrand::Rng::with_seed(seed),
        Err(_) => fastrand::Rng::new(),
    }
}

fn random_from(alphabet: &[u8], length: usize) -> String {
    let mut random = random();
    (0..length).map(|_| char::from(alphabet[random.usize(..alphabet.len())])).collect()
}

/// Twenty lower-case letters and digits: the identity of a file.
pub(crate) fn new_file_id() -> String {
    random_from(LOWER_ALPHANUMERIC, 20)
}

/// Ten letters and digits of mixed case: the identity of an upload.
pub(crate) fn new_upload_id() -> String {
    random_from(ALPHANUMERIC, 10)
}

/// Eight letters and digits of mixed case: a removal code or the name of a public folder.
pub(crate) fn new_code() -> String {
    random_from(ALPHANUMERIC, 8)
}

/// The name of a domain number; an unknown number means the first domain.
pub(crate) fn domain_name(domain: u8) -> &'static str {
    DOMAINS.get(usize::from(domain)).copied().unwrap_or(DOMAINS[0])
}

/// `https://<domain>/?<id>`.
pub(crate) fn file_link(domain: u8, id: &str) -> String {
    format!("https://{}/?{id}", domain_name(domain))
}

/// Reads a file link into its domain number and id; an affiliate tail after `&` is dropped.
pub(crate) fn parse_file_link(link: &str) -> Option<(u8, &str)> {
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"))?;
    let (host, query) = rest.split_once("/?")?;
    let domain = DOMAINS.iter().position(|known| known.eq_ignore_ascii_case(host))?;
    let id = query.split('&').next().unwrap_or_default();
    let is_id = (5..=20).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_id.then_some((u8::try_from(domain).ok()?, id))
}

/// Whether the service keeps this character out of names.
pub(crate) fn is_forbidden(character: char) -> bool {
    matches!(character, '\\' | '<' | '>' | '"' | '\'' | '$' | '`' | '´' | '/')
        || character.is_control()
}

/// Whether a folder may be called this.
pub(crate) fn is_folder_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(' ')
        && !name.ends_with(' ')
        && name.chars().count() <= FOLDER_NAME_CHARACTERS
        && !name.chars().any(is_forbidden)
        && !matches!(name, "." | "..")
}

/// A file name after the server's clean-up: forbidden characters become `_`, edge spaces go.
pub(crate) fn clean_file_name(name: &str) -> String {
    let replaced: String = name
        .chars()
        .map(|character| if is_forbidden(character) { '_' } else { character })
        .collect();
    let trimmed = replaced.trim_matches(' ');
    if trimmed.is_empty() { "_".to_owned() } else { trimmed.to_owned() }
}

/// The MIME type the service would show for a name.
pub(crate) fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("txt" | "log" | "md") => "text/plain",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("pdf") => "application/pdf",
        Some("mp4") => "video/mp4",
        Some("zip") => "application/zip",
        Some("html" | "htm") => "text/html",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_back_with_and_without_an_affiliate_tail() {
        let id = new_file_id();
        assert_eq!(parse_file_link(&file_link(0, &id)), Some((0, id.as_str())));
        let tail = format!("https://alterupload.com/?{id}&af=123");
        assert_eq!(parse_file_link(&tail), Some((1, id.as_str())));
        for bad in [
            "",
            "https://1fichier.com/",
            "https://evil.example/?abcdefghij",
            "1fichier.com/?abcdefghij",
        ] {
            assert_eq!(parse_file_link(bad), None, "{bad}");
        }
    }

    #[test]
    fn forbidden_characters_are_refused_in_folders_and_replaced_in_files() {
        assert!(is_folder_name("été 2021"));
        for bad in ["", " a", "a ", "l'été", "a/b", "a\\b", "a$b", "..", "a\nb"] {
            assert!(!is_folder_name(bad), "{bad:?}");
        }
        assert!(!is_folder_name(&"é".repeat(251)));
        assert!(is_folder_name(&"é".repeat(250)));
        assert_eq!(clean_file_name("../l'a\u{1b}b "), ".._l_a_b");
    }
}
