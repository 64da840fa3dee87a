//! What a start of the emulator is told, and the rules a test may change while it runs.

use std::path::PathBuf;
use std::time::Duration;

use crate::Limits;
use crate::names;

/// The key every sandbox accepts: 32 characters of the documented alphabet.
pub const SANDBOX_KEY: &str = "sandbox-KEY_0123456789abcdefghi=";

/// How to start a [`crate::Sim`].
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Folder of the journal and the blobs; made when missing. One process at a time.
    pub state: PathBuf,
    /// Port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// The rate limits; off unless set.
    pub limits: Limits,
    /// Keys that are accepted; all of them open the one account of the emulator.
    pub api_keys: Vec<String>,
    /// Keys that are known but dead: 403 `No such user #93`.
    pub revoked_keys: Vec<String>,
    /// The behaviour where the service is configurable or unknown.
    pub rules: Rules,
}

impl SimOptions {
    /// Any port, no limits, [`SANDBOX_KEY`] as the only key, default rules.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            port: 0,
            limits: Limits::off(),
            api_keys: vec![SANDBOX_KEY.to_owned()],
            revoked_keys: Vec::new(),
            rules: Rules::default(),
        }
    }
}

/// What `folder/mkdir` does when the name is taken; the real answer is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExistingFolder {
    /// KO with an invented text.
    #[default]
    Refuse,
    /// A second folder of the same name.
    Duplicate,
    /// OK with the id of the folder that is there.
    SameId,
}

/// What happens to forbidden characters of an uploaded, moved or copied file's name; the real
/// answer is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForbiddenFileName {
    /// They become `_`.
    #[default]
    Replace,
    /// The name is stored as it came.
    Keep,
}

/// Behaviour that may be changed at run time with [`crate::Sim::set_rules`].
#[derive(Clone, Debug)]
pub struct Rules {
    /// Answer to `folder/mkdir` of a taken name.
    pub existing_folder: ExistingFolder,
    /// Treatment of forbidden characters in file names.
    pub forbidden_file_name: ForbiddenFileName,
    /// Whether `folder/ls` honours `files:1`.
    pub folder_lists_files: bool,
    /// Whether the account may ask for download tokens; otherwise `Must be a customer … #200`.
    pub is_customer: bool,
    /// The most entries a listing shows; the rest is cut off silently.
    pub listing_entries: usize,
    /// Every upload is told to have this Whirlpool digest, and none is taken: for measurements of how fast a client is.
    pub told_digest: Option<String>,
    /// The largest upload request by its `Content-Length`.
    pub upload_bytes: u64,
    /// The most files one upload request may carry.
    pub upload_files: usize,
    /// Number of the domain new files live on, 0 to 10.
    pub default_domain: u8,
    /// The e-mail address `user/info` shows.
    pub email: String,
    /// How often `remote/info` says that a download of the service has not been made yet.
    pub fetch_polls: u32,
    /// How long an upload whose report is never fetched stays out of the listings.
    pub store_after: Duration,
    /// How long a report is kept.
    pub report_life: Duration,
    /// How long a download token waits for its first request.
    pub token_start: Duration,
    /// How long a started download token may be resumed.
    pub token_life: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            existing_folder: ExistingFolder::default(),
            forbidden_file_name: ForbiddenFileName::default(),
            folder_lists_files: true,
            is_customer: true,
            listing_entries: 5000,
            told_digest: None,
            upload_bytes: 500_000_000_000,
            upload_files: 500,
            default_domain: 0,
            email: "sandbox@example.com".to_owned(),
            fetch_polls: 1,
            store_after: Duration::from_secs(10),
            report_life: Duration::from_secs(2 * 3600),
            token_start: Duration::from_secs(5 * 60),
            token_life: Duration::from_secs(30 * 60),
        }
    }
}

impl Rules {
    /// A file name after the server's own clean-up.
    pub(crate) fn stored_name(&self, name: &str) -> String {
        match self.forbidden_file_name {
            ForbiddenFileName::Replace => names::clean_file_name(name),
            ForbiddenFileName::Keep => name.to_owned(),
        }
    }
}
