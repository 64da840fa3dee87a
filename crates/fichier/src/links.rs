//! Addresses of files, and digests, as 1fichier writes them.

use ketch_core::{Digest, HashAlgo};

/// A digest as 1fichier writes it; `None` for what is not one.
pub(crate) fn digest(text: &str) -> Option<Digest> {
    Digest::from_hex(HashAlgo::Whirlpool, text.trim())
}

/// A file's address without what an affiliate hung on it.
pub(crate) fn without_tail(mut url: String) -> String {
    if let Some(at) = url.find('&') {
        url.truncate(at);
    }
    url
}
