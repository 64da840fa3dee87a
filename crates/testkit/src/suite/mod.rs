//! The conformance suite: what every backend must do, as cases that any backend can be run through.
//!
//! A backend calls [`run`] from a test binary without harness. The trials are made from its capabilities: a case that
//! tests something that is not claimed shows as ignored with the reason, a claimed capability is always exercised, and
//! a capability that is not claimed must be refused with `Unsupported`. What a backend cannot keep by its nature is an
//! [`Exception`], a row of data with a reason; no case knows which backend it runs on.
//!
//! Every trial has a fresh fixture and a runtime of its own. Random choices come from one seed, which a failure tells
//! and `KETCH_SUITE_SEED` sets.

mod bodies;
mod cancel;
mod case;
mod concurrent;
mod context;
mod copy;
mod delete;
mod dirs;
mod errors;
mod hashes;
mod inspect;
mod links;
mod list;
mod mtime;
mod names;
mod parts;
mod put;
mod read;
mod rename;
mod resume;
mod stat;

use std::any::Any;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ketch_core::{Backend, Capabilities};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use self::case::Case;
use self::context::Context;

/// Longer than any case takes on a slow machine. A backend that hangs fails instead of stopping the run.
const CASE_TIME_MAX: Duration = Duration::from_secs(120);
/// The seed when none is set.
const SEED: u64 = 0x6b65_7463_6831;

/// A backend and how the suite is to run it.
#[derive(Debug, Clone, Copy)]
pub struct SuiteConfig {
    /// What the trials are called after.
    pub backend: &'static str,
    /// Makes an empty place. Called in the runtime of the trial.
    pub make: fn() -> BoxFuture<'static, Fixture>,
    /// What this backend cannot keep, with the reasons.
    pub exceptions: &'static [Exception],
}

/// A case that does not apply to a backend although its capabilities say so.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    /// Topic and name: `names::a_name_as_long_as_claimed`.
    pub case: &'static str,
    /// Why the backend cannot keep it.
    pub reason: &'static str,
}

/// Opens the same place at one of its folders.
pub type Reopen = Box<dyn Fn(&str) -> Arc<dyn Backend> + Send + Sync>;
/// Stores a file beside one of the same name, by other means than the backend.
pub type Duplicate = Box<dyn Fn(&str, &[u8]) -> BoxFuture<'static, ()> + Send + Sync>;

/// Changes what an interrupted `put` to a path left behind, by other means than the backend.
pub type Damage = Box<dyn Fn(&str, Harm) -> BoxFuture<'static, ()> + Send + Sync>;

/// What is done to what an interrupted `put` left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The first byte of the content is changed.
    Content,
    /// What is written down about it ends early.
    Record,
}

/// How interrupted puts are made on a backend that claims to keep something of them.
pub struct Interrupting {
    /// Bytes of a body after which an interruption keeps some of them.
    pub bytes: usize,
    /// What a disk can do to what is kept.
    pub damage: Damage,
}

