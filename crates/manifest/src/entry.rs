//! The lines of a manifest: about itself, about each file, and about all of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ketch_core::{Digest, HashAlgo, Hashes, RelPath};
use serde::{Deserialize, Serialize};

use crate::parts::{PartDigest, Parts};

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    #[serde(rename = "ketch_manifest")]
    pub version: u32,
    /// When it was made, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// What the place was called. For people; nothing is concluded from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many files.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// BLAKE3 of the lines of all entries, line feeds included, in hexadecimal digits.
    pub root: String,
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Where it is, below the place.
    pub path: RelPath,
    /// Its length in bytes.
    pub size: u64,
    /// Its modification time in nanoseconds since 1970, where the place keeps one.
    pub mtime: Option<i64>,
    /// Its digests; at least one.
    pub hashes: Hashes,
    /// The beginning of BLAKE3 of its first [`prefix_length`] bytes: enough to tell a file that was cut from one that was
    /// written anew.
    pub prefix: Option<[u8; 4]>,
    /// The digests of its parts, of a large file that was read.
    pub parts: Option<Parts>,
}

/// How many first bytes of a file of `size` bytes have a digest of their own.
pub fn prefix_length(size: u64) -> u64 {
    (size / 2).min(4096)
}

impl ManifestEntry {
    /// The digest of one kind.
    pub fn digest(&self, algo: HashAlgo) -> Option<&Digest> {
        self.hashes.get(algo)
    }

    /// The modification time as one; `None` when it is not known.
    pub fn modified(&self) -> Option<SystemTime> {
        let nanoseconds = self.mtime?;
        let part = Duration::from_nanos(nanoseconds.unsigned_abs());
        match nanoseconds {
            0.. => UNIX_EPOCH.checked_add(part),
            _ => UNIX_EPOCH.checked_sub(part),
        }
    }

    /// The form of a time in a manifest; `None` outside of the years 1678 to 2261.
    pub fn nanoseconds(time: SystemTime) -> Option<i64> {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).ok(),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).ok().and_then(i64::checked_neg)
            }
        }
    }
}

/// An entry as it is in a line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntryLine {
    path: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whirlpool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha1: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc64nvme: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc32c: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<String>,
}

impl EntryLine {
    fn digest(&self, algo: HashAlgo) -> &Option<String> {
        match algo {
            HashAlgo::Blake3 => &self.blake3,
            HashAlgo::Sha256 => &self.sha256,
            HashAlgo::Whirlpool => &self.whirlpool,
            HashAlgo::Sha1 => &self.sha1,
            HashAlgo::Md5 => &self.md5,
            HashAlgo::Crc64Nvme => &self.crc64nvme,
            HashAlgo::Crc32c => &self.crc32c,
        }
    }

    pub(crate) fn of(entry: &ManifestEntry) -> Self {
        let digest = |algo| entry.hashes.get(algo).map(Digest::to_string);
        EntryLine {
            path: entry.path.as_str().to_owned(),
            size: entry.size,
            mtime: entry.mtime,
            blake3: digest(HashAlgo::Blake3),
            sha256: digest(HashAlgo::Sha256),
            whirlpool: digest(HashAlgo::Whirlpool),
            sha1: digest(HashAlgo::Sha1),
            md5: digest(HashAlgo::Md5),
            crc64nvme: digest(HashAlgo::Crc64Nvme),
            crc32c: digest(HashAlgo::Crc32c),
            prefix: entry.prefix.map(|prefix| hex(&prefix)),
            part_bytes: entry.parts.as_ref().map(|parts| parts.bytes),
            parts: entry
                .parts
                .iter()
                .flat_map(|parts| &parts.digests)
                .map(|digest| hex(digest))
                .collect(),
        }
    }

    /// The entry; `Err` says what is wrong with it.
    pub(crate) fn into_entry(self) -> Result<ManifestEntry, String> {
        let path = RelPath::new(&self.path).map_err(|error| error.to_string())?;
        if path.is_root() {
            return Err("an entry has an empty path".to_owned());
        }
        let mut hashes = Hashes::default();
        for algo in HashAlgo::BY_STRENGTH {
            if let Some(text) = self.digest(algo) {
                let digest = Digest::from_hex(algo, text)
                    .ok_or_else(|| format!("`{path}` has a {algo} digest that is none"))?;
                hashes.insert(digest);
            }
        }
        if hashes.iter().next().is_none() {
            return Err(format!("`{path}` has no digest"));
        }
        let prefix = match &self.prefix {
            Some(text) => {
                let bytes = from_hex::<4>(text);
                Some(bytes.ok_or_else(|| format!("`{path}` has a prefix that is no digest"))?)
            }
            None => None,
        };
        let parts = self.parts(&path, &hashes)?;
        Ok(ManifestEntry { path, size: self.size, mtime: self.mtime, hashes, prefix, parts })
    }

    /// The parts, which must give the digest of the file.
    fn parts(&self, path: &RelPath, hashes: &Hashes) -> Result<Option<Parts>, String> {
        let Some(bytes) = self.part_bytes else {
            return Ok(None);
        };
        let digests: Option<Vec<PartDigest>> =
            self.parts.iter().map(|text| from_hex::<32>(text)).collect();
        let digests = digests.ok_or_else(|| format!("`{path}` has a part without a digest"))?;
        let parts = Parts { bytes, digests };
        match (parts.merge(self.size), hashes.get(HashAlgo::Blake3)) {
            (Some(whole), Some(digest)) if whole == *digest => Ok(Some(parts)),
            _ => Err(format!("the parts of `{path}` do not give its digest")),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_their_form_in_a_manifest() {
        for nanoseconds in [0, 1, -1, i64::MAX, i64::MIN + 1, 1_700_000_000_123_456_789] {
            let entry = ManifestEntry {
                path: RelPath::new("a").expect("legal"),
                size: 0,
                mtime: Some(nanoseconds),
                hashes: Hashes::default(),
                prefix: None,
                parts: None,
            };
            let time = entry.modified().expect("a time");
            assert_eq!(ManifestEntry::nanoseconds(time), Some(nanoseconds));
        }
        let far = UNIX_EPOCH + Duration::from_secs(20_000_000_000);
        assert_eq!(ManifestEntry::nanoseconds(far), None);
    }
}
