//! The backend in memory keeps its own contract: with everything, in the shape of 1fichier, with nothing optional, and behind the layers.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::layer::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use ketch_core::{Backend, Error, ErrorKind, Retry};
use ketch_testkit::suite::{Exception, Fixture, Harm, Interrupting, SuiteConfig, run_all};
use ketch_testkit::{Faulty, KEPT_BYTES, MemoryBackend, SHAPES};

fn fixture(backend: MemoryBackend) -> BoxFuture<'static, Fixture> {
    let backend = Arc::new(backend);
    let (reopened, duplicated) = (Arc::clone(&backend), Arc::clone(&backend));
    let damaged = Arc::clone(&backend);
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
        backend,
        reopen: Box::new(move |folder| Arc::new(reopened.reopen(folder)) as Arc<dyn Backend>),
        afresh: None,
        duplicate: Some(Box::new(duplicate)),
        interrupting: Some(Interrupting { bytes: 3 * KEPT_BYTES, damage: Box::new(damage) }),
        keep: Box::new(()),
    };
    std::future::ready(fixture).boxed()
}

/// A shape by its name.
fn named(name: &str) -> BoxFuture<'static, Fixture> {
    let (_, make) = SHAPES.iter().find(|(known, _)| *known == name).expect("a shape");
    fixture(make())
}

/// All layers, with waits that take no time.
fn stack(raw: Arc<dyn Backend>) -> Arc<dyn Backend> {
    let retry = RetrySettings {
        attempts: 100,
        first_wait: Duration::ZERO,
        longest_wait: Duration::ZERO,
        ..RetrySettings::default()
    };
    Stack::new(raw)
        .timeout(TimeoutSettings::default())
        .limit(LimitSettings { concurrent: Some(4), ..LimitSettings::default() })
        .retry(retry)
        .build()
}

/// Every fifth call or so fails and is worth another attempt; behind the layers nobody sees it.
fn stack_over_faults(raw: Arc<dyn Backend>) -> Arc<dyn Backend> {
    let passing = Error::new(ErrorKind::Unavailable, "reset on purpose").with_retry(Retry::Backoff);
    stack(Arc::new(Faulty::new(raw).fail_randomly(7, 0.2, passing)))
}

const BEHIND_FAULTS: &[Exception] = &[Exception {
    case: "rename::a_folder_replaces_nothing",
    reason: "something is at the target, so after a failed attempt it cannot be told whose it is",
}];

/// One suite for each of these shapes, which are all there are.
macro_rules! suites {
    ($($name:literal),* $(,)?) => {
        vec![$(SuiteConfig { backend: $name, make: || named($name), exceptions: &[] }),*]
    };
}

fn main() -> ExitCode {
    let mut suites = suites![
        "everything",
        "like-fichier",
        "bare",
        "object-store",
        "object-store-one-by-one",
        "file-server",
        "old-file-server",
        "drive",
        "parts-and-all",
        "flat-with-folders",
        "old-store",
        "checksums",
    ];
    assert_eq!(suites.len(), SHAPES.len(), "a shape without a suite");
    let config = |backend, make| SuiteConfig { backend, make, exceptions: &[] };
    suites.extend([
        config("object-store-in-layers", || behind(named("object-store"), stack)),
        config("everything-in-layers", || behind(named("everything"), stack)),
        config("like-fichier-in-layers", || behind(named("like-fichier"), stack)),
        SuiteConfig {
            exceptions: BEHIND_FAULTS,
            ..config("faults-in-layers", || behind(named("everything"), stack_over_faults))
        },
    ]);
    run_all(&suites)
}

fn behind(
    fixture: BoxFuture<'static, Fixture>,
    layers: fn(Arc<dyn Backend>) -> Arc<dyn Backend>,
) -> BoxFuture<'static, Fixture> {
    fixture.map(move |fixture| fixture.behind(layers)).boxed()
}
