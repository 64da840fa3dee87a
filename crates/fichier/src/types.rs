//! The answers of the API, read leniently: integers come as numbers, as text or as null, fields come and go.
//!
//! Lenient is not careless: a size or an id that is there and makes no sense is an error that names it, never a zero.

use ketch_core::RelPath;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::names;

/// What nearly every answer has; no answer needs to have it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Envelope {
    #[serde(default, alias = "Status", alias = "STATUS", deserialize_with = "text")]
    pub(crate) status: Option<String>,
    #[serde(default, alias = "Message", deserialize_with = "text")]
    pub(crate) message: Option<String>,
}

impl Envelope {
    /// Does it say that the call failed?
    pub(crate) fn is_refusal(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status.trim().eq_ignore_ascii_case("KO"))
    }

    /// Does it say that the call succeeded?
    pub(crate) fn is_ok(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status.trim().eq_ignore_ascii_case("OK"))
    }
}

/// An answer of which only the success counts.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {}

/// `upload/get_upload_server.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct UploadServer {
    pub(crate) url: String,
    pub(crate) id: String,
}

/// `file/ls.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct FileLs {
    #[serde(default)]
    pub(crate) items: Option<Vec<Item>>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) count: Option<u64>,
}

/// `folder/ls.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct FolderLs {
    #[serde(default, deserialize_with = "integer")]
    pub(crate) folder_id: Option<u64>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) files: Option<u64>,
    #[serde(default)]
    pub(crate) sub_folders: Option<Vec<SubFolder>>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) size: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) create_date: Option<String>,
    /// The public address.
    #[serde(default, deserialize_with = "text")]
    pub(crate) shared: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) pass: Option<u64>,
    #[serde(default)]
    pub(crate) shares: Option<Vec<Value>>,
    #[serde(default)]
    pub(crate) items: Option<Vec<Item>>,
}

/// A file in a listing.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Item {
    pub(crate) url: String,
    #[serde(deserialize_with = "name")]
    pub(crate) filename: String,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) size: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) date: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) checksum: Option<String>,
}

/// `file/info.cgi`
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Info {
    #[serde(default, deserialize_with = "text")]
    pub(crate) filename: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) size: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) date: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) checksum: Option<String>,
    /// Absent for files of others.
    #[serde(default, deserialize_with = "integer")]
    pub(crate) folder_id: Option<u64>,
    /// The names of the folders above, from the top.
    #[serde(default, deserialize_with = "text")]
    pub(crate) path: Option<String>,
    #[serde(default, rename = "content-type", alias = "content_type", deserialize_with = "text")]
    pub(crate) content_type: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) description: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) pass: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) inline: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) cdn: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) no_ssl: Option<u64>,
    #[serde(default)]
    pub(crate) acl: Option<Value>,
}

impl Info {
    /// Is it the file called `name`, in core form, of the folder `folder`? `None`: the answer does not say in which folder it
    /// is.
    pub(crate) fn is_file(&self, folder: u64, name: &str) -> Option<bool> {
        let has_name = self.filename.as_deref().is_some_and(|told| names::to_core(told) == name);
        match self.folder_id {
            Some(found) => Some(found == folder && has_name),
            None if has_name => None,
            None => Some(false),
        }
    }

    /// Is the file in the folder at `folder`? Not when the answer does not say.
    pub(crate) fn is_at(&self, folder: &RelPath) -> bool {
        let Some(path) = &self.path else { return false };
        let told = path.split('/').filter(|name| !name.is_empty()).map(names::to_core);
        told.eq(folder.parts().map(str::to_owned))
    }
}

/// A folder in a listing.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SubFolder {
    #[serde(deserialize_with = "required_integer")]
    pub(crate) id: u64,
    #[serde(deserialize_with = "name")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "text")]
    pub(crate) create_date: Option<String>,
}

/// `folder/mkdir.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct Made {
    #[serde(deserialize_with = "required_integer")]
    pub(crate) folder_id: u64,
}

/// `file/rm.cgi` and `file/rename.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct Changed {
    #[serde(default)]
    urls: Option<Vec<Value>>,
    #[serde(default, alias = "renamed", deserialize_with = "integer")]
    removed: Option<u64>,
}

impl Changed {
    /// The addresses it was made for; `None` when it was made for all of `count`, or does not say.
    pub(crate) fn urls(self, count: usize) -> Option<Vec<String>> {
        match (self.removed, &self.urls) {
            (Some(removed), _) if removed >= count as u64 => return None,
            (None, None) => return None,
            _ => {}
        }
        let url = |value: Value| match value {
            Value::String(url) => Some(url),
            Value::Object(map) => Some(map.get("url")?.as_str()?.to_owned()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
        };
        Some(self.urls.into_iter().flatten().filter_map(url).collect())
    }
}

/// `file/mv.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct Moved {
    #[serde(default)]
    pub(crate) urls: Option<Vec<String>>,
}

/// `file/cp.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct Copied {
    #[serde(default)]
    pub(crate) urls: Vec<CopiedUrl>,
}

/// One file of [`Copied`].
#[derive(Debug, Deserialize)]
pub(crate) struct CopiedUrl {
    #[serde(default, deserialize_with = "text")]
    pub(crate) from_url: Option<String>,
    pub(crate) to_url: String,
}

/// `folder/share.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct Shared {
    #[serde(default, deserialize_with = "text")]
    pub(crate) url: Option<String>,
}

/// `file/scan.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct Scanned {
    #[serde(default, deserialize_with = "text")]
    pub(crate) message: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) date: Option<String>,
}

/// `remote/ls.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct RemoteJobs {
    #[serde(default)]
    pub(crate) data: Option<Vec<RemoteJob>>,
}

