//! What every request that stores an object says: its time, its class, its encryption, and what must hold about what is replaced.

use ketch_core::{Expect, PutOptions};

use crate::facts::META;
use crate::folder::S3;
use crate::times;

/// Headers of every object that is stored: its time, its class, its encryption.
pub(crate) fn headers(s3: &S3, options: &PutOptions) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in &s3.client.settings.stored_headers {
        headers.push(((*name).to_owned(), value.clone()));
    }
    if let Some(time) = options.mtime {
        headers.push((format!("{META}{}", times::MTIME), times::to_text(time)));
    }
    headers
}

/// What must hold about the object that is replaced, where the service checks that.
pub(crate) fn condition(s3: &S3, options: &PutOptions) -> Option<(String, String)> {
    if !s3.client.has_conditions() {
        return None;
    }
    match &options.expect {
        Expect::Anything => None,
        Expect::Absent => Some(("if-none-match".to_owned(), "*".to_owned())),
        Expect::Entry(entry) => {
            let version = entry.version.as_ref()?;
            Some(("if-match".to_owned(), version.to_string()))
        }
    }
}
