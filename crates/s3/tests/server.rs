//! The conformance suite over a real S3 server that is running: `KETCH_S3_ENDPOINT` says where, `KETCH_S3_PROVIDER` what it is
//! called, and `KETCH_S3_KEY` and `KETCH_S3_SECRET` hold a key, if it wants one. `cargo xtask interop` starts such servers.
//! Without an address nothing is run.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::Backend;
use ketch_core::facets::Claims;
use ketch_core::factory::ConnectRequest;
use ketch_s3::raw;
use ketch_testkit::suite::{Exception, Fixture, Harm, Interrupting, SuiteConfig, run_all};

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn open(root: &str) -> Arc<dyn Backend> {
    let mut options = vec![
        ("endpoint".to_owned(), set("KETCH_S3_ENDPOINT").unwrap_or_default()),
        ("provider".to_owned(), set("KETCH_S3_PROVIDER").unwrap_or_else(|| "Other".to_owned())),
        ("chunk_size".to_owned(), "5".to_owned()),
    ];
    options.extend(set("KETCH_S3_KEY").map(|key| ("access_key_id".to_owned(), key)));
    options.extend(set("KETCH_S3_SECRET").map(|key| ("secret_access_key".to_owned(), key)));
    let request = ConnectRequest {
        name: format!("s3:{root}"),
        root: root.to_owned(),
        options: options.into_iter().collect(),
        ..ConnectRequest::default()
    };
    raw(request).unwrap()
}

fn fixture() -> BoxFuture<'static, Fixture> {
    async {
        // A bucket of its own exists and is empty; a folder would be there only with something in it.
        let bucket = format!("ketch-suite-{:016x}", fastrand::u64(..));
        let account = open("");
        account.make_dir(&ketch_core::RelPath::new(&bucket).unwrap(), None).await.unwrap();
        let at = move |folder: &str| match folder.is_empty() {
            true => bucket.clone(),
            false => format!("{bucket}/{folder}"),
        };
        let root = at("");
        let backend = open(&root);
        let damaged = Arc::clone(&backend);
        // An open upload cannot be changed from outside, but it can be given up.
        let damage = move |path: &str, _harm: Harm| {
            let resume = damaged.facets().resume.clone().unwrap();
            let dir = ketch_core::RelPath::new(path).unwrap().parent().unwrap();
            async move {
                let nobody: Claims = Arc::new(|_| false);
                resume.leftovers(&dir, &nobody, true).await.unwrap();
            }
            .boxed()
        };
        Fixture {
            backend,
            reopen: Box::new(move |folder| open(&at(folder))),
            afresh: None,
            duplicate: None,
            interrupting: Some(Interrupting { bytes: 20 << 20, damage: Box::new(damage) }),
            keep: Box::new(()),
        }
    }
    .boxed()
}

const SIDE_BY_SIDE: &str =
    "a key says nothing of folders: an object and what lies below its name are side by side";

const EXCEPTIONS: &[Exception] = &[
    Exception { case: "put::a_folder_is_not_replaced_by_a_file", reason: SIDE_BY_SIDE },
    Exception {
        case: "put::a_folder_that_was_not_seen_is_not_replaced_by_a_file",
        reason: SIDE_BY_SIDE,
    },
    Exception { case: "put::a_file_is_not_replaced_by_a_folder", reason: SIDE_BY_SIDE },
    Exception { case: "copy::a_folder_is_not_replaced_by_a_copy", reason: SIDE_BY_SIDE },
    Exception {
        case: "parts::another_version_of_the_source_begins_anew",
        reason: "an open upload that no note speaks of may be another machine's",
    },
];

const UNCONDITIONAL: &str = "the server deletes an object whatever version it is";
const BACKSLASH: &str = "the server takes a backslash for a slash";

const SEAWEEDFS: &[Exception] = &[
    Exception { case: "delete::a_file_that_was_replaced_is_not_deleted", reason: UNCONDITIONAL },
    Exception { case: "names::ascii_punctuation", reason: BACKSLASH },
    Exception { case: "names::percent_and_markup_look_alikes", reason: BACKSLASH },
    Exception { case: "names::names_at_random", reason: BACKSLASH },
    Exception {
        case: "names::names_that_one_could_take_for_each_other_are_two",
        reason: BACKSLASH,
    },
];

const LINE_FEED: &str = "the server does not find an object with a line feed in its name";

const MOTO: &[Exception] = &[
    Exception { case: "delete::a_file_that_was_replaced_is_not_deleted", reason: UNCONDITIONAL },
    Exception {
        case: "copy::a_source_that_was_replaced_is_not_copied_as_the_old_one",
        reason: "the server copies whatever version it is",
    },
    Exception {
        case: "concurrent::of_many_writers_to_one_name_one_whole_content_survives",
        reason: "the server fails (500) where requests to one object meet",
    },
    Exception { case: "names::control_characters", reason: LINE_FEED },
    Exception { case: "names::percent_and_markup_look_alikes", reason: LINE_FEED },
    Exception { case: "names::names_at_random", reason: LINE_FEED },
    Exception {
        case: "names::names_that_one_could_take_for_each_other_are_two",
        reason: LINE_FEED,
    },
];

fn main() -> ExitCode {
    if set("KETCH_S3_ENDPOINT").is_none() {
        return ExitCode::SUCCESS;
    }
    let of_server: &[Exception] = match set("KETCH_S3_SERVER").as_deref() {
        Some("seaweedfs") => SEAWEEDFS,
        Some("moto") => MOTO,
        _ => &[],
    };
    let exceptions = [EXCEPTIONS, of_server].concat().leak();
    run_all(&[SuiteConfig { backend: "s3", make: fixture, exceptions }])
}
