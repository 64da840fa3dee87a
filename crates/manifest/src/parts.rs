//! The digests of the parts of a large file, which together are its BLAKE3 digest.
//!
//! BLAKE3 is a tree: the digest of a file is made of the digests of its halves, theirs of the halves of these, and so on.
//! A part is such a subtree: a power of two bytes, at a multiple of its size. Its digest is the subtree's chaining value,
//! so the digests of the parts prove themselves: merged they must give the digest of the file, which `b3sum` shows. Parts can
//! be computed at the same time and checked alone.

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use ketch_core::{Digest, HashAlgo};

/// Files up to this size have no parts; above, parts are at least this large.
pub const SMALLEST_PART_BYTES: u64 = 4 * 1024 * 1024;
/// No file has more parts; larger ones have larger parts instead (1 GiB each at 4 TiB).
pub const MOST_PARTS: u64 = 4096;

/// The digest of one part.
pub type PartDigest = [u8; 32];

/// The digests of all parts of a file, in order; at least two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Bytes of a part; the last may be shorter.
    pub bytes: u64,
    /// One a part.
    pub digests: Vec<PartDigest>,
}

/// Bytes of a part of a file of `size` bytes; `None` when it has no parts.
pub fn part_bytes(size: u64) -> Option<u64> {
    if size <= SMALLEST_PART_BYTES {
        return None;
    }
    Some(size.div_ceil(MOST_PARTS).checked_next_power_of_two()?.max(SMALLEST_PART_BYTES))
}

/// How many parts of `part_bytes` a file of `size` bytes has.
pub fn part_count(size: u64, part_bytes: u64) -> u64 {
    size.div_ceil(part_bytes)
}

/// Computes the digest of one part from its bytes.
#[derive(Debug)]
pub struct PartHasher(Hasher);

impl PartHasher {
    /// For the part that begins at `offset`, a multiple of its size.
    pub fn at(offset: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(offset);
        PartHasher(hasher)
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far, which must be some.
    pub fn finish(self) -> PartDigest {
        self.0.finalize_non_root()
    }
}

impl Parts {
    /// The digest of the file of `size` bytes that has these parts; `None` when the parts are not those that a file of this
    /// size has.
    pub fn merge(&self, size: u64) -> Option<Digest> {
        let expected = part_bytes(size)?;
        if self.bytes != expected || part_count(size, self.bytes) != self.digests.len() as u64 {
            return None;
        }
        let (left, right) = split(&self.digests);
        let root = merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash);
        Digest::new(HashAlgo::Blake3, root.as_bytes())
    }
}

/// The left half is the largest power of two below the whole.
fn split(digests: &[PartDigest]) -> (&[PartDigest], &[PartDigest]) {
    digests.split_at(digests.len().next_power_of_two() / 2)
}

/// Recurses at most twelve levels deep, because there are at most [`MOST_PARTS`].
fn subtree(digests: &[PartDigest]) -> PartDigest {
    if let [only] = digests {
        return *only;
    }
    let (left, right) = split(digests);
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(bytes: &[u8]) -> Parts {
        let part = part_bytes(bytes.len() as u64).expect("it has parts") as usize;
        let digests = bytes.chunks(part).enumerate().map(|(index, piece)| {
            let mut hasher = PartHasher::at((index * part) as u64);
            piece.chunks(70_001).for_each(|piece| hasher.update(piece));
            hasher.finish()
        });
        Parts { bytes: part as u64, digests: digests.collect() }
    }

    #[test]
    fn the_parts_give_the_digest_of_the_whole() {
        let part = SMALLEST_PART_BYTES as usize;
        for size in [part + 1, 2 * part, 2 * part + 1, 3 * part - 7, 4 * part, 5 * part + 1024] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let merged = parts_of(&bytes).merge(size as u64).expect("they fit");
            assert_eq!(merged.as_bytes(), blake3::hash(&bytes).as_bytes(), "{size} bytes");
        }
    }

    #[test]
    fn parts_of_another_file_are_refused() {
        let size = SMALLEST_PART_BYTES * 2;
        let parts = Parts { bytes: SMALLEST_PART_BYTES, digests: vec![[0; 32]; 2] };
        assert!(parts.merge(size).is_some());
        assert_eq!(parts.merge(size + 1), None);
        assert_eq!(parts.merge(5), None);
        assert_eq!(Parts { bytes: 1 << 40, ..parts.clone() }.merge(size), None);
        assert_eq!(Parts { bytes: 0, ..parts }.merge(size), None);
    }

    #[test]
    fn no_file_has_too_many_parts() {
        for size in [1, SMALLEST_PART_BYTES, SMALLEST_PART_BYTES + 1, 1 << 40, u64::MAX / 2] {
            match part_bytes(size) {
                None => assert!(size <= SMALLEST_PART_BYTES),
                Some(part) => {
                    assert!(part.is_power_of_two());
                    assert!((2..=MOST_PARTS).contains(&part_count(size, part)), "{size}");
                }
            }
        }
    }
}
