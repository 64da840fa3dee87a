//! The ledger beside a part, by which another process can continue it: the version of the source, and one record for each
//! range of the part that is whole and, as far as the options say, on the disk.
//!
//! Pure: bytes to records and back. All ranges of a ledger have one size, so a record contains only the digest of its
//! range. Each record ends with a checksum that also covers all bytes before it, so a record that is torn, flipped or of
//! another file ends the ledger there and is never used.

use std::ops::Range;

/// The name and version of the format.
const MAGIC: &[u8; 8] = b"ketchL1\n";
const CHECK_BYTES: usize = 8;
const DIGEST_BYTES: usize = 32;

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: usize = MAGIC.len() + 8 + DIGEST_BYTES + CHECK_BYTES;
/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = DIGEST_BYTES + CHECK_BYTES;

/// How a part was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// A body that was received. The digests are BLAKE3 of the ranges.
    Put,
    /// A copy within the machine. There are no digests: source and part can be compared.
    Copy,
}

impl Maker {
    /// Bytes of one range.
    pub(crate) const fn range_bytes(self) -> u64 {
        match self {
            Maker::Put => 16 * 1024 * 1024,
            Maker::Copy => 64 * 1024 * 1024,
        }
    }

    /// The bytes of range `number`.
    pub(crate) fn range(self, number: usize) -> Range<u64> {
        let start = (number as u64).saturating_mul(self.range_bytes());
        start..start.saturating_add(self.range_bytes())
    }

    /// What tells the makers apart in a file: the size of the ranges is part of the format.
    fn tag(self) -> [u8; 8] {
        let kind = match self {
            Maker::Put => 1_u64,
            Maker::Copy => 2,
        };
        (kind << 56 | self.range_bytes()).to_le_bytes()
    }
}

/// The ranges of a part that are known to be whole: the first ones, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    maker: Maker,
    header: Vec<u8>,
    records: Vec<[u8; RECORD_BYTES]>,
}

impl Ledger {
    /// No range yet of a part that is made from `source`.
    pub(crate) fn new(maker: Maker, source: &str) -> Self {
        let mut header = MAGIC.to_vec();
        header.extend(maker.tag());
        header.extend(blake3::hash(source.as_bytes()).as_bytes());
        let check = check(&[], &header);
        header.extend(check);
        Ledger { maker, header, records: Vec::new() }
    }

    /// As many records of `bytes` as are whole. No record at all when they are about another version of the source, of another
    /// maker or of another format.
    pub(crate) fn parse(maker: Maker, source: &str, bytes: &[u8]) -> Self {
        let mut ledger = Ledger::new(maker, source);
        let Some(records) = bytes.strip_prefix(&ledger.header[..]) else { return ledger };
        let (records, _torn) = records.as_chunks::<RECORD_BYTES>();
        for record in records {
            let (digest, found) = record.split_at(DIGEST_BYTES);
            if check(ledger.last_check(), digest) != found {
                break;
            }
            ledger.records.push(*record);
        }
        ledger
    }

    pub(crate) fn maker(&self) -> Maker {
        self.maker
    }

    /// What a file of records starts with.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// How many ranges are recorded.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The recorded digest of range `number`.
    pub(crate) fn digest(&self, number: usize) -> Option<&[u8]> {
        self.records.get(number).map(|record| &record[..DIGEST_BYTES])
    }

    /// Bytes of the part that are recorded.
    pub(crate) fn bytes(&self) -> u64 {
        self.maker.range(self.len()).start
    }

    /// Where the next record goes in the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        (HEADER_BYTES + self.len() * RECORD_BYTES) as u64
    }

    /// Adds the next range and returns what is to be written for it.
    pub(crate) fn push(&mut self, digest: [u8; DIGEST_BYTES]) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..DIGEST_BYTES].copy_from_slice(&digest);
        record[DIGEST_BYTES..].copy_from_slice(&check(self.last_check(), &digest));
        self.records.push(record);
        record
    }

    /// Forgets all ranges from `count` on.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.records.truncate(count);
    }

    fn last_check(&self) -> &[u8] {
        let last = self.records.last().map_or(&self.header[..], |record| &record[..]);
        &last[last.len() - CHECK_BYTES..]
    }
}

/// The checksum of `content`, which follows the bytes whose checksum is `before`.
fn check(before: &[u8], content: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(content);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDS: usize = 4;

    fn written(source: &str) -> (Ledger, Vec<u8>) {
        let mut ledger = Ledger::new(Maker::Put, source);
        let mut bytes = ledger.header().to_vec();
        for number in 0..RECORDS {
            bytes.extend(ledger.push([number as u8; DIGEST_BYTES]));
        }
        (ledger, bytes)
    }

    fn parsed(bytes: &[u8]) -> Ledger {
        Ledger::parse(Maker::Put, "source", bytes)
    }

    #[test]
    fn what_was_written_is_read() {
        let (ledger, bytes) = written("source");
        assert_eq!(parsed(&bytes), ledger);
        assert_eq!(ledger.file_bytes(), bytes.len() as u64);
        assert_eq!(ledger.bytes(), RECORDS as u64 * Maker::Put.range_bytes());
        assert_eq!(ledger.digest(2), Some(&[2; DIGEST_BYTES][..]));
        assert_eq!(ledger.digest(RECORDS), None);
    }

    #[test]
    fn a_cut_at_every_byte_leaves_the_whole_records_before_it() {
        let (ledger, bytes) = written("source");
        for cut in 0..bytes.len() {
            let found = parsed(&bytes[..cut]);
            let whole = cut.saturating_sub(HEADER_BYTES) / RECORD_BYTES;
            assert_eq!(found.len(), whole, "cut at {cut}");
            assert_eq!(found.records[..], ledger.records[..whole]);
        }
    }

    #[test]
    fn every_flipped_bit_ends_the_ledger_before_it() {
        let (ledger, bytes) = written("source");
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = parsed(&bytes);
            let whole = (bit / 8).saturating_sub(HEADER_BYTES) / RECORD_BYTES;
            assert_eq!(found.len(), whole, "bit {bit}");
            assert_eq!(found.records[..], ledger.records[..whole]);
        }
    }

    #[test]
    fn records_of_another_source_maker_or_place_are_not_believed() {
        let (_, bytes) = written("source");
        assert_eq!(Ledger::parse(Maker::Put, "other", &bytes).len(), 0);
        assert_eq!(Ledger::parse(Maker::Copy, "source", &bytes).len(), 0);
        let (header, records) = bytes.split_at(HEADER_BYTES);
        let (first, rest) = records.split_at(RECORD_BYTES);
        assert_eq!(parsed(&[header, rest].concat()).len(), 0, "a record is missing");
        assert_eq!(parsed(&[header, first, first].concat()).len(), 1, "a record is there twice");
        let (_, other) = written("other");
        let mixed = [header, first, &other[HEADER_BYTES + RECORD_BYTES..]].concat();
        assert_eq!(parsed(&mixed).len(), 1, "a record of another ledger");
    }

    #[test]
    fn ranges_that_are_forgotten_can_be_written_anew() {
        let (mut ledger, bytes) = written("source");
        ledger.truncate(2);
        let start = ledger.file_bytes() as usize;
        let again = ledger.push([2; DIGEST_BYTES]);
        assert_eq!(again[..], bytes[start..start + RECORD_BYTES]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(parsed(&bytes).len(), 0);
            let (ledger, mut whole) = written("source");
            whole.extend(bytes);
            prop_assert_eq!(parsed(&whole), ledger, "what follows is not believed");
        }
    }
}
