//! Digests that a remote reports are those of the content.

use std::sync::Arc;

use ketch_core::PutOptions;
use ketch_core::hash::hash_bytes;
use ketch_core::source::{BytesSource, HashingSource};

use super::case::{Case, case, claims, digests};
use super::context::{Context, check_hashes, path};

pub(super) const CASES: &[Case] = &[
    case!(claimed_digests_are_reported, digests),
    case!(digests_are_those_of_the_content),
    case!(an_overwrite_brings_its_own_digests),
    case!(what_an_uploader_claims_is_kept_beside_what_is_attested, claims),
];

/// `put` or a listing tells each digest that is claimed.
async fn claimed_digests_are_reported(context: &Context) {
    let content = context.noise(1, 70_000);
    let returned = context.put("f", content.clone()).await;
    let listed = context.list("").await.remove(0);
    let stat = context.stat("f").await;
    let own = hash_bytes(context.claimed().hashes, &content);
    for algo in context.claimed().hashes {
        let shown = [&returned, &listed, &stat]
            .into_iter()
            .filter_map(|entry| entry.hashes.as_ref()?.get(*algo));
        let shown: Vec<_> = shown.collect();
        assert!(!shown.is_empty(), "{algo} is claimed and not reported");
        assert!(shown.iter().all(|shown| Some(*shown) == own.get(*algo)), "{algo}");
    }
}

async fn digests_are_those_of_the_content(context: &Context) {
    for (tag, size) in [(1, 1), (2, 65_536), (3, 1_048_577)] {
        let content = context.noise(tag, size);
        let returned = context.put("f", content.clone()).await;
        check_hashes(&returned, &content);
        check_hashes(&context.stat("f").await, &content);
        check_hashes(&context.list("").await[0], &content);
    }
}

async fn an_overwrite_brings_its_own_digests(context: &Context) {
    for content in ["first", "other"] {
        let returned = context.put("d/f", content).await;
        context.check_entry(&returned, "d/f", content.as_bytes()).await;
    }
}

/// Each digest that the body of an upload knows is there, as a claim, and is not shown as one that the remote attests.
async fn what_an_uploader_claims_is_kept_beside_what_is_attested(context: &Context) {
    for content in [context.noise(1, 70_000), context.noise(2, 5)] {
        let algos = context.claimed().claimed_hashes;
        let body = HashingSource::new(BytesSource::body(content.clone()), algos.to_vec());
        let stored = context.backend().put(&path("f"), Arc::new(body), PutOptions::default()).await;
        let returned = stored.expect("stored");
        let own = hash_bytes(algos, &content);
        for entry in [&returned, &context.list("").await[0], &context.stat("f").await] {
            for algo in context.claimed().claimed_hashes {
                let claimed = entry.claimed.as_ref().and_then(|claimed| claimed.get(*algo));
                assert_eq!(claimed, own.get(*algo), "{algo}");
                let attested = entry.hashes.as_ref().and_then(|attested| attested.get(*algo));
                let is_attested = context.claimed().hashes.contains(algo);
                assert_eq!(attested.is_some(), is_attested, "{algo}");
            }
        }
    }
}
