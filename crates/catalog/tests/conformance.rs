//! A catalogue around the backend in memory, in the shape of 1fichier, keeps the contract.

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_catalog::Catalog;
use ketch_core::Backend;
use ketch_testkit::MemoryBackend;
use ketch_testkit::suite::{Fixture, SuiteConfig, run_all};

fn fixture() -> BoxFuture<'static, Fixture> {
    let backend = MemoryBackend::with("memory", MemoryBackend::like_fichier()).without_versions();
    let backend = Arc::new(backend);
    let (reopened, duplicated) = (Arc::clone(&backend), Arc::clone(&backend));
    let duplicate = move |path: &str, content: &[u8]| {
        duplicated.insert_duplicate(path, content);
        std::future::ready(()).boxed()
    };
    let fixture = Fixture {
        backend,
        reopen: Box::new(move |folder| Arc::new(reopened.reopen(folder)) as Arc<dyn Backend>),
        afresh: None,
        duplicate: Some(Box::new(duplicate)),
        interrupting: None,
        keep: Box::new(()),
    };
    let wrapped = fixture.behind(|raw| Arc::new(Catalog::around(raw)) as Arc<dyn Backend>);
    std::future::ready(wrapped).boxed()
}

fn main() -> ExitCode {
    run_all(&[SuiteConfig { backend: "catalog", make: fixture, exceptions: &[] }])
}
