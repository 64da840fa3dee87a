//! The reader of plans, given foreign bytes: it gives an error or what was written, and no more.

use std::io::Write;

use ketch_core::RelPath;
use ketch_engine::JobKind;
use ketch_engine::plan::Planned;
use ketch_engine::plan_file::{PlanFile, PlanHeader, PlanTotals, PlanWriter};
use proptest::prelude::*;

/// Reads the bytes as a plan; `None` = it is refused.
fn read(bytes: &[u8]) -> Option<Vec<Planned>> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("written");
    let mut plan = PlanFile::open(file.path()).ok()?;
    let mut actions = Vec::new();
    plan.for_each(|planned| {
        actions.push(planned);
        Ok(())
    })
    .ok()?;
    Some(actions)
}

fn actions() -> Vec<Planned> {
    let path = |name: &str| RelPath::new(name).expect("legal");
    ["a", "b/c"].map(|name| Planned::MakeDir { path: path(name) }).to_vec()
}

fn whole() -> Vec<u8> {
    let two = |name: &str| (name.to_owned(), name.to_owned());
    let header = PlanHeader::new(JobKind::Sync, two("x"), two("local:/x"), 5);
    let mut writer = PlanWriter::new(Vec::new(), &header).expect("begun");
    actions().iter().for_each(|planned| writer.push(planned).expect("pushed"));
    writer.finish(PlanTotals::default()).expect("finished").0
}

#[test]
fn a_plan_with_any_bit_changed_is_refused_or_says_the_same() {
    let bytes = whole();
    assert_eq!(read(&bytes), Some(actions()));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        // A letter of the last line that is not part of a value.
        assert!(read(&changed).is_none_or(|read| read == actions()), "byte {at}");
        assert_eq!(read(&bytes[..at]), None, "cut at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_with_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(read(&bytes), None);
        let header_end = whole().iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        let mut behind = whole()[..header_end].to_vec();
        behind.extend(&bytes);
        prop_assert_eq!(read(&behind), None);
    }
}
