//! The options of a 1fichier remote, checked.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ketch_core::capabilities::Gather;
use ketch_core::factory::{OptionInfo, Options};
use ketch_core::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret, SecretString};

use crate::hosts::Origin;

const API_URL: &str = "https://api.1fichier.com/v1";

/// The table of options.
pub(crate) const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "api_key",
        help: "The API key, from https://1fichier.com/console/params.pl.",
        default: None,
        secret: true,
        required: true,
        unless: Some("shared_folder"),
    },
    OptionInfo {
        name: "shared_folder",
        help: "The address of a public folder of any account: ketch lists and reads it without the key.",
        default: None,
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "shared_password",
        help: "The password of that folder.",
        default: None,
        secret: true,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "file_password",
        help: "The password of the files of the account that have one; ketch needs it to read them.",
        default: None,
        secret: true,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "api_url",
        help: "The address of the API; plain http is accepted for this machine only.",
        default: Some(API_URL),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "pace",
        help: "Whether calls keep the intervals that 1fichier asks for: documented or off.",
        default: Some("documented"),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "pace_scale",
        help: "ketch divides every wait by this number; for emulators that divide the limits of 1fichier by it.",
        default: Some("1"),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "end_wait",
        help: "How many minutes 1fichier may work on a file after ketch sent it.",
        default: Some("15"),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "flood_patience",
        help: "How many minutes ketch waits in all when 1fichier asks for pauses (floods), before it gives up; 0 waits for none.",
        default: Some("30"),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "requests_per_hour",
        help: "The most calls in any hour, by all processes of this machine: a number up to 10000, free (100) or premium (1000).",
        default: None,
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "account_view",
        help: "Whether ketch may list all files of the account (up to 5000) with one call an hour, instead of listing many folders: on if no other program moves files in the account, or off.",
        default: Some("off"),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "connections",
        help: "How many files, or uploads of small files, ketch transfers at the same time at most, and how many calls it makes at the same time, 1 to 30.",
        default: Some("30"),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "gather_files",
        help: "How many small files of a folder ketch sends in one upload at most, 1 to 500; 1 sends each by itself.",
        default: Some("500"),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "gather_file_size",
        help: "Files up to this size are small, and several of them go into one upload; K is 1024 bytes, M is 1024 K, G is 1024 M.",
        default: Some("8M"),
        secret: false,
        required: false,
        unless: None,
    },
    OptionInfo {
        name: "gather_size",
        help: "How many bytes ketch sends in one upload of small files at most.",
        default: Some("256M"),
        secret: false,
        required: false,
        unless: None,
    },
];

/// The operator named 30 connections as the most for downloads (section 4.3 of the API reference), and nothing for uploads.
const CONNECTIONS: usize = 30;

const GATHER: Gather = Gather { items: 500, item_bytes: 8 << 20, bytes: 256 << 20 };

