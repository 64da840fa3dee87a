//! Services that only some remotes have besides storing files: public links, attributes, downloads that the remote itself
//! makes.
//!
//! These are not methods of [`crate::Backend`], for three reasons: no job uses them, every wrapper would have to pass on each of
//! them, and no layer may repeat them, because a repetition does something different for each. A remote that has some of them
//! offers one object ([`crate::Facets::services`]); the services that it does not have answer `Unsupported`.
//!
//! Errors of all of them: `NotFound`, `Denied`, `Throttled`, `InvalidInput` for entries of another remote, and other errors of
//! the remote.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::path::RelPath;

/// The optional operations of a remote.
#[async_trait]
pub trait Services: fmt::Debug + Send + Sync + 'static {
    /// A link by which anyone can reach a file or folder. For a folder, or with a password, this changes settings at the
    /// remote.
    async fn link(&self, _entry: &Entry, _request: &LinkRequest) -> Result<Link> {
        Err(Error::unsupported("link"))
    }

    /// Undoes [`Services::link`] for a folder: its link does not work any more. A folder without a link is success.
    async fn unlink(&self, _entry: &Entry) -> Result<()> {
        Err(Error::unsupported("unlink"))
    }

    /// Everything the remote tells about one file or folder, in the order in which it is to be shown.
    async fn details(&self, _entry: &Entry) -> Result<Vec<(&'static str, Detail)>> {
        Err(Error::unsupported("stat"))
    }

    /// Changes attributes of files that have nothing to do with their content. Attributes that have these values already are
    /// success.
    async fn set_attributes(&self, _entries: &[Entry], _attributes: &Attributes) -> Result<()> {
        Err(Error::unsupported("attr set"))
    }

    /// Asks the remote to download these addresses into the folder `into`, which is made as needed. Does not wait for the
    /// downloads; returns the number of the request, for [`Services::fetched`].
    async fn fetch(
        &self,
        _urls: &[String],
        _into: &RelPath,
        _headers: &[(String, String)],
    ) -> Result<u64> {
        Err(Error::unsupported("copyurl"))
    }

    /// The requests for downloads that the remote remembers, without their results.
    async fn fetches(&self) -> Result<Vec<Fetch>> {
        Err(Error::unsupported("remote jobs"))
    }

    /// One of them, with its results.
    async fn fetched(&self, _id: u64) -> Result<Fetch> {
        Err(Error::unsupported("remote jobs"))
    }

    /// Copies a public file of another account into the folder `into`, without moving its bytes through this machine.
    ///
    /// Errors: `AlreadyExists` when something else of its name is there; `Corrupt` when the copy has another digest.
    async fn import(&self, _url: &str, _password: Option<&str>, _into: &RelPath) -> Result<Entry> {
        Err(Error::unsupported("import"))
    }

    /// Makes the remote scan a file for viruses.
    async fn scan(&self, _entry: &Entry) -> Result<Scan> {
        Err(Error::unsupported("scan"))
    }
}

/// Which kind of link to make.
#[derive(Clone, Default)]
pub struct LinkRequest {
    /// A link to the content itself, which works for a short time.
    pub direct: bool,
    /// A password that the link asks for.
    pub password: Option<String>,
}

// A password is never shown.
impl fmt::Debug for LinkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        let mut shown = f.debug_struct("LinkRequest");
        shown.field("direct", &self.direct).field("password", &password).finish()
    }
}

/// A link to a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The address.
    pub url: String,
    /// The first use must be within this time; `None` = at any time.
    pub begin_within: Option<Duration>,
    /// How long it works from then on; `None` = for as long as the file exists.
    pub lasts: Option<Duration>,
}

/// One fact about a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A text of the remote, or of this program.
    Text(String),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// When something was done.
    Time(SystemTime),
}

/// The attributes to change; `None` stays as it is.
#[derive(Clone, Default)]
pub struct Attributes {
    /// A few words; empty removes them.
    pub description: Option<String>,
    /// A password for downloads; empty removes it.
    pub password: Option<String>,
    /// Browsers show the content instead of saving it.
    pub inline: Option<bool>,
    /// The owner pays for downloads by volume.
    pub cdn: Option<bool>,
    /// Downloads come without TLS.
    pub no_ssl: Option<bool>,
    /// Who may download.
    pub access: Option<Access>,
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attributes")
            .field("description", &self.description)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("inline", &self.inline)
            .field("cdn", &self.cdn)
            .field("no_ssl", &self.no_ssl)
            .field("access", &self.access)
            .finish()
    }
}

/// Who may download: everyone who is in one of the lists. Without any list, everyone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Networks, such as `192.0.2.0/24`.
    pub networks: Vec<String>,
    /// Countries, by their two letters.
    pub countries: Vec<String>,
    /// Users, by their e-mail addresses.
    pub users: Vec<String>,
    /// Paying users only.
    pub premium: bool,
}

/// A download that the remote makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Its number.
    pub id: u64,
    /// When it was asked for.
    pub requested: Option<SystemTime>,
    /// When it ended; `None` = not yet.
    pub ended: Option<SystemTime>,
    /// The result for each address; empty before the end, and where results were not asked for.
    pub results: Vec<FetchResult>,
}

/// The result for one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResult {
    /// The address.
    pub url: String,
    /// Where the file is, or why there is none.
    pub outcome: std::result::Result<String, String>,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Nothing was found. If not, the remote has removed the file.
    pub is_clean: bool,
    /// What the remote says.
    pub message: String,
    /// When the scan was made, which may be some hours ago.
    pub at: Option<SystemTime>,
}
