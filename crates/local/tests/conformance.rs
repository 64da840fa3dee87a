//! The local disk passes the suite of backends.

use std::path::PathBuf;
use std::process::ExitCode;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::layer::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use ketch_local::{Fsync, Links, LocalBackend, LocalOptions};
use ketch_testkit::suite::{Fixture, SuiteConfig, run_all};

fn fixture(options: LocalOptions) -> BoxFuture<'static, Fixture> {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let root: PathBuf = scratch.path().to_owned();
    let fixture = Fixture {
        backend: LocalBackend::open(root.clone(), options.clone()),
        reopen: Box::new(move |folder| LocalBackend::open(root.join(folder), options.clone())),
        afresh: None,
        duplicate: None,
        keep: Box::new(scratch),
    };
    std::future::ready(fixture).boxed()
}

fn skipping_links() -> BoxFuture<'static, Fixture> {
    fixture(LocalOptions::default())
}

fn following_links() -> BoxFuture<'static, Fixture> {
    fixture(LocalOptions { links: Links::Follow, fsync: Fsync::None, ..LocalOptions::default() })
}

fn in_layers() -> BoxFuture<'static, Fixture> {
    let fixture = fixture(LocalOptions { fsync: Fsync::None, ..LocalOptions::default() });
    let stack = |raw| {
        Stack::new(raw)
            .timeout(TimeoutSettings::default())
            .limit(LimitSettings { concurrent: Some(8), ..LimitSettings::default() })
            .retry(RetrySettings::default())
            .build()
    };
    fixture.map(move |fixture| fixture.behind(stack)).boxed()
}

fn main() -> ExitCode {
    let config = |backend, make| SuiteConfig { backend, make, exceptions: &[] };
    run_all(&[
        config("local", skipping_links),
        config("local-following-links", following_links),
        config("local-in-layers", in_layers),
    ])
}