/// The options of one remote.
pub(crate) struct Settings {
    pub(crate) key: SecretString,
    /// Of files that have one.
    pub(crate) file_password: Option<SecretString>,
    pub(crate) origin: Origin,
    /// Are the distances between calls kept?
    pub(crate) paced: bool,
    pub(crate) scale: u32,
    pub(crate) end_wait: Duration,
    /// How long a run of floods is waited for.
    pub(crate) flood_patience: Duration,
    /// The most calls in any hour.
    pub(crate) requests_per_hour: Option<u32>,
    /// May the whole account be looked at in place of folders?
    pub(crate) account_view: bool,
    /// Transfers in each direction at the same time at most, and calls.
    pub(crate) connections: usize,
    /// Which files travel together.
    pub(crate) gather: Gather,
    /// Tells accounts apart without telling the key: 16 hexadecimal digits.
    pub(crate) account: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("key", &"***")
            .field("origin", &self.origin)
            .field("paced", &self.paced)
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads the options that a factory was given. Unknown ones are the factory's matter.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let get = |name: &str| options.get(name).map(|value| value.trim());
        let key = get("api_key").unwrap_or_default();
        let is_needed = !options.contains("shared_folder");
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=+/.".contains(&byte);
        if (key.is_empty() && is_needed) || key.len() > 256 || !key.bytes().all(is_key) {
            return Err(refuse("api_key", "is not a key (letters, digits, `-`, `_` and `=`)"));
        }
        let paced = match get("pace").unwrap_or("documented") {
            "documented" => true,
            "off" => false,
            _ => return Err(refuse("pace", "must be `documented` or `off`")),
        };
        let account_view = match get("account_view").unwrap_or("off") {
            "on" => true,
            "off" => false,
            _ => return Err(refuse("account_view", "must be `on` or `off`")),
        };
        let scale: u32 = number("pace_scale", get("pace_scale").unwrap_or("1"))?;
        let minutes: u32 = number("end_wait", get("end_wait").unwrap_or("15"))?;
        let patience: u32 = number("flood_patience", get("flood_patience").unwrap_or("30"))?;
        if patience > 24 * 60 {
            return Err(refuse("flood_patience", "must be at most 1440 minutes, which is a day"));
        }
        if scale == 0 {
            return Err(refuse("pace_scale", "must be at least 1"));
        }
        let requests_per_hour = match get("requests_per_hour") {
            None => None,
            Some("free") => Some(100),
            Some("premium") => Some(1_000),
            Some(text) => Some(number("requests_per_hour", text)?),
        };
        if requests_per_hour.is_some_and(|most: u32| !(1..=10_000).contains(&most)) {
            return Err(refuse("requests_per_hour", "must be from 1 to 10000, free or premium"));
        }
        let gather = Gather {
            items: match get("gather_files") {
                Some(text) => number("gather_files", text)?,
                None => GATHER.items,
            },
            item_bytes: bytes("gather_file_size", get("gather_file_size"), GATHER.item_bytes)?,
            bytes: bytes("gather_size", get("gather_size"), GATHER.bytes)?,
        };
        if !(1..=500).contains(&gather.items) {
            return Err(refuse("gather_files", "must be from 1 to 500"));
        }
        let connections = match get("connections") {
            Some(text) => number("connections", text)?,
            None => CONNECTIONS,
        };
        if !(1..=CONNECTIONS).contains(&connections) {
            return Err(refuse("connections", "must be from 1 to 30"));
        }
        let account = blake3::hash(key.as_bytes()).to_hex()[..16].to_owned();
        Ok(Settings {
            key: SecretString::from(key),
            file_password: get("file_password").map(SecretString::from),
            origin: Origin::parse(get("api_url").unwrap_or(API_URL))?,
            paced,
            scale,
            end_wait: Duration::from_secs(60) * minutes.clamp(1, 24 * 60),
            flood_patience: Duration::from_secs(60) * patience,
            requests_per_hour,
            account_view,
            connections,
            gather,
            account,
        })
    }

    /// The question about a file, with the password of files that have one.
    pub(crate) fn about_file(&self, url: &str) -> serde_json::Value {
        let mut body = serde_json::json!({ "url": url });
        if let Some(password) = &self.file_password {
            body["pass"] = password.expose_secret().into();
        }
        body
    }

    /// Tells two ways of dealing with one account apart.
    pub(crate) fn manner(&self) -> String {
        let password = self.file_password.as_ref().map(|text| text.expose_secret().as_bytes());
        format!(
            "{}/{}/{:?}/{:?}/{:?}/{:?}/{}/{}/{}",
            self.paced,
            self.scale,
            self.end_wait,
            self.flood_patience,
            self.gather,
            self.requests_per_hour,
            self.account_view,
            self.connections,
            blake3::hash(password.unwrap_or_default()).to_hex(),
        )
    }

    /// A wait, divided as the options say.
    pub(crate) fn scaled(&self, wait: Duration) -> Duration {
        wait / self.scale
    }

    /// The name of the file that keeps the times of calls: one for each account on each host.
    pub(crate) fn state_name(&self) -> String {
        format!("fichier-{}.json", self.identity())
    }

    /// The name of the file that keeps the folder tree.
    pub(crate) fn tree_name(&self) -> String {
        format!("fichier-{}.tree.json", self.identity())
    }

    /// The name of the file that keeps what the folders held.
    pub(crate) fn known_name(&self) -> String {
        format!("fichier-{}.known.json", self.identity())
    }

    /// The name of the folder of the listings that processes share.
    pub(crate) fn board_name(&self) -> String {
        format!("fichier-{}.listings", self.identity())
    }

    /// How the names of the files begin that keep what was changed just now.
    pub(crate) fn recent_name(&self) -> String {
        format!("fichier-{}.recent", self.identity())
    }

    /// The name of the file that keeps moves of folders in two calls.
    pub(crate) fn moving_name(&self) -> String {
        format!("fichier-{}.moving.json", self.identity())
    }

    /// The name of the folder of the files in which processes write down their uploads.
    pub(crate) fn sending_name(&self) -> String {
        format!("fichier-{}.sending", self.identity())
    }

    /// The name of the file that keeps the removals that are owed.
    pub(crate) fn owed_name(&self) -> String {
        format!("fichier-{}.owed.json", self.identity())
    }

    /// Tells accounts and hosts apart without telling the key.
    fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.origin.authority().as_bytes());
        hasher.update(b"\0");
        hasher.update(self.key.expose_secret().as_bytes());
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| refuse(name, "must be a whole number"))
}

/// A size such as `8M`; the default when there is none.
fn bytes(name: &str, text: Option<&str>, default: u64) -> Result<u64> {
    let Some(text) = text else { return Ok(default) };
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: Option<u64> = digits.trim().parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| refuse(name, "must be a size such as 8M"))
}

// The value is left out: a key pasted into the wrong option must not reach a log.
fn refuse(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the option `{name}` {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        [("api_key", "KETCHCANARY123")].iter().chain(pairs).copied().collect()
    }

    #[test]
    fn defaults_are_those_of_the_table() {
        let settings = Settings::new(&options(&[])).expect("legal");
        assert!(settings.paced);
        assert_eq!(settings.origin.call("x").url(), "https://api.1fichier.com/v1/x");
        assert_eq!((settings.scale, settings.end_wait), (1, Duration::from_secs(900)));
        assert_eq!(settings.flood_patience, Duration::from_secs(1_800));
    }

    #[test]
    fn bad_values_are_refused_without_being_shown() {
        for (name, value) in [
            ("api_key", "SECRET SECRET"),
            ("api_key", "SECRET\r\nX: y"),
            ("api_key", ""),
            ("pace", "SECRET"),
            ("pace_scale", "0"),
            ("pace_scale", "SECRET"),
            ("end_wait", "-1"),
            ("flood_patience", "SECRET"),
            ("flood_patience", "1441"),
            ("requests_per_hour", "0"),
            ("requests_per_hour", "SECRET"),
            ("gather_files", "0"),
            ("gather_files", "501"),
            ("gather_file_size", "SECRET"),
            ("gather_file_size", "99999999999999G"),
            ("gather_size", ""),
            ("api_url", "http://SECRET.example/v1"),
        ] {
            let error = Settings::new(&options(&[(name, value)])).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        }
    }

    #[test]
    fn neither_debug_nor_the_names_of_files_tell_the_key() {
        let settings = Settings::new(&options(&[])).expect("legal");
        assert!(!format!("{settings:?}").contains("CANARY"));
        assert_ne!(&settings.state_name()[8..24], settings.account);
    }
}
