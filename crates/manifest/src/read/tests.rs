//! What is written is read back, and nothing else is taken for a manifest.

use super::*;
use crate::parts::{Parts, SMALLEST_PART_BYTES};
use crate::write::ManifestWriter;
use ketch_core::hash::hash_bytes;
use ketch_core::{Digest, HashAlgo, Hashes, RelPath};
use proptest::prelude::*;

fn entry(path: &str, content: &str) -> ManifestEntry {
    ManifestEntry {
        path: RelPath::new(path).expect("legal"),
        size: content.len() as u64,
        mtime: Some(1_700_000_000_123_456_789),
        hashes: hash_bytes(&[HashAlgo::Blake3, HashAlgo::Md5], content.as_bytes()),
        prefix: Some([1, 2, 3, 4]),
        parts: None,
    }
}

fn large() -> ManifestEntry {
    let parts = Parts { bytes: SMALLEST_PART_BYTES, digests: vec![[7; 32], [8; 32]] };
    let size = SMALLEST_PART_BYTES * 2;
    let hashes = Hashes::of(parts.merge(size).expect("they fit"));
    ManifestEntry { size, hashes, parts: Some(parts), mtime: None, ..entry("z", "") }
}

fn written(entries: &[ManifestEntry]) -> Vec<u8> {
    let mut writer =
        ManifestWriter::begin(Vec::new(), Some(5), Some("here".into())).expect("begun");
    entries.iter().for_each(|entry| writer.push(entry).expect("in order"));
    writer.finish().expect("finished").0
}

fn read(bytes: &[u8]) -> Result<Vec<ManifestEntry>, ReadError> {
    let mut reader = ManifestReader::begin(bytes)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry() {
        entries.push(entry?);
    }
    assert!(reader.totals().is_some());
    Ok(entries)
}

#[test]
fn what_was_written_is_read() {
    let entries = [entry("a", "1"), entry("a.b", "22"), entry("a/b", ""), large()];
    let bytes = written(&entries);
    assert_eq!(read(&bytes).expect("whole"), entries);
    let totals = ManifestReader::begin(&bytes[..]).expect("begun").check().expect("whole");
    assert_eq!((totals.entries, totals.bytes), (4, 3 + 2 * SMALLEST_PART_BYTES));
    assert!(read(&written(&[])).expect("whole").is_empty());
}

#[test]
fn the_form_is_the_one_that_is_documented() {
    let text = String::from_utf8(written(&[entry("a", "1")])).expect("UTF-8");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], r#"{"ketch_manifest":1,"created":5,"place":"here"}"#);
    assert!(lines[1].starts_with(r#"{"path":"a","size":1,"mtime":1700000000123456789,"blake3":""#));
    assert!(
        lines[1].ends_with(r#","md5":"c4ca4238a0b923820dcc509a6f75849b","prefix":"01020304"}"#)
    );
    let root = blake3::hash(format!("{}\n", lines[1]).as_bytes()).to_hex();
    assert_eq!(lines[2], format!(r#"{{"entries":1,"bytes":1,"root":"{root}"}}"#));
}

#[test]
fn a_manifest_cut_anywhere_is_refused() {
    let bytes = written(&[entry("a", "1"), entry("b", "2")]);
    for length in 0..bytes.len() {
        read(&bytes[..length]).expect_err("it is not whole");
    }
}

#[test]
fn a_manifest_with_any_bit_changed_is_refused_or_says_the_same() {
    let entries = [entry("a", "1"), large()];
    let bytes = written(&entries);
    let first_entry = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for at in first_entry..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            if let Ok(read) = read(&changed) {
                // A letter of the last line that is not part of a value.
                assert_eq!(read, entries, "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn what_makes_no_sense_says_where() {
    let whole = String::from_utf8(written(&[entry("a", "1"), entry("b", "2")])).expect("UTF-8");
    let lines: Vec<_> = whole.lines().collect();
    let check = |lines: &[&str], expected: &str| {
        let error = read((lines.join("\n") + "\n").as_bytes()).expect_err("refused");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&["{}"], "not a manifest");
    check(&["hello"], "not a manifest");
    check(&[r#"{"ketch_manifest":2}"#], "version 2");
    check(&[lines[0], lines[2], lines[1], lines[3]], "line 3: `a` is not in order");
    check(&[lines[0], lines[1], lines[1], lines[3]], "line 3: `a` is not in order");
    check(&[lines[0], lines[1], lines[3]], "root digest");
    check(&[lines[0], lines[1]], "cut short");
    check(&[lines[0], lines[1], lines[2], lines[3], lines[1]], "follows the last line");
    check(
        &[lines[0], r#"{"path":"../x","size":0,"md5":"c4ca4238a0b923820dcc509a6f75849b"}"#],
        "`..`",
    );
    check(&[lines[0], r#"{"path":"x","size":0}"#], "no digest");
    check(&[lines[0], r#"{"path":"x","size":0,"md5":"c4"}"#], "md5 digest that is none");
    check(&[lines[0], r#"{"path":"x","size":-1}"#], "neither an entry");
    check(&[lines[0], "x"], "line 2");
    let long = "x".repeat(LINE_BYTES + 2);
    check(&[lines[0], &long], "too long");
}

#[test]
fn parts_that_do_not_give_the_digest_are_refused() {
    let mut wrong = large();
    wrong.hashes.insert(Digest::new(HashAlgo::Blake3, &[9; 32]).expect("32 bytes"));
    let error = read(&written(&[wrong])).expect_err("refused");
    assert!(error.to_string().contains("do not give its digest"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_the_reader_fail_otherwise_than_with_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let mut after_header = b"{\"ketch_manifest\":1}\n".to_vec();
        after_header.extend(&bytes);
        let _ = read(&after_header);
    }

    #[test]
    fn any_entry_survives(names in proptest::collection::btree_set("[a-z\u{80}-\u{2fff}\n\\\\\"\t ]{1,12}", 1..8), size in any::<u64>(), mtime in any::<Option<i64>>()) {
        let entries: Vec<_> = names.iter().filter(|name| RelPath::new(name).is_ok())
            .map(|name| ManifestEntry { size, mtime, ..entry(name, "x") }).collect();
        prop_assert_eq!(read(&written(&entries)).expect("whole"), entries);
    }
}
