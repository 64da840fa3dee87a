//! The conformance suite over a real S3 server that is running: `KETCH_S3_ENDPOINT` says where, `KETCH_S3_PROVIDER` what it is
//! called, and `KETCH_S3_KEY` and `KETCH_S3_SECRET` hold a key, if it wants one. `cargo xtask interop` starts such servers.
//! Without an address nothing is run.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::Backend;
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
        let damaged = open(&root);
        let damage = move |path: &str, _harm: Harm| {
            let (_backend, _path) = (Arc::clone(&damaged), path.to_owned());
            // An open upload cannot be changed by other means than by another one of the same part.
            std::future::ready(()).boxed()
        };
        Fixture {
            backend: open(&root),
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

fn main() -> ExitCode {
    if set("KETCH_S3_ENDPOINT").is_none() {
        return ExitCode::SUCCESS;
    }
    run_all(&[SuiteConfig { backend: "s3", make: fixture, exceptions: EXCEPTIONS }])
}
