//! The conformance suite over the emulator of S3, in the configurations in which the client does different things: a service with
//! checksums and conditions, folders that are kept as objects, and a service that knows neither.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::Backend;
use ketch_core::factory::ConnectRequest;
use ketch_s3::raw;
use ketch_s3_sim::{KEY, Rules, SECRET, Sim};
use ketch_testkit::suite::{Exception, Fixture, Harm, Interrupting, SuiteConfig, run_all};

/// A service that has everything that AWS has.
static WHOLE: LazyLock<Arc<Sim>> =
    LazyLock::new(|| Arc::new(Sim::start(Rules::default()).unwrap()));
/// A service that ignores checksums, and answers a few keys at a time.
static PLAIN: LazyLock<Arc<Sim>> = LazyLock::new(|| {
    let rules = Rules { crc64: false, page: 3 };
    Arc::new(Sim::start(rules).unwrap())
});

fn open(sim: &Sim, options: &[(&str, &str)], root: &str) -> Arc<dyn Backend> {
    let address = sim.address();
    let all = [
        ("endpoint", address.as_str()),
        ("force_path_style", "true"),
        ("chunk_size", "5"),
        ("access_key_id", KEY),
        ("secret_access_key", SECRET),
    ];
    let request = ConnectRequest {
        name: format!("s3:{root}"),
        root: root.to_owned(),
        options: all.iter().chain(options).copied().collect(),
        ..ConnectRequest::default()
    };
    raw(request).unwrap()
}

fn fixture(sim: &Arc<Sim>, options: &'static [(&'static str, &'static str)]) -> Fixture {
    let bucket = format!("suite-{:016x}", fastrand::u64(..));
    sim.make_bucket(&bucket);
    let (damaged, at) = ((Arc::clone(sim), bucket.clone()), (Arc::clone(sim), bucket.clone()));
    let damage = move |path: &str, harm: Harm| {
        let (sim, bucket) = &damaged;
        match harm {
            Harm::Content => sim.damage_parts(bucket, path),
            Harm::Record => sim.forget_uploads(bucket, path),
        }
        std::future::ready(()).boxed()
    };
    Fixture {
        backend: open(sim, options, &bucket),
        reopen: Box::new(move |folder| {
            let (sim, bucket) = &at;
            match folder.is_empty() {
                true => open(sim, options, bucket),
                false => open(sim, options, &format!("{bucket}/{folder}")),
            }
        }),
        afresh: None,
        duplicate: None,
        interrupting: Some(Interrupting { bytes: 20 << 20, damage: Box::new(damage) }),
        keep: Box::new(()),
    }
}

fn whole() -> BoxFuture<'static, Fixture> {
    std::future::ready(fixture(&WHOLE, &[("provider", "AWS")])).boxed()
}

fn with_folders() -> BoxFuture<'static, Fixture> {
    let options = &[("provider", "AWS"), ("directory_markers", "true")];
    std::future::ready(fixture(&WHOLE, options)).boxed()
}

fn plain() -> BoxFuture<'static, Fixture> {
    std::future::ready(fixture(&PLAIN, &[("provider", "Other")])).boxed()
}

const SIDE_BY_SIDE: &str =
    "a key says nothing of folders: an object and what lies below its name are side by side";

const OF_EVERY: [Exception; 7] = [
    Exception { case: "put::a_folder_is_not_replaced_by_a_file", reason: SIDE_BY_SIDE },
    Exception {
        case: "put::a_folder_that_was_not_seen_is_not_replaced_by_a_file",
        reason: SIDE_BY_SIDE,
    },
    Exception { case: "put::a_file_is_not_replaced_by_a_folder", reason: SIDE_BY_SIDE },
    Exception { case: "copy::a_folder_is_not_replaced_by_a_copy", reason: SIDE_BY_SIDE },
    Exception { case: "dirs::a_file_is_not_replaced_by_a_folder", reason: SIDE_BY_SIDE },
    Exception {
        case: "parts::another_version_of_the_source_begins_anew",
        reason: "an open upload that no note speaks of may be another machine's",
    },
    Exception {
        case: "names::a_name_as_long_as_claimed",
        reason: "the service bounds the whole key: a name of that length stands only at the top of a bucket",
    },
];

const UNCONDITIONAL: [Exception; 1] = [Exception {
    case: "delete::a_file_that_was_replaced_is_not_deleted",
    reason: "of a provider that is not known no condition of a deletion is expected, so none is sent",
}];

fn main() -> ExitCode {
    let suite = |backend, make, exceptions| SuiteConfig { backend, make, exceptions };
    let of_plain: &'static [Exception] =
        Vec::leak(OF_EVERY.into_iter().chain(UNCONDITIONAL).collect());
    run_all(&[
        suite("s3", whole, &OF_EVERY),
        suite("s3-with-folders", with_folders, &OF_EVERY),
        suite("s3-without-checksums", plain, of_plain),
    ])
}
