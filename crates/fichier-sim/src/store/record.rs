//! What is remembered about a file, a folder and an upload.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One stored file; `id` is also the name of its blob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) whirlpool: String,
    /// Seconds since 1970.
    pub(crate) uploaded: i64,
    /// `None` for anonymous files, which are in no folder.
    pub(crate) folder: Option<u64>,
    pub(crate) domain: u8,
    /// Only anonymous files have one.
    pub(crate) remove_code: Option<String>,
    #[serde(default)]
    pub(crate) password: Option<String>,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) no_ssl: bool,
    #[serde(default)]
    pub(crate) inline: bool,
    #[serde(default)]
    pub(crate) cdn: bool,
    /// The access list as it was given; `None` when the file is public.
    #[serde(default)]
    pub(crate) acl: Option<Value>,
}

impl FileRecord {
    /// A file of the account that nobody has changed yet. `uploaded` in seconds since 1970.
    pub(crate) fn new(id: String, name: String, whirlpool: String, uploaded: i64) -> Self {
        FileRecord {
            id,
            name,
            size: 0,
            whirlpool,
            uploaded,
            folder: Some(0),
            domain: 0,
            remove_code: None,
            password: None,
            description: String::new(),
            no_ssl: false,
            inline: false,
            cdn: false,
            acl: None,
        }
    }

    /// The link that identifies the file.
    pub(crate) fn link(&self) -> String {
        crate::names::file_link(self.domain, &self.id)
    }

    /// The removal link of an anonymous file, empty otherwise.
    pub(crate) fn removal_link(&self) -> String {
        match &self.remove_code {
            Some(code) => {
                let domain = crate::names::domain_name(self.domain);
                format!("https://{domain}/remove/{}/{code}", self.id)
            }
            None => String::new(),
        }
    }
}

/// One folder; the root, 0, has no record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FolderRecord {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) parent: u64,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// The eight characters of the public link, when there is one.
    #[serde(default)]
    pub(crate) shared: Option<String>,
    /// What whoever uses that link must know.
    #[serde(default)]
    pub(crate) share_password: Option<String>,
    /// The people the folder is shared with, as they were given.
    #[serde(default)]
    pub(crate) shares: Vec<Value>,
}

impl FolderRecord {
    /// A folder that is shared with nobody. `created` in seconds since 1970.
    pub(crate) fn new(id: u64, name: &str, parent: u64, created: i64) -> Self {
        let (shared, share_password, shares) = (None, None, Vec::new());
        FolderRecord { id, name: name.to_owned(), parent, created, shared, share_password, shares }
    }
}

/// What `end.pl` tells about one upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) xid: String,
    /// Seconds since 1970.
    pub(crate) uploaded: i64,
    /// Whether the files have been put into their folder.
    pub(crate) settled: bool,
    pub(crate) files: Vec<FileRecord>,
}
