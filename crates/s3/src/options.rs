//! The options of a remote, with the names that rclone gives them.

use ketch_core::factory::{OptionInfo, Options};
use ketch_core::{Error, ErrorKind, Result};
use ketch_wire::Url;

use crate::credentials::Credentials;
use crate::provider::{self, Quirks};

const PLAIN: OptionInfo =
    OptionInfo { name: "", help: "", default: None, secret: false, required: false, unless: None };
const SECRET: OptionInfo = OptionInfo { secret: true, ..PLAIN };

pub(crate) const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "provider",
        help: "Who keeps the objects (AWS, Cloudflare, Wasabi, Minio, …, Other): what it lacks is known by its name.",
        default: Some("AWS, or Other with an endpoint"),
        ..PLAIN
    },
    OptionInfo {
        name: "access_key_id",
        help: "The id of the key; without one requests are not signed.",
        ..PLAIN
    },
    OptionInfo { name: "secret_access_key", help: "The key.", ..SECRET },
    OptionInfo { name: "session_token", help: "The token of a temporary key.", ..SECRET },
    OptionInfo {
        name: "region",
        help: "The region of the bucket.",
        default: Some("us-east-1"),
        ..PLAIN
    },
    OptionInfo {
        name: "endpoint",
        help: "The address of the service, such as `https://s3.example.com`; needed where the provider has no fixed one.",
        ..PLAIN
    },
    OptionInfo {
        name: "force_path_style",
        help: "`true`: the bucket is in the path of the address; `false`: in the name of the host.",
        default: Some("what the provider needs"),
        ..PLAIN
    },
    OptionInfo {
        name: "chunk_size",
        help: "The length of a part of a large object, in MiB; at least 5.",
        default: Some("16, or what the provider asks for"),
        ..PLAIN
    },
    OptionInfo {
        name: "upload_cutoff",
        help: "Objects from this size on are sent as parts, in MiB.",
        default: Some("16"),
        ..PLAIN
    },
    OptionInfo {
        name: "upload_concurrency",
        help: "Parts of one object that are sent at the same time.",
        default: Some("4"),
        ..PLAIN
    },
    OptionInfo {
        name: "directory_markers",
        help: "`true`: an empty folder is kept as an empty object whose key ends in `/`.",
        default: Some("false"),
        ..PLAIN
    },
    OptionInfo {
        name: "no_check_bucket",
        help: "`true`: a bucket that is missing is an error, and is not created.",
        default: Some("false"),
        ..PLAIN
    },
    OptionInfo { name: "storage_class", help: "The storage class of what is stored.", ..PLAIN },
    OptionInfo {
        name: "acl",
        help: "The canned ACL of what is stored, such as `public-read`.",
        ..PLAIN
    },
    OptionInfo {
        name: "server_side_encryption",
        help: "`AES256` or `aws:kms`: how the service encrypts what is stored.",
        ..PLAIN
    },
    OptionInfo { name: "sse_kms_key_id", help: "The id of the key for `aws:kms`.", ..PLAIN },
    OptionInfo {
        name: "requester_pays",
        help: "`true`: the one who asks pays for requests and traffic.",
        default: Some("false"),
        ..PLAIN
    },
];

/// The shortest part that services take, but for the last.
const PART_LEAST: u64 = 5 * MIB;
/// The longest part that services take.
const PART_MOST: u64 = 5 * 1024 * MIB;
const MIB: u64 = 1024 * 1024;

/// What the options say, checked once.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) quirks: Quirks,
    pub(crate) endpoint: Url,
    pub(crate) region: String,
    pub(crate) path_style: bool,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) part_bytes: u64,
    pub(crate) cutoff: u64,
    pub(crate) parts_at_once: usize,
    pub(crate) directory_markers: bool,
    pub(crate) creates_bucket: bool,
    /// Headers of every object that is stored.
    pub(crate) stored_headers: Vec<(&'static str, String)>,
    pub(crate) requester_pays: bool,
}

