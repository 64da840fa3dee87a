//! The suite finds broken backends: each fault that is made here on purpose fails the case that is there for it, and
//! without a fault nothing fails.

mod broken;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::{Capabilities, HashAlgo, PartRules};
use ketch_testkit::suite::{Fixture, Harm, Interrupting, SuiteConfig, failures};
use ketch_testkit::{KEPT_BYTES, MemoryBackend};

use broken::{Broken, Fault};

fn fixture(memory: MemoryBackend, fault: Fault) -> BoxFuture<'static, Fixture> {
    let memory = Arc::new(memory);
    if fault == Fault::TrustsParts {
        memory.trust_parts();
    }
    if fault == Fault::ListsOutOfOrder {
        memory.list_out_of_order();
    }
    let (reopened, duplicated) = (Arc::clone(&memory), Arc::clone(&memory));
    let damaged = Arc::clone(&memory);
    let damage = move |path: &str, harm| {
        match harm {
            Harm::Content => damaged.damage_part(path),
            Harm::Record => damaged.damage_part_record(path),
        }
        std::future::ready(()).boxed()
    };
    let duplicate = move |path: &str, content: &[u8]| {
        duplicated.insert_duplicate(path, content);
        std::future::ready(()).boxed()
    };
    let fixture = Fixture {
        backend: Broken::wrap(memory, fault),
        reopen: Box::new(move |folder| Broken::wrap(Arc::new(reopened.reopen(folder)), fault)),
        afresh: None,
        duplicate: Some(Box::new(duplicate)),
        interrupting: Some(Interrupting { bytes: 3 * KEPT_BYTES, damage: Box::new(damage) }),
        keep: Box::new(()),
    };
    std::future::ready(fixture).boxed()
}

macro_rules! bites {
    ($test:ident, $fault:ident, $capabilities:expr, $expected:expr) => {
        #[test]
        fn $test() {
            let make = || fixture(MemoryBackend::with("broken", $capabilities), Fault::$fault);
            let failed = failures(SuiteConfig { backend: "broken", make, exceptions: &[] });
            let expected: &[&str] = &$expected;
            for case in expected {
                assert!(
                    failed.iter().any(|failed| failed == case),
                    "{case} passes; failed: {failed:?}"
                );
            }
            assert_eq!(failed.is_empty(), expected.is_empty(), "{failed:?}");
        }
    };
}

/// Lists everything at once, and stores large bodies as parts.
fn store() -> Capabilities {
    Capabilities {
        list_recursive: true,
        put_resume: false,
        put_parts: Some(PartRules {
            from: 64 * 1024,
            part_bytes: 32 * 1024,
            parts_max: 100,
            at_once: 3,
        }),
        ..MemoryBackend::everything()
    }
}

