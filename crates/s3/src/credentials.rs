//! The key that requests are signed with.

use std::fmt;

use ketch_core::factory::Options;
use ketch_core::{Error, ErrorKind, Result};
use secrecy::SecretString;

/// A key. Its secret is read only where a request is signed.
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
    pub(crate) token: Option<SecretString>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials { *** }")
    }
}

impl Credentials {
    /// The key in the options; `None`: there is none, and requests are not signed.
    ///
    /// Errors: `InvalidInput` when half of it is missing.
    pub(crate) fn read(options: &Options) -> Result<Option<Credentials>> {
        let given = |name: &str| options.get(name).filter(|value| !value.is_empty());
        match (given("access_key_id"), given("secret_access_key")) {
            (Some(id), Some(secret)) => Ok(Some(Credentials {
                id: id.to_owned(),
                secret: secret.into(),
                token: given("session_token").map(Into::into),
            })),
            (None, None) => Ok(None),
            _ => {
                let text = "`access_key_id` and `secret_access_key` are only given together";
                Err(Error::new(ErrorKind::InvalidInput, text))
            }
        }
    }
}
