//! What every request that stores an object says: its time, its class, its encryption, and what must hold about what is replaced.

use ketch_core::{Error, ErrorKind, Expect, PutOptions, Result};

use crate::facts::META;
use crate::folder::S3;
use crate::keys::Place;
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

/// Looks at what is there, where the service checks no condition. What comes between this and the request is replaced.
///
/// Errors: `Changed` when it is not what is expected.
pub(crate) async fn look(s3: &S3, place: &Place, options: &PutOptions) -> Result<()> {
    if s3.client.has_conditions() || matches!(options.expect, Expect::Anything) {
        return Ok(());
    }
    let found = match s3.head(place).await {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        found => Some(found?),
    };
    let is_expected = match (&options.expect, &found) {
        (Expect::Anything, _) | (Expect::Absent, None) => true,
        (Expect::Absent, Some(_)) | (Expect::Entry(_), None) => false,
        (Expect::Entry(entry), Some(found)) => {
            entry.version.is_none() || entry.version == found.version
        }
    };
    match is_expected {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Changed, "what is there is not what was listed")),
    }
}