impl Settings {
    /// Errors: `InvalidInput` for what makes no sense.
    pub(crate) fn read(options: &Options) -> Result<Settings> {
        let endpoint = options.get("endpoint").filter(|text| !text.is_empty());
        let quirks = match options.get("provider") {
            Some(name) => provider::find(name).unwrap_or_else(provider::other),
            None if endpoint.is_some() => provider::other(),
            None => provider::find("AWS").unwrap_or_else(provider::other),
        };
        let region = options.get("region").filter(|region| !region.is_empty());
        let region = region.unwrap_or("us-east-1").to_owned();
        let path_style = flag(options, "force_path_style")?.unwrap_or(quirks.path_style);
        let address = match (endpoint, quirks.endpoint) {
            (Some(given), _) if given.contains("://") => given.to_owned(),
            (Some(given), _) => format!("https://{given}"),
            (None, Some(known)) => known.replace("{region}", &region),
            (None, None) => {
                let text = format!(
                    "the option `endpoint` is missing: {} has no fixed address",
                    quirks.name
                );
                return Err(Error::new(ErrorKind::InvalidInput, text));
            }
        };
        let endpoint = Url::parse(&address)
            .ok()
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
            .filter(|url| url.username().is_empty() && url.query().is_none())
            .ok_or_else(|| wrong("endpoint", "an address such as `https://s3.example.com`"))?;
        let mib = |name: &str, default: u64| match options.get(name) {
            None => Ok(default),
            Some(text) => {
                mebibytes(text).ok_or_else(|| wrong(name, "a number of MiB, such as `16`"))
            }
        };
        let part_bytes = mib("chunk_size", quirks.part_bytes)?;
        if !(PART_LEAST..=PART_MOST).contains(&part_bytes) {
            return Err(wrong("chunk_size", "from 5 to 5120 MiB"));
        }
        let parts_at_once = match options.get("upload_concurrency") {
            None => 4,
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (1..=64).contains(count))
                .ok_or_else(|| wrong("upload_concurrency", "a number from 1 to 64"))?,
        };
        let header = |name: &str, header: &'static str| {
            let value = options.get(name).filter(|value| !value.is_empty())?;
            Some((header, value.to_owned()))
        };
        let stored_headers = [
            header("storage_class", "x-amz-storage-class"),
            header("acl", "x-amz-acl"),
            header("server_side_encryption", "x-amz-server-side-encryption"),
            header("sse_kms_key_id", "x-amz-server-side-encryption-aws-kms-key-id"),
        ];
        Ok(Settings {
            credentials: Credentials::read(options)?,
            cutoff: mib("upload_cutoff", 16 * MIB)?.max(part_bytes.min(16 * MIB)),
            part_bytes: part_bytes.next_power_of_two(),
            directory_markers: flag(options, "directory_markers")?.unwrap_or(false),
            creates_bucket: !flag(options, "no_check_bucket")?.unwrap_or(false),
            requester_pays: flag(options, "requester_pays")?.unwrap_or(false),
            stored_headers: stored_headers.into_iter().flatten().collect(),
            quirks,
            endpoint,
            region,
            path_style,
            parts_at_once,
        })
    }
}

fn flag(options: &Options, name: &str) -> Result<Option<bool>> {
    match options.get(name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(wrong(name, "`true` or `false`")),
    }
}

/// `16`, `16M`, `16Mi`, `1G`: as rclone writes sizes, where a bare number counts MiB here.
fn mebibytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" | "M" | "Mi" | "MiB" => MIB,
        "K" | "Ki" | "KiB" => 1024,
        "G" | "Gi" | "GiB" => 1024 * MIB,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn wrong(name: &str, expected: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the option `{name}` must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(&options.iter().copied().collect())
    }

    #[test]
    fn the_address_follows_from_provider_region_and_endpoint() {
        for (options, address, path_style) in [
            (&[][..], "https://s3.us-east-1.amazonaws.com/", false),
            (
                &[("provider", "aws"), ("region", "eu-west-3")],
                "https://s3.eu-west-3.amazonaws.com/",
                false,
            ),
            (
                &[("provider", "Wasabi"), ("region", "eu-central-1")],
                "https://s3.eu-central-1.wasabisys.com/",
                true,
            ),
            (&[("endpoint", "http://127.0.0.1:9000")], "http://127.0.0.1:9000/", true),
            (
                &[("endpoint", "s3.example.com"), ("force_path_style", "false")],
                "https://s3.example.com/",
                false,
            ),
        ] {
            let settings = read(options).expect("sensible");
            assert_eq!((settings.endpoint.as_str(), settings.path_style), (address, path_style));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (name, value) in [
            ("endpoint", "ftp://x"),
            ("endpoint", "https://key@x"),
            ("chunk_size", "4"),
            ("chunk_size", "many"),
            ("upload_concurrency", "0"),
            ("force_path_style", "yes"),
            ("provider", "Minio"),
        ] {
            let error = read(&[(name, value)]).expect_err(value);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let named = if name == "provider" { "endpoint" } else { name };
            assert!(error.message().contains(named), "{error}");
        }
        let settings = read(&[("chunk_size", "20M"), ("upload_cutoff", "64Mi")]).expect("sensible");
        assert_eq!((settings.part_bytes, settings.cutoff), (32 * MIB, 64 * MIB));
    }
}
