//! Any bytes as a catalogue: an error or records, never a panic. They are also taken as its lines, with the digest and the
//! compression that fit put around them, so that what is read after these were checked is reached.

#![no_main]

use std::io::Write;

use ketch_catalog::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let end = format!("{{\"end\":\"{}\"}}\n", blake3::hash(bytes).to_hex());
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("a level");
    encoder.write_all(bytes).and_then(|()| encoder.write_all(end.as_bytes())).expect("memory");
    read(&encoder.finish().expect("memory"));
});

fn read(bytes: &[u8]) {
    if let Ok(records) = decode(bytes) {
        // What is read can be written, and is the same when it is read again.
        let written = encode(&records).expect("memory takes all");
        assert_eq!(decode(&written).as_ref(), Ok(&records));
    }
}
