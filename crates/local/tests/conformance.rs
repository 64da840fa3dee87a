//! The local disk passes the suite of backends.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::layer::{LimitSettings, RetrySettings, Stack, TimeoutSettings};
use ketch_local::{Fsync, Links, LocalBackend, LocalOptions};
use ketch_testkit::suite::{Fixture, Harm, Interrupting, SuiteConfig, run_all};

fn fixture(options: LocalOptions) -> BoxFuture<'static, Fixture> {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let root: PathBuf = scratch.path().to_owned();
    let damaged = root.clone();
    let damage = move |path: &str, harm| {
        damage_left(&damaged.join(path), harm);
        std::future::ready(()).boxed()
    };
    let fixture = Fixture {
        backend: LocalBackend::open(root.clone(), options.clone()),
        reopen: Box::new(move |folder| LocalBackend::open(root.join(folder), options.clone())),
        afresh: None,
        duplicate: None,
        interrupting: Some(Interrupting { bytes: 40 << 20, damage: Box::new(damage) }),
        keep: Box::new(scratch),
    };
    std::future::ready(fixture).boxed()
}

/// Damages the part of `file`, or the ledger beside it.
fn damage_left(file: &Path, harm: Harm) {
    let end = match harm {
        Harm::Content => ".part",
        Harm::Record => ".ledger",
    };
    let folder = std::fs::read_dir(file.parent().expect("below a folder")).expect("readable");
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    let left = folder.map(|found| found.expect("readable").path());
    let left = left.filter(|path| name(path).ends_with(end)).collect::<Vec<_>>();
    assert_eq!(left.len(), 1, "one part is left: {left:?}");
    let opened = std::fs::File::options().read(true).write(true).open(&left[0]);
    let left = opened.expect("opened");
    match harm {
        Harm::Content => {
            let mut first = [0];
            left.read_exact_at(&mut first, 0).expect("read");
            left.write_all_at(&[first[0] ^ 1], 0).expect("changed");
        }
        Harm::Record => left.set_len(left.metadata().expect("known").len() - 1).expect("cut"),
    }
}

fn skipping_links() -> BoxFuture<'static, Fixture> {
    fixture(LocalOptions::default())
}

fn following_links() -> BoxFuture<'static, Fixture> {
    fixture(LocalOptions { links: Links::Follow, fsync: Fsync::None, ..LocalOptions::default() })
}

fn keeping_links_in_layers() -> BoxFuture<'static, Fixture> {
    let options =
        LocalOptions { links: Links::Keep, fsync: Fsync::None, ..LocalOptions::default() };
    let fixture = fixture(options);
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
        config("local-keeping-links-in-layers", keeping_links_in_layers),
    ])
}
