//! What 1fichier says when it refuses, and which error that is.
//!
//! The numbers at the end of its messages drift, so the text decides and the number goes to the log only (section 3.3 of
//! the API reference). Repeating a 403 is punished with a ban: what is not known to be harmless to repeat is not repeated.

use std::time::Duration;

use ketch_core::{Error, ErrorKind, Hint, Retry};

use crate::text::{readable, snippet};

/// How long a lock without the word flood lasts.
pub(crate) const LOCKED_FOR: Duration = Duration::from_secs(60 * 60);
/// How long to wait after a flood that was already waited out several times.
pub(crate) const FLOOD_WAIT: Duration = Duration::from_secs(300);

/// The meanings that a refusal can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Asked too often; a wait of half a minute to minutes helps.
    Flood,
    /// Locked out for an hour.
    Locked,
    /// The key is unknown or revoked.
    KeyDead,
    /// The account is suspended.
    OwnerLocked,
    /// Only paying accounts may do this.
    Customer,
    /// The file or folder is not there.
    NotFound,
    /// A password or an access list is in the way.
    Forbidden,
    /// The account is in use from another address.
    Location,
    /// This kind of address must pay by volume.
    Network,
    /// Nothing would change.
    NoChange,
    /// The name is not one.
    Name,
    /// No room.
    Quota,
    /// Anything else.
    Other,
}

/// A refusal with its meaning, for callers who know what one of them means for them.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) said: Said,
    pub(crate) error: Error,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { said: Said::Other, error }
    }
}

/// The meaning of a message.
pub(crate) fn read(message: &str) -> Said {
    let text = message.to_lowercase();
    let has = |part: &str| text.contains(part);
    // ORDER: the more particular text first; `Flood detected: IP Locked` is a flood, `Password … not allowed` a password.
    if has("flood detected") {
        Said::Flood
    } else if has("ip locked") {
        Said::Locked
    } else if has("not authenticated") || has("no such user") {
        Said::KeyDead
    } else if has("owner locked") {
        Said::OwnerLocked
    } else if has("must be a customer") {
        Said::Customer
    } else if has("must have cdn") {
        Said::Network
    } else if has("location allowed") {
        Said::Location
    } else if has("no file has been renamed") || has("no changes requested") {
        Said::NoChange
    } else if has("invalid name") && !text.trim_start().starts_with('<') {
        Said::Name
    } else if has("not found") {
        Said::NotFound
    } else if has("password") || has("not allowed") {
        Said::Forbidden
    } else if has("quota") {
        Said::Quota
    } else {
        Said::Other
    }
}

/// The error of a `KO` answer, or of any text that stands where an answer should be.
pub(crate) fn refusal(http: u16, message: &str) -> Refusal {
    let mut said = read(message);
    if said == Said::Other && http == 429 {
        said = Said::Flood;
    }
    let number = number(message).unwrap_or_default();
    tracing::debug!(http, number, ?said, "1fichier refused");
    let text = if message.trim().is_empty() { "no reason given".into() } else { snippet(message) };
    let (kind, retry, advice) = match said {
        Said::Flood => (
            ErrorKind::Throttled,
            Retry::After(FLOOD_WAIT),
            "1fichier was asked too often and wants a pause",
        ),
        Said::Locked => (
            ErrorKind::Throttled,
            Retry::After(LOCKED_FOR),
            "1fichier has locked this address out for about an hour",
        ),
        Said::KeyDead => (
            ErrorKind::Unauthenticated,
            Retry::Never,
            "1fichier does not know the API key (make a new one at https://1fichier.com/console/params.pl)",
        ),
        Said::OwnerLocked => (
            ErrorKind::Denied,
            Retry::Never,
            "the account that owns this is suspended (if it is yours, ask 1fichier at https://1fichier.com/contact.html)",
        ),
        Said::Customer => (
            ErrorKind::Denied,
            Retry::Never,
            "this needs a paying 1fichier account (listing, uploading and links work without one)",
        ),
        Said::NotFound => (ErrorKind::NotFound, Retry::Never, "1fichier does not have it"),
        Said::Forbidden => (
            ErrorKind::Denied,
            Retry::Never,
            "a password or an access list is in the way (the option file_password of the remote gives a password)",
        ),
        Said::Location => (
            ErrorKind::Throttled,
            Retry::Never,
            "the account is downloading from another address (end that, or wait some minutes; it may be this machine under an earlier address; the same command then goes on)",
        ),
        Said::Network => (
            ErrorKind::Denied,
            Retry::Never,
            "this kind of address (a server, a VPN) needs CDN credits to download (https://1fichier.com/network.html shows what 1fichier takes it for)",
        ),
        Said::NoChange => (ErrorKind::InvalidInput, Retry::Never, "nothing would change"),
        Said::Name => (
            ErrorKind::InvalidInput,
            Retry::Never,
            "1fichier does not take the name (known to be refused: \\ < > \" ' $ ` and control characters, and spaces at the ends)",
        ),
        Said::Quota => (ErrorKind::Quota, Retry::Never, "the account is full"),
        Said::Other => match http {
            401 => {
                (ErrorKind::Unauthenticated, Retry::Never, "1fichier does not accept the API key")
            }
            404 | 410 => (ErrorKind::NotFound, Retry::Never, "1fichier does not have it"),
            500..=599 => (ErrorKind::Unavailable, Retry::Backoff, "1fichier is out of order"),
            _ => (ErrorKind::Denied, Retry::Never, "1fichier refuses"),
        },
    };
    let message = format!("{advice}: {text} (HTTP {http})");
    let error = Error::new(kind, message).with_retry(retry);
    let error = match said {
        Said::Forbidden => error.with_hint(Hint::OpenFile),
        Said::Quota => error.with_hint(Hint::LookAtRoom),
        _ => error,
    };
    Refusal { said, error }
}

