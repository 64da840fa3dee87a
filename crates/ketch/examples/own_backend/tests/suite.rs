//! The shelf keeps the contract: every case of the suite that its capabilities ask for.

use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_testkit::suite::{Fixture, SuiteConfig, run};
use own_backend::Shelf;

fn make() -> BoxFuture<'static, Fixture> {
    let shelf = Arc::new(Shelf::new("shelf"));
    let again = Arc::clone(&shelf);
    let fixture = Fixture {
        backend: shelf,
        reopen: Box::new(move |folder| Arc::new(again.reopen(folder))),
        afresh: None,
        duplicate: None,
        interrupting: None,
        keep: Box::new(()),
    };
    std::future::ready(fixture).boxed()
}

fn main() -> ExitCode {
    run(SuiteConfig { backend: "shelf", make, exceptions: &[] })
}
