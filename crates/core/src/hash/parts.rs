//! Combines the digests of ranges into the digest of the whole content. The ranges may be read in any order, at the same time,
//! and some of them again.
//!
//! BLAKE3 is a tree: each range gives some nodes of it, and the nodes of all ranges give the root. The CRC of two neighbouring
//! ranges follows from the CRC of each. The other digests need every byte in order, so they cannot be combined.
//!
//! The names in this module call a range a part.
//!
//! Knows nothing of where the bytes come from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, max_subtree_len, merge_subtrees_non_root,
    merge_subtrees_root,
};

use super::{Digest, HASHED_BYTES, HashAlgo, Hashes};

/// A range that begins at a multiple of this many bytes has a BLAKE3 digest; of any other range only the CRCs are computed.
pub const PART_ALIGNMENT: u64 = 1024;

/// The digests that can be combined from those of ranges.
pub const PART_ALGOS: [HashAlgo; 3] = [HashAlgo::Blake3, HashAlgo::Crc64Nvme, HashAlgo::Crc32c];

/// Computes the digests of one range while its bytes pass.
#[derive(Debug)]
pub struct PartHasher {
    range: Range<u64>,
    size: u64,
    /// How far it is.
    at: u64,
    /// `None`: BLAKE3 is not wanted, or the part does not begin and end where nodes do.
    tree: Option<TreePart>,
    sums: Vec<(HashAlgo, crc_fast::Digest)>,
}

/// The digests of one range that was read to its end.
#[derive(Debug, Clone)]
pub struct PartDigest {
    range: Range<u64>,
    nodes: Option<Vec<Node>>,
    sums: Vec<(HashAlgo, u64)>,
}

/// A subtree of the content's BLAKE3 tree.
#[derive(Debug, Clone)]
struct Node {
    range: Range<u64>,
    value: ChainingValue,
}

#[derive(Debug)]
struct TreePart {
    done: Vec<Node>,
    /// Where the node that is being taken ends.
    end: u64,
    hasher: Box<blake3::Hasher>,
}

/// Where the node ends that begins at `start` and reaches no further than `end`, in content of `size` bytes.
fn node_end(start: u64, end: u64, size: u64) -> u64 {
    let rest = end - start;
    // The whole content is the root, which is made of two nodes.
    if start == 0 && end == size {
        return left_subtree_len(size);
    }
    // Only the last node of the content may be cut short.
    let longest = match end == size {
        true => rest,
        false => 1 << rest.ilog2(),
    };
    start + max_subtree_len(start).map_or(longest, |most| longest.min(most))
}

fn is_of_nodes(range: &Range<u64>, size: u64) -> bool {
    let is_edge = |at: u64| at.is_multiple_of(PART_ALIGNMENT) || at == size;
    // Content of one chunk has no nodes below its root.
    size > PART_ALIGNMENT && !range.is_empty() && is_edge(range.start) && is_edge(range.end)
}

fn crc_of(algo: HashAlgo) -> Option<crc_fast::CrcAlgorithm> {
    match algo {
        HashAlgo::Crc64Nvme => Some(crc_fast::CrcAlgorithm::Crc64Nvme),
        HashAlgo::Crc32c => Some(crc_fast::CrcAlgorithm::Crc32Iscsi),
        HashAlgo::Blake3
        | HashAlgo::Sha256
        | HashAlgo::Whirlpool
        | HashAlgo::Sha1
        | HashAlgo::Md5 => None,
    }
}

impl PartHasher {
    /// For the bytes `range` of content of `size` bytes. Computes those of `algos` that can be combined.
    pub fn new(range: Range<u64>, size: u64, algos: &[HashAlgo]) -> Self {
        let wants_tree = algos.contains(&HashAlgo::Blake3) && is_of_nodes(&range, size);
        let tree = wants_tree.then(|| TreePart::begin(Vec::new(), &range, range.start, size));
        let sums = algos.iter().filter_map(|algo| Some((*algo, crc_of(*algo)?)));
        let sums = sums.map(|(algo, crc)| (algo, crc_fast::Digest::new(crc))).collect();
        PartHasher { at: range.start, range, size, tree, sums }
    }