/// The error of an answer that is not JSON.
pub(crate) fn not_json(http: u16, body: &[u8]) -> Refusal {
    let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
    let said = read(&text);
    if matches!(said, Said::Flood | Said::Locked) || http == 429 {
        return refusal(http, &readable(&text));
    }
    let (kind, retry) = match http {
        200..=299 => (ErrorKind::Protocol, Retry::Backoff),
        500..=599 => (ErrorKind::Unavailable, Retry::Backoff),
        401 => (ErrorKind::Unauthenticated, Retry::Never),
        403 => (ErrorKind::Denied, Retry::Never),
        // A page that is not 1fichier's own says nothing about what is stored there.
        _ => (ErrorKind::Protocol, Retry::Never),
    };
    let message = format!("JSON was expected, not `{}` (HTTP {http})", readable(&text));
    Refusal { said: Said::Other, error: Error::new(kind, message).with_retry(retry) }
}

/// The number at the end of a message, all its digits.
fn number(message: &str) -> Option<u32> {
    let (_, after) = message.rsplit_once('#')?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::*;

    #[test]
    fn the_text_decides_and_not_the_number() {
        let after = |seconds| Retry::After(Duration::from_secs(seconds));
        let table = [
            (403, "Flood detected: IP Locked #374", Throttled, after(300)),
            (403, "Flood detected: IP Locked #1032", Throttled, after(300)),
            (429, "Flood detected #412", Throttled, after(300)),
            (403, "Flood detected: User Locked #223", Throttled, after(300)),
            (200, "Flood detected: User APK Locked", Throttled, after(300)),
            (429, "", Throttled, after(300)),
            (403, "IP Locked #79", Throttled, after(3600)),
            (401, "Not authenticated #247", Unauthenticated, Retry::Never),
            (403, "No such user #93", Unauthenticated, Retry::Never),
            (403, "No such user #142", Unauthenticated, Retry::Never),
            (403, "Owner locked #620", Denied, Retry::Never),
            (403, "Must be a customer (Premium, Access) #200", Denied, Retry::Never),
            (404, "Resource not found #469", NotFound, Retry::Never),
            (403, "Resource not allowed #631", Denied, Retry::Never),
            (403, "Password not provided. Resource not allowed #1", Denied, Retry::Never),
            (403, "Invalid password. Resource not allowed #2", Denied, Retry::Never),
            (200, "Only 1 location allowed at a time #887", Throttled, Retry::Never),
            (
                403,
                "You use professional equipment, you must have CDN credits",
                Denied,
                Retry::Never,
            ),
            (403, "No file has been renamed #312", InvalidInput, Retry::Never),
            (200, "No changes requested", InvalidInput, Retry::Never),
            (403, "Invalid name #512", InvalidInput, Retry::Never),
            (403, "Quota exceeded #9", Quota, Retry::Never),
            (403, "Something new #186", Denied, Retry::Never),
            (403, "", Denied, Retry::Never),
            (200, "", Denied, Retry::Never),
            (400, "Content-Type not JSON #24", Denied, Retry::Never),
            (404, "gone #1", NotFound, Retry::Never),
            (502, "oops", Unavailable, Retry::Backoff),
        ];
        for (http, message, kind, retry) in table {
            let error = refusal(http, message).error;
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{http} {message}");
        }
    }

    #[test]
    fn a_second_location_says_what_to_do() {
        let refusal = refusal(200, "Only 1 location allowed at a time #887");
        let text = refusal.error.to_string();
        assert!(text.contains("from another address (end that, or wait some minutes"), "{text}");
    }

    #[test]
    fn a_page_in_place_of_json_is_never_a_result() {
        let table: [(u16, &str, ErrorKind, Retry); 7] = [
            (200, "<html>please wait</html>", Protocol, Retry::Backoff),
            (200, "IP Locked", Throttled, Retry::After(LOCKED_FOR)),
            (403, "<h1>IP Locked</h1>", Throttled, Retry::After(LOCKED_FOR)),
            (403, "<h1>Forbidden</h1>", Denied, Retry::Never),
            (404, "<h1>Not found</h1>", Protocol, Retry::Never),
            (302, "", Protocol, Retry::Never),
            (503, "", Unavailable, Retry::Backoff),
        ];
        for (http, body, kind, retry) in table {
            let error = not_json(http, body.as_bytes()).error;
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{http} {body}");
        }
    }

    #[test]
    fn all_digits_of_a_number_are_read() {
        assert_eq!(number("Flood detected: IP Locked #1032"), Some(1032));
        assert_eq!(number("x #12 y"), Some(12));
        assert_eq!(number("no number"), None);
        assert_eq!(number("#99999999999999999999"), None);
    }
}