bites!(without_a_fault_nothing_fails, None, MemoryBackend::everything(), []);
bites!(a_store_without_a_fault_fails_nothing, None, store(), []);
bites!(
    a_listing_of_everything_in_another_order_is_found,
    ListsOutOfOrder,
    store(),
    ["list::everything_below_a_folder_is_listed_at_once_in_key_order"]
);
bites!(
    stored_parts_that_are_believed_are_found,
    TrustsParts,
    store(),
    ["parts::a_part_that_was_changed_is_not_believed"]
);
bites!(
    an_upload_that_is_abandoned_and_stays_is_found,
    AbandonsNothing,
    store(),
    ["parts::an_abandoned_upload_leaves_nothing"]
);
bites!(
    an_upload_that_nobody_will_go_on_with_and_stays_is_found,
    KeepsAlways,
    store(),
    ["parts::an_upload_that_nobody_will_go_on_with_leaves_nothing"]
);
bites!(
    a_put_that_reads_everything_again_for_one_part_is_found,
    ReadsWholeForPart,
    store(),
    ["parts::a_part_that_fails_is_read_again_and_no_other_is"]
);
bites!(
    a_body_that_ends_early_and_is_stored_is_found,
    StoresWhatCame,
    MemoryBackend::everything(),
    [
        "put::a_short_body_leaves_nothing",
        "put::a_long_body_leaves_nothing",
        "put::a_body_that_breaks_leaves_nothing",
        "put::a_body_of_unknown_size_that_breaks_leaves_nothing",
        "put::a_bad_body_leaves_the_old_content",
    ]
);
bites!(
    an_overwrite_that_deletes_first_is_found,
    DeletesBeforePut,
    MemoryBackend::everything(),
    [
        "put::a_bad_body_leaves_the_old_content",
        "put::a_put_that_is_dropped_leaves_the_old_content",
        "put::an_overwrite_is_whole_for_a_reader_at_every_time",
        "cancel::an_overwrite_dropped_anywhere_is_old_or_new",
    ]
);
bites!(
    a_part_that_a_drop_leaves_is_found,
    LeavesPartOnDrop,
    MemoryBackend::everything(),
    ["put::a_put_that_is_dropped_leaves_nothing"]
);
bites!(
    a_listing_that_stops_at_a_page_is_found,
    ForgetsEntries,
    MemoryBackend::everything(),
    ["list::many_entries_are_all_listed_once"]
);
bites!(
    versions_that_are_ignored_are_found,
    IgnoresVersions,
    MemoryBackend::everything(),
    [
        "read::a_file_that_was_replaced_is_not_read_as_the_old_one",
        "delete::a_file_that_was_replaced_is_not_deleted",
    ]
);
bites!(
    ranges_that_are_ignored_are_found,
    IgnoresRanges,
    MemoryBackend::everything(),
    ["read::ranges_are_read_exactly"]
);
bites!(
    a_delete_that_takes_everything_is_found,
    IgnoresNotEmpty,
    MemoryBackend::everything(),
    ["delete::a_folder_that_is_not_empty_is_refused_and_keeps_all"]
);
bites!(
    digests_that_are_claimed_and_not_reported_are_found,
    ReportsNoHashes,
    MemoryBackend::everything(),
    ["hashes::claimed_digests_are_reported"]
);
bites!(
    a_claim_that_is_shown_as_attested_is_found,
    AttestsClaims,
    Capabilities {
        hashes: &[HashAlgo::Whirlpool],
        claimed_hashes: &[HashAlgo::Md5],
        ..MemoryBackend::everything()
    },
    ["hashes::what_an_uploader_claims_is_kept_beside_what_is_attested"]
);
bites!(
    times_coarser_than_claimed_are_found,
    RoundsTimes,
    MemoryBackend::everything(),
    ["mtime::a_time_is_kept_as_finely_as_claimed"]
);
bites!(
    a_claim_that_is_not_kept_is_found,
    ClaimsTooMuch,
    MemoryBackend::like_fichier(),
    ["put::an_empty_body_is_stored"]
);
bites!(
    a_power_that_is_not_claimed_is_found,
    ClaimsTooLittle,
    MemoryBackend::everything(),
    ["errors::a_rename_that_is_not_claimed_is_refused"]
);
bites!(
    names_that_are_trimmed_are_found,
    TrimsNames,
    MemoryBackend::everything(),
    ["names::spaces_and_dots_at_the_ends"]
);
bites!(
    names_whose_case_is_folded_are_found,
    FoldsCase,
    MemoryBackend::everything(),
    ["names::names_that_differ_in_case_only_are_two", "stat::a_missing_name_is_not_found"]
);
bites!(
    duplicates_that_are_hidden_are_found,
    LosesDuplicates,
    MemoryBackend::like_fichier(),
    ["list::duplicates_are_all_shown"]
);
bites!(
    a_rename_that_leaves_the_source_is_found,
    RenameCopies,
    MemoryBackend::everything(),
    ["rename::a_file_moves_to_another_name_and_another_folder"]
);
bites!(
    an_interrupted_put_that_keeps_nothing_is_found,
    KeepsNothing,
    MemoryBackend::everything(),
    [
        "resume::an_interrupted_put_is_gone_on_with_and_not_asked_for_again",
        "resume::a_dropped_put_keeps_what_it_had",
    ]
);
bites!(
    going_on_with_another_version_is_found,
    BelievesAnySource,
    MemoryBackend::everything(),
    ["resume::another_version_of_the_source_is_not_gone_on_with"]
);
bites!(
    going_on_with_another_job_is_found,
    BelievesAnyJob,
    MemoryBackend::everything(),
    ["resume::another_job_is_not_gone_on_with"]
);
bites!(
    parts_that_are_trusted_are_found,
    TrustsParts,
    MemoryBackend::everything(),
    ["resume::content_that_was_changed_is_not_believed", "resume::a_torn_record_is_not_believed"]
);
bites!(
    what_is_abandoned_and_stays_is_found,
    AbandonsNothing,
    MemoryBackend::everything(),
    ["resume::an_abandoned_put_leaves_nothing"]
);
bites!(
    what_nobody_will_go_on_with_and_stays_is_found,
    KeepsAlways,
    MemoryBackend::everything(),
    ["resume::a_put_that_nobody_will_go_on_with_leaves_nothing"]
);
bites!(
    results_in_another_order_are_found,
    MixesResults,
    MemoryBackend::everything(),
    ["delete::several_are_deleted_in_one_call_with_one_result_each"]
);
bites!(
    a_delete_that_stops_at_the_first_error_is_found,
    StopsAtError,
    MemoryBackend::everything(),
    ["delete::several_are_deleted_in_one_call_with_one_result_each"]
);
bites!(
    a_time_that_is_not_set_is_found,
    SetsNoMetadata,
    MemoryBackend::everything(),
    ["mtime::a_time_is_set_and_the_content_stays"]
);
bites!(
    facts_of_another_entry_are_found,
    MixesFacts,
    MemoryBackend::everything(),
    ["inspect::facts_are_those_of_each_entry"]
);
bites!(
    facts_that_are_made_up_are_found,
    InventsFacts,
    MemoryBackend::everything(),
    ["inspect::facts_are_those_of_each_entry"]
);
