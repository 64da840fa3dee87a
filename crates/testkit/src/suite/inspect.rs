//! Facts in bulk: those of each entry, in their order.

use ketch_core::facets::Wanted;
use ketch_core::hash::hash_bytes;
use ketch_core::{ErrorKind, HashAlgo};

use super::case::{Case, case};
use super::context::{Context, expect_error};

pub(super) const CASES: &[Case] = &[case!(facts_are_those_of_each_entry)];

async fn facts_are_those_of_each_entry(context: &Context) {
    let facets = context.backend().facets().clone();
    let Some(inspect) = facets.inspect else {
        context.skip("no facts in bulk");
        return;
    };
    let mut entries = Vec::new();
    for name in ["d/a", "gone", "b"] {
        entries.push(context.put(name, format!("content of {name}")).await);
    }
    context.backend().delete_one(&entries[1]).await.expect("deleted");
    let wanted = Wanted { mtime: true, hashes: HashAlgo::BY_STRENGTH.to_vec() };
    let mut found = inspect.inspect(&entries, &wanted).await.expect("asked");
    assert_eq!(found.len(), entries.len(), "one for each");
    expect_error(found.remove(1), &[ErrorKind::NotFound]);
    let mut is_any = false;
    for (found, name) in found.into_iter().zip(["d/a", "b"]) {
        let found = found.expect("it is there");
        assert_eq!(found.path.as_str(), name);
        let content = format!("content of {name}");
        assert_eq!(found.size, Some(content.len() as u64));
        let hashes = hash_bytes(&HashAlgo::BY_STRENGTH, content.as_bytes());
        for digest in found.hashes.iter().flat_map(|hashes| hashes.iter()) {
            is_any = true;
            assert_eq!(hashes.get(digest.algo()), Some(digest), "{name}");
        }
    }
    assert!(is_any || context.claimed().hashes.is_empty(), "it finds out a digest");
    let nothing = inspect.inspect(&[], &wanted).await.expect("asked");
    assert!(nothing.is_empty(), "nothing is asked, nothing is said");
}
