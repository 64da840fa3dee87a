//! Compares two manifests in step: finds the files that only one has, and the files that differ.

use std::cmp::Ordering;
use std::io::BufRead;

use ketch_core::{HashAlgo, compare_keys};

use crate::entry::ManifestEntry;
use crate::read::{ManifestReader, ReadError};

/// How two manifests differ about one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Both say the same.
    Same,
    /// Only the time is another.
    Touched,
    /// The content is another.
    Changed,
    /// Only the first has it.
    OnlyFirst,
    /// Only the second has it.
    OnlySecond,
    /// Of one size, and with no digest in common.
    Unknown,
}

/// Compares all entries and tells each path of either, in key order.
pub fn diff<A: BufRead, B: BufRead, E: From<ReadError>>(
    mut first: ManifestReader<A>,
    mut second: ManifestReader<B>,
    mut tell: impl FnMut(&ManifestEntry, Difference) -> Result<(), E>,
) -> Result<(), E> {
    let (mut left, mut right) = (first.next_entry().transpose()?, second.next_entry().transpose()?);
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => {
                compare_keys((left.path.as_str(), false), (right.path.as_str(), false))
            }
        };
        match (order, &left, &right) {
            (Ordering::Less, Some(left), _) => tell(left, Difference::OnlyFirst)?,
            (Ordering::Greater, _, Some(right)) => tell(right, Difference::OnlySecond)?,
            (Ordering::Equal, Some(left), Some(right)) => tell(right, compare(left, right))?,
            (Ordering::Less | Ordering::Equal | Ordering::Greater, _, _) => {}
        }
        if order.is_le() {
            left = first.next_entry().transpose()?;
        }
        if order.is_ge() {
            right = second.next_entry().transpose()?;
        }
    }
}

fn compare(left: &ManifestEntry, right: &ManifestEntry) -> Difference {
    if left.size != right.size {
        return Difference::Changed;
    }
    let common = HashAlgo::BY_STRENGTH
        .into_iter()
        .find_map(|algo| left.hashes.get(algo).zip(right.hashes.get(algo)));
    match common {
        None => Difference::Unknown,
        Some((left, right)) if left != right => Difference::Changed,
        Some(_) if left.mtime.is_some() && right.mtime.is_some() && left.mtime != right.mtime => {
            Difference::Touched
        }
        Some(_) => Difference::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::ManifestWriter;
    use ketch_core::RelPath;
    use ketch_core::hash::hash_bytes;

    fn manifest(files: &[(&str, &str, i64, HashAlgo)]) -> Vec<u8> {
        let mut writer = ManifestWriter::begin(Vec::new(), None, None).expect("begun");
        for (path, content, mtime, algo) in files {
            let entry = ManifestEntry {
                path: RelPath::new(path).expect("legal"),
                size: content.len() as u64,
                mtime: Some(*mtime),
                hashes: hash_bytes(&[*algo], content.as_bytes()),
                prefix: None,
                parts: None,
            };
            writer.push(&entry).expect("in order");
        }
        writer.finish().expect("finished").0
    }

    #[test]
    fn every_path_of_either_is_told_once() {
        use HashAlgo::{Blake3, Md5};
        let first = manifest(&[
            ("a", "1", 1, Blake3),
            ("b", "1", 1, Blake3),
            ("c", "1", 1, Blake3),
            ("d", "1", 1, Blake3),
            ("e", "1", 1, Md5),
            ("f", "1", 1, Blake3),
        ]);
        let second = manifest(&[
            ("a", "1", 1, Blake3),
            ("b", "1", 2, Blake3),
            ("c", "2", 1, Blake3),
            ("c/x", "2", 1, Blake3),
            ("d", "11", 1, Blake3),
            ("e", "1", 1, Blake3),
        ]);
        let begin = |bytes| ManifestReader::begin(bytes).expect("begun");
        let mut told = Vec::new();
        diff(begin(&first[..]), begin(&second[..]), |entry, difference| {
            told.push((entry.path.to_string(), difference));
            Ok::<_, ReadError>(())
        })
        .expect("both whole");
        let expected = [
            ("a", Difference::Same),
            ("b", Difference::Touched),
            ("c", Difference::Changed),
            ("c/x", Difference::OnlySecond),
            ("d", Difference::Changed),
            ("e", Difference::Unknown),
            ("f", Difference::OnlyFirst),
        ];
        assert_eq!(told, expected.map(|(path, difference)| (path.to_owned(), difference)));
        let cut = &first[..first.len() - 5];
        diff(begin(cut), begin(&second[..]), |_, _| Ok::<_, ReadError>(())).expect_err("cut");
    }
}