    /// Adds the next bytes. Bytes beyond the end of the range are left out.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let room = usize::try_from(self.range.end - self.at).unwrap_or(usize::MAX);
        bytes = &bytes[..bytes.len().min(room)];
        for (algo, sum) in &mut self.sums {
            HASHED_BYTES[*algo as usize].fetch_add(bytes.len() as u64, Ordering::Relaxed);
            sum.update(bytes);
        }
        if self.tree.is_some() {
            let count = &HASHED_BYTES[HashAlgo::Blake3 as usize];
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        while !bytes.is_empty() {
            let Some(tree) = &mut self.tree else {
                self.at += bytes.len() as u64;
                return;
            };
            let length = usize::try_from(tree.end - self.at).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(length));
            tree.hasher.update(now);
            self.at += now.len() as u64;
            bytes = later;
            if self.at == tree.end && self.at < self.range.end {
                let done = self.tree.take().map(|tree| tree.finish(self.at)).unwrap_or_default();
                self.tree = Some(TreePart::begin(done, &self.range, self.at, self.size));
            }
        }
    }

    /// The digests of the range; `None` when not all of its bytes came.
    pub fn finish(self) -> Option<PartDigest> {
        if self.at != self.range.end {
            return None;
        }
        let nodes = self.tree.map(|tree| tree.finish(self.at));
        let sums = self.sums.into_iter().map(|(algo, sum)| (algo, sum.finalize())).collect();
        Some(PartDigest { range: self.range, nodes, sums })
    }
}

impl TreePart {
    fn begin(done: Vec<Node>, range: &Range<u64>, at: u64, size: u64) -> Self {
        let mut hasher = Box::new(blake3::Hasher::new());
        hasher.set_input_offset(at);
        TreePart { done, end: node_end(at, range.end, size), hasher }
    }

    fn finish(mut self, at: u64) -> Vec<Node> {
        let range = at - self.hasher.count()..at;
        self.done.push(Node { range, value: self.hasher.finalize_non_root() });
        self.done
    }
}

impl PartDigest {
    /// The bytes it is about.
    pub fn range(&self) -> &Range<u64> {
        &self.range
    }
}

/// The digests of the ranges of one content.
#[derive(Debug, Clone)]
pub struct Parts {
    size: u64,
    known: BTreeMap<u64, PartDigest>,
}

impl Parts {
    /// No ranges yet, of content of `size` bytes.
    pub fn new(size: u64) -> Self {
        Parts { size, known: BTreeMap::new() }
    }

    /// Adds a range, in place of all ranges that overlap with it.
    pub fn add(&mut self, part: PartDigest) {
        let range = part.range.clone();
        let is_apart = |known: &Range<u64>| known.end <= range.start || known.start >= range.end;
        self.known.retain(|_, known| is_apart(&known.range));
        self.known.insert(range.start, part);
    }

    /// Forgets a range that is read again.
    pub fn forget(&mut self, range: &Range<u64>) {
        let is_apart = |known: &Range<u64>| known.end <= range.start || known.start >= range.end;
        self.known.retain(|_, known| is_apart(&known.range));
    }

    /// Is every byte known?
    pub fn is_whole(&self) -> bool {
        let mut at = 0;
        for part in self.known.values() {
            if part.range.start != at {
                return false;
            }
            at = part.range.end;
        }
        at == self.size
    }

    /// The digests of the whole content: those that every range has. `None` while a byte is missing.
    pub fn hashes(&self) -> Option<Hashes> {
        if !self.is_whole() {
            return None;
        }
        let mut hashes = Hashes::default();
        if let Some(root) = self.root() {
            hashes.insert(Digest { algo: HashAlgo::Blake3, bytes: root.as_bytes()[..].into() });
        }
        for algo in [HashAlgo::Crc64Nvme, HashAlgo::Crc32c] {
            if let Some(sum) = self.sum(algo) {
                hashes.insert(super::crc_digest(algo, sum));
            }
        }
        Some(hashes)
    }

    fn root(&self) -> Option<blake3::Hash> {
        let mut nodes = BTreeMap::new();
        for part in self.known.values() {
            for node in part.nodes.as_ref()? {
                nodes.insert((node.range.start, node.range.end), node.value);
            }
        }
        let middle = left_subtree_len(self.size.max(PART_ALIGNMENT + 1));
        let left = value_of(&nodes, 0, middle)?;
        let right = value_of(&nodes, middle, self.size)?;
        Some(merge_subtrees_root(&left, &right, Mode::Hash))
    }

    fn sum(&self, algo: HashAlgo) -> Option<u64> {
        let crc = crc_of(algo)?;
        let mut whole = None;
        for part in self.known.values() {
            let (_, sum) = part.sums.iter().find(|(known, _)| *known == algo)?;
            let length = part.range.end - part.range.start;
            whole = Some(match whole {
                None => *sum,
                Some(before) => crc_fast::checksum_combine(crc, before, *sum, length),
            });
        }
        whole
    }
}

