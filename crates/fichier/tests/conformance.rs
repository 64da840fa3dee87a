//! 1fichier passes the suite of backends, over real HTTP to the emulator.

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_catalog::Catalog;
use ketch_core::factory::ConnectRequest;
use ketch_core::source::BytesSource;
use ketch_core::{Backend, Expect, PutOptions, RelPath};
use ketch_fichier::{Fichier, layered, raw};
use ketch_fichier_sim::{SANDBOX_KEY, Sim, SimOptions};
use ketch_testkit::suite::{Fixture, SuiteConfig, run_all};

fn request(api_url: &str, root: &str) -> ConnectRequest {
    ConnectRequest {
        name: format!("sandbox:{root}"),
        root: root.to_owned(),
        options: [("api_key", SANDBOX_KEY), ("api_url", api_url), ("pace", "off")]
            .into_iter()
            .collect(),
        ..ConnectRequest::default()
    }
}

/// As another process would open it: nothing in memory is shared.
fn alone(api_url: &str, root: &str) -> Arc<dyn Backend> {
    Arc::new(Fichier::alone(&request(api_url, root)).expect("legal options"))
}

async fn fixture(open: fn(ConnectRequest) -> ketch_core::Result<Arc<dyn Backend>>) -> Fixture {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let sim = Sim::start(SimOptions::new(scratch.path())).await.expect("the emulator starts");
    let url = sim.api_url();
    let (reopen_url, afresh_url, duplicate_url) = (url.clone(), url.clone(), url.clone());
    let open_at = move |url: &str, root: &str| open(request(url, root)).expect("legal options");
    let duplicate = move |path: &str, content: &[u8]| {
        let (backend, body) = (alone(&duplicate_url, ""), BytesSource::body(content.to_vec()));
        let path = RelPath::new(path).expect("legal");
        let options = PutOptions { expect: Expect::Absent, ..PutOptions::default() };
        async move { drop(backend.put(&path, body, options).await.expect("stored")) }.boxed()
    };
    Fixture {
        backend: open_at(&url, ""),
        reopen: Box::new(move |folder| open_at(&reopen_url, folder)),
        afresh: Some(Box::new(move |folder| alone(&afresh_url, folder))),
        duplicate: Some(Box::new(duplicate)),
        interrupting: None,
        keep: Box::new((sim, scratch)),
    }
}

fn bare() -> BoxFuture<'static, Fixture> {
    fixture(raw).boxed()
}

fn in_layers() -> BoxFuture<'static, Fixture> {
    fixture(layered).boxed()
}

/// With a catalogue, also around what looks at it as another process would.
fn with_catalog() -> BoxFuture<'static, Fixture> {
    let around = |remote| Arc::new(Catalog::around(remote)) as Arc<dyn Backend>;
    in_layers().map(move |fixture| fixture.behind(around)).boxed()
}

fn main() -> ExitCode {
    let config = |backend, make| SuiteConfig { backend, make, exceptions: &[] };
    run_all(&[
        config("fichier", bare),
        config("fichier-in-layers", in_layers),
        config("fichier-with-catalog", with_catalog),
    ])
}
