//! Any bytes as a manifest, compressed or not: an error or entries, never a panic, never more memory than a line.

#![no_main]

use std::io::Read;

use ketch_manifest::compress::decompress;
use ketch_manifest::{ManifestReader, ManifestWriter};
use libfuzzer_sys::fuzz_target;

/// What a small input may grow to: enough for every path through the reader.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = decompress(bytes) else { return };
    let reader = std::io::BufReader::new(reader.take(MOST_BYTES));
    let Ok(mut reader) = ManifestReader::begin(reader) else { return };
    let header = reader.header().clone();
    let mut writer =
        ManifestWriter::begin(Vec::new(), header.created, header.place).expect("memory takes all");
    while let Some(Ok(entry)) = reader.next_entry() {
        // What is read can be written, in the order in which it was read.
        writer.push(&entry).expect("in order");
    }
    if reader.totals().is_some() {
        let (written, _) = writer.finish().expect("memory takes all");
        ManifestReader::begin(&written[..]).expect("begun").check().expect("what is written is whole");
    }
});