/// The node of `start..end`: a known one, or made of the two below it.
fn value_of(
    nodes: &BTreeMap<(u64, u64), ChainingValue>,
    start: u64,
    end: u64,
) -> Option<ChainingValue> {
    if let Some(value) = nodes.get(&(start, end)) {
        return Some(*value);
    }
    if end.saturating_sub(start) <= PART_ALIGNMENT {
        return None;
    }
    let middle = start + left_subtree_len(end - start);
    let (left, right) = (value_of(nodes, start, middle)?, value_of(nodes, middle, end)?);
    Some(merge_subtrees_non_root(&left, &right, Mode::Hash))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hash_bytes;
    use super::*;

    fn content(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at * 31 + at / 251) as u8).collect()
    }

    fn part(all: &[u8], range: Range<usize>, piece: usize) -> PartDigest {
        let wide = range.start as u64..range.end as u64;
        let mut hasher = PartHasher::new(wide, all.len() as u64, &PART_ALGOS);
        all[range].chunks(piece).for_each(|piece| hasher.update(piece));
        hasher.finish().expect("all of it came")
    }

    proptest! {
        #[test]
        fn parts_in_any_order_have_the_digests_of_the_whole(
            size in 1_usize..200_000,
            cuts in prop::collection::vec(1_usize..200, 0..12),
            order in any::<u64>(),
            piece in 1_usize..70_000,
        ) {
            let all = content(size);
            let mut edges: Vec<usize> =
                cuts.into_iter().map(|cut| cut * 1024).filter(|cut| *cut < size).collect();
            edges.extend([0, size]);
            edges.sort_unstable();
            edges.dedup();
            let mut ranges: Vec<_> = edges.windows(2).map(|pair| pair[0]..pair[1]).collect();
            fastrand::Rng::with_seed(order).shuffle(&mut ranges);
            let mut parts = Parts::new(size as u64);
            for range in &ranges {
                prop_assert!(parts.hashes().is_none());
                parts.add(part(&all, range.clone(), piece));
            }
            // Read once more, as after a failure.
            parts.add(part(&all, ranges[0].clone(), piece));
            let (found, expected) = (parts.hashes(), hash_bytes(&PART_ALGOS, &all));
            let found = found.expect("whole");
            for algo in PART_ALGOS {
                let is_one_chunk = algo == HashAlgo::Blake3 && size <= 1024;
                prop_assert_eq!(
                    found.get(algo),
                    expected.get(algo).filter(|_| !is_one_chunk)
                );
            }
        }
    }

    #[test]
    fn parts_that_begin_between_nodes_have_their_checksums_only() {
        let all = content(10_000);
        let mut parts = Parts::new(10_000);
        for range in [5_000..10_000, 0..5_000] {
            parts.add(part(&all, range, 777));
        }
        let (found, expected) = (parts.hashes().expect("whole"), hash_bytes(&PART_ALGOS, &all));
        assert_eq!(found.get(HashAlgo::Blake3), None);
        assert_eq!(found.get(HashAlgo::Crc32c), expected.get(HashAlgo::Crc32c));
        assert_eq!(found.get(HashAlgo::Crc64Nvme), expected.get(HashAlgo::Crc64Nvme));
    }

    #[test]
    fn a_part_that_is_cut_short_or_forgotten_leaves_a_gap() {
        let all = content(8_192);
        let mut parts = Parts::new(8_192);
        parts.add(part(&all, 0..4_096, 100));
        let mut short = PartHasher::new(4_096..8_192, 8_192, &PART_ALGOS);
        short.update(&all[4_096..8_191]);
        assert!(short.finish().is_none());
        assert!(!parts.is_whole());
        parts.add(part(&all, 4_096..8_192, 4_096));
        assert!(parts.is_whole());
        parts.forget(&(100..200));
        assert!(parts.hashes().is_none());
    }

    #[test]
    fn one_changed_byte_in_one_part_is_another_content() {
        let all = content(300_000);
        let mut other = all.clone();
        other[250_000] ^= 1;
        let mut parts = Parts::new(300_000);
        parts.add(part(&other, 262_144 - 65_536..262_144, 9_999));
        parts.add(part(&all, 0..262_144 - 65_536, 9_999));
        parts.add(part(&all, 262_144..300_000, 9_999));
        let (found, expected) = (parts.hashes().expect("whole"), hash_bytes(&PART_ALGOS, &all));
        for algo in PART_ALGOS {
            assert_ne!(found.get(algo), expected.get(algo), "{algo}");
        }
    }
}
