//! Any bytes as a plan: an error or actions, never a panic. A digest that fits is put behind them too, so that what is read after it
//! was checked is reached.

#![no_main]

use std::io::Write;

use ketch_engine::plan_file::PlanFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let items = bytes.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
    let digest = blake3::hash(bytes);
    let totals = format!(
        "{{\"type\":\"totals\",\"items\":{items},\"copies\":0,\"bytes\":0,\"deletions\":0,\"refused\":0,\
         \"source_files\":0,\"destination_entries\":0,\"unchanged\":0,\"over_limit\":null,\
         \"digest\":\"{}\"}}\n",
        digest.to_hex()
    );
    read(&[bytes, totals.as_bytes()].concat());
});

fn read(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("written");
    if let Ok(mut plan) = PlanFile::open(file.path()) {
        let _ = plan.for_each(|_| Ok(()));
    }
}