/// `remote/info.cgi`, `remote/request.cgi`, and one of [`RemoteJobs`].
#[derive(Debug, Deserialize)]
pub(crate) struct RemoteJob {
    #[serde(deserialize_with = "required_integer")]
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "text")]
    pub(crate) request_date: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) execution_date: Option<String>,
    #[serde(default)]
    pub(crate) result: Option<Vec<RemoteResult>>,
}

/// What became of one address.
#[derive(Debug, Deserialize)]
pub(crate) struct RemoteResult {
    #[serde(default, deserialize_with = "text")]
    pub(crate) status: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) url: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) download_link: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) message: Option<String>,
}

/// `download/get_token.cgi`
#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    pub(crate) url: String,
}

/// `user/info.cgi`, as far as it is used.
#[derive(Debug, Deserialize)]
pub(crate) struct UserInfo {
    #[serde(default, deserialize_with = "signed")]
    pub(crate) cold_storage: Option<i64>,
    #[serde(default, deserialize_with = "signed")]
    pub(crate) allowed_cold_storage: Option<i64>,
    #[serde(default, deserialize_with = "signed")]
    pub(crate) available_cold_storage: Option<i64>,
}

/// The report of an upload, `end.pl`.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    #[serde(default)]
    pub(crate) links: Option<Vec<Link>>,
}

/// One file of a [`Report`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Link {
    pub(crate) download: String,
    #[serde(default, deserialize_with = "text")]
    pub(crate) filename: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    pub(crate) size: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) whirlpool: Option<String>,
}

fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match &value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(i64::from(*flag))),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Some(whole)),
            // Doubles hold whole numbers exactly up to 2^53.
            (None, Some(float))
                if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 =>
            {
                Ok(Some(float as i64))
            }
            _ => Err(D::Error::custom(format!("`{number}` is not a whole number"))),
        },
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| D::Error::custom("a text that is not a whole number")),
        Value::Array(_) | Value::Object(_) => Err(D::Error::custom("a whole number was expected")),
    }
}

pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match signed(deserializer)? {
        Some(number) => match u64::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(D::Error::custom(format!("`{number}` is negative"))),
        },
        None => Ok(None),
    }
}

/// A flag that only is shown: what is none counts as not given.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(u64::from(flag)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

fn required_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    integer(deserializer)?.ok_or_else(|| D::Error::custom("a whole number is missing"))
}

/// A text, or a number written as one; anything else counts as not given.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// A name: a text, or a number that was written without quotes.
pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer)?.ok_or_else(|| D::Error::custom("a name is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(json: &str) -> Result<Option<u64>, String> {
        let text =
            format!(r#"{{"url":"u","filename":"f","size":{json},"content_type":"x","new":[1]}}"#);
        serde_json::from_str::<Item>(&text).map(|item| item.size).map_err(|error| error.to_string())
    }

    #[test]
    fn integers_come_as_numbers_texts_and_nulls() {
        for (json, expected) in [
            ("12", Some(12)),
            ("\"12\"", Some(12)),
            ("\" 12 \"", Some(12)),
            ("null", None),
            ("\"\"", None),
            ("1e3", Some(1000)),
            ("0", Some(0)),
            ("5000000000", Some(5_000_000_000)),
            ("9223372036854775807", Some(i64::MAX as u64)),
        ] {
            assert_eq!(size(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn a_number_that_makes_no_sense_is_an_error_and_not_a_zero() {
        for json in [
            "-1",
            "\"-1\"",
            "9223372036854775808",
            "18446744073709551615",
            "1.5",
            "\"x\"",
            "[]",
            "{}",
            "1e30",
        ] {
            assert!(size(json).is_err(), "{json}");
        }
    }

    #[test]
    fn real_answers_are_read() {
        let text = r#"{"folder_id":0,"status":"OK","size":null,"files":0,"name":"Root",
            "sub_folders":[{"id":3357645,"create_date":"2021-03-20 16:42:15","name":"backup","pass":0}]}"#;
        let listing: FolderLs = serde_json::from_str(text).expect("real");
        let folders = listing.sub_folders.expect("given");
        assert_eq!((folders[0].id, folders[0].name.as_str()), (3_357_645, "backup"));
        let text = r#"{"incoming":0,"links":[{"download":"https://1fichier.com/?0123456789abcdefghij",
            "filename":"test.txt","remove":"","size":"12","whirlpool":"0a89"}]}"#;
        let report: Report = serde_json::from_str(text).expect("real");
        assert_eq!(report.links.expect("given")[0].size, Some(12));
    }

    #[test]
    fn the_status_is_read_in_any_case_and_of_any_type() {
        let check = |text: &str, ok, refusal| {
            let envelope: Envelope = serde_json::from_str(text).expect("object");
            assert_eq!((envelope.is_ok(), envelope.is_refusal()), (ok, refusal), "{text}");
        };
        check(r#"{"status":"ok"}"#, true, false);
        check(r#"{"Status":"Ko","message":"x"}"#, false, true);
        check(r#"{"status":1,"message":{}}"#, false, false);
        check("{}", false, false);
    }

    #[test]
    fn a_file_or_folder_without_its_identity_is_an_error() {
        assert!(serde_json::from_str::<SubFolder>(r#"{"name":"a"}"#).is_err());
        assert!(serde_json::from_str::<SubFolder>(r#"{"name":"a","id":null}"#).is_err());
        assert!(serde_json::from_str::<Item>(r#"{"filename":"a"}"#).is_err());
        assert!(serde_json::from_str::<Made>(r#"{"name":"a"}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in ".{0,64}") {
            let _ = serde_json::from_str::<FolderLs>(&text);
            let _ = serde_json::from_str::<Report>(&text);
            let _ = serde_json::from_str::<UserInfo>(&text);
        }
    }
}