/// An empty place for one trial.
pub struct Fixture {
    /// The backend, opened at a root that exists and is empty.
    pub backend: Arc<dyn Backend>,
    /// Opens the same root, or a folder below it that need not exist, as a second remote of the same process.
    pub reopen: Reopen,
    /// Opens the same root, or a folder below it, as another process would, with nothing remembered. The suite only looks
    /// through it. `None`: that is no different from `reopen`.
    pub afresh: Option<Reopen>,
    /// For backends that claim duplicates.
    pub duplicate: Option<Duplicate>,
    /// For backends that claim to resume.
    pub interrupting: Option<Interrupting>,
    /// What must live as long as the trial: scratch folders, servers.
    pub keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// The same place behind something that keeps names and bytes, such as a stack of layers.
    pub fn behind(self, wrap: fn(Arc<dyn Backend>) -> Arc<dyn Backend>) -> Fixture {
        let wrapped = |open: Reopen| -> Reopen { Box::new(move |folder| wrap(open(folder))) };
        Fixture {
            backend: wrap(self.backend),
            reopen: wrapped(self.reopen),
            afresh: self.afresh.map(wrapped),
            ..self
        }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// All cases, topic by topic.
fn cases() -> impl Iterator<Item = &'static Case> {
    let topics = [
        stat::CASES,
        list::CASES,
        read::CASES,
        put::CASES,
        delete::CASES,
        dirs::CASES,
        copy::CASES,
        rename::CASES,
        resume::CASES,
        parts::CASES,
        mtime::CASES,
        hashes::CASES,
        inspect::CASES,
        links::CASES,
        names::CASES,
        errors::CASES,
        cancel::CASES,
        concurrent::CASES,
    ];
    topics.into_iter().flatten()
}

/// Runs the suite on one backend, as the `main` of a test binary.
pub fn run(config: SuiteConfig) -> ExitCode {
    run_all(&[config])
}

/// Runs the suite on several backends.
pub fn run_all(configs: &[SuiteConfig]) -> ExitCode {
    let arguments = Arguments::from_args();
    let seed = match std::env::var("KETCH_SUITE_SEED") {
        Ok(text) => text.parse().expect("KETCH_SUITE_SEED is a number"),
        Err(_) => SEED, // Not set.
    };
    let trials = configs.iter().flat_map(|config| trials(*config, seed)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The cases that fail on a backend, for tests of the suite itself.
pub fn failures(config: SuiteConfig) -> Vec<String> {
    let claimed =
        runtime().block_on(async { (config.make)().await.backend.capabilities().clone() });
    let applying = cases().filter(|case| (case.needs)(&claimed).is_none());
    applying
        .filter(|case| run_case(config, case, SEED).is_err())
        .map(|case| case.full_name())
        .collect()
}

fn trials(config: SuiteConfig, seed: u64) -> Vec<Trial> {
    for exception in config.exceptions {
        let is_known = cases().any(|case| case.full_name() == exception.case);
        assert!(is_known, "there is no case {:?} to be excepted from", exception.case);
    }
    let (capabilities, has_duplicate, has_interrupting) = runtime().block_on(async {
        let fixture = (config.make)().await;
        let capabilities = fixture.backend.capabilities().clone();
        (capabilities, fixture.duplicate.is_some(), fixture.interrupting.is_some())
    });
    let missing = capabilities.duplicates && !has_duplicate;
    assert!(!missing, "{} claims duplicates and its fixture cannot make one", config.backend);
    let resumes = capabilities.put_resume || capabilities.put_parts.is_some();
    let missing = resumes && !has_interrupting;
    assert!(!missing, "{} claims to resume and its fixture cannot interrupt", config.backend);
    cases().map(|case| trial(config, case, &capabilities, seed)).collect()
}

fn trial(config: SuiteConfig, case: &'static Case, claimed: &Capabilities, seed: u64) -> Trial {
    let name = format!("{}::{}", config.backend, case.full_name());
    let exception = config.exceptions.iter().find(|exception| exception.case == case.full_name());
    let unclaimed = (case.needs)(claimed).map(|needed| format!("not claimed: {needed}"));
    let skip = unclaimed.or(exception.map(|exception| format!("exception: {}", exception.reason)));
    Trial::ignorable_test(name, move || match skip {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => run_case(config, case, seed).map(|skipped| match skipped {
            Some(reason) => Completion::ignored_with(reason),
            None => Completion::Completed,
        }),
    })
}

/// Runs a case; a reason comes back when it turned out not to apply.
fn run_case(
    config: SuiteConfig,
    case: &'static Case,
    seed: u64,
) -> Result<Option<&'static str>, Failed> {
    let work = async {
        let context = Context::new((config.make)().await, seed);
        (case.run)(&context).await;
        context.backend().finish().await.expect("the backend closes");
        context.skipped()
    };
    // Inside the runtime, so that what the trial holds is dropped there too.
    let guarded = async move {
        let limited = tokio::time::timeout(CASE_TIME_MAX, work);
        std::panic::AssertUnwindSafe(limited).catch_unwind().await
    };
    match runtime().block_on(guarded) {
        Ok(Ok(skipped)) => Ok(skipped),
        Ok(Err(_)) => Err(format!("not done after {CASE_TIME_MAX:?} (seed {seed})").into()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Err(format!("{text} (seed {seed})").into())
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}
