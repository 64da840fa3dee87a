//! What every command is given, and what every command gives back.

use std::path::PathBuf;
use std::sync::Arc;

use ketch_core::Hint;
use ketch_engine::Digests;
use ketch_engine::clock::Clocks;
use ketch_engine::journal::Jobs;
use ketch_engine::open_jobs::OpenJobs;
use ketch_engine::state::Marks;
use serde_json::{Value, json};

use crate::args::{CacheArgs, LocalArgs, RecentArgs};
use crate::environment::Environment;
use crate::exit;
use crate::logging::Retries;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result};
use crate::remotes::Remotes;
use crate::signals::Signals;

/// What every command is given.
pub(crate) struct Context {
    /// The way out.
    pub(crate) console: Arc<Console>,
    /// The environment.
    pub(crate) environment: Environment,
    /// Where the configuration is, or would be.
    pub(crate) config_file: Option<PathBuf>,
}

impl Context {
    /// What opens places.
    pub(crate) fn remotes(&self, local: &LocalArgs) -> Remotes {
        self.remotes_told_by(local, true)
    }

    /// Opens places for a person who waits: a listing that another process made in the last minutes is used, unless
    /// `--refresh` asks for a new one. `tells_age`: the age of the listing is shown.
    pub(crate) fn remotes_for_a_look(
        &self,
        local: &LocalArgs,
        recent: &RecentArgs,
        tells_age: bool,
    ) -> Remotes {
        let mut remotes = self.remotes_told_by(local, tells_age);
        remotes.accept_recent(!recent.refresh);
        remotes
    }

    fn remotes_told_by(&self, local: &LocalArgs, tells_age: bool) -> Remotes {
        let observer = Arc::new(Retries { console: Arc::clone(&self.console), tells_age });
        Remotes::new(self.environment.clone(), self.config_file.clone(), local, observer)
    }

    /// The jobs on record; `None` where there is no place for them.
    pub(crate) fn jobs(&self) -> Option<Jobs> {
        Some(Jobs::new(self.environment.state_folder()?, self.environment.boot()))
    }

    /// The same, as a job asks for them.
    pub(crate) fn open_jobs(&self) -> Option<Arc<dyn OpenJobs>> {
        self.jobs().map(|jobs| Arc::new(jobs) as Arc<dyn OpenJobs>)
    }

    /// The same, for commands that make no sense without them.
    pub(crate) fn need_jobs(&self) -> Result<Jobs> {
        self.jobs().ok_or_else(|| {
            Problem::other("there is no place for records of jobs: set HOME or XDG_STATE_HOME")
        })
    }

    /// Takes signals from now on.
    pub(crate) fn signals(&self) -> Result<Signals> {
        Signals::listen(&self.console)
    }

    /// Where digests of local files come from.
    pub(crate) fn digests(&self, args: &CacheArgs) -> Digests {
        match self.environment.digest_cache() {
            Some(path) if !args.no_cache => Digests::remembered(path),
            Some(_) | None => Digests::default(),
        }
    }

    /// Where it is remembered how places store modification times.
    pub(crate) fn clocks(&self, args: &CacheArgs) -> Clocks {
        match self.environment.digest_cache() {
            Some(path) if !args.no_cache => Clocks::remembered(path.with_file_name("times.json")),
            Some(_) | None => Clocks::default(),
        }
    }

    /// Writes down what was learnt about local files, and tells why that was not possible.
    pub(crate) async fn finish_digests(&self, digests: &Digests) {
        let write = digests.clone();
        // A panic in there loses only records that save time.
        let _ = tokio::task::spawn_blocking(move || write.finish()).await;
        self.tell_of_cache(digests);
    }

    /// Tells why the cache was not used.
    pub(crate) fn tell_of_cache(&self, digests: &Digests) {
        if let Some(why) = digests.unusable() {
            self.console.tell(Level::Item, &format!("without the digest cache: {why}"));
        }
    }

    /// The marks of an interrupted run of the same work.
    pub(crate) fn marks(&self, identity: &[&str]) -> Option<Arc<Marks>> {
        let folder = self.environment.state_folder()?.join("marks");
        match Marks::open(&folder, identity) {
            Ok(marks) => Some(Arc::new(marks)),
            Err(error) => {
                let text = format!("after an interruption, this run cannot be continued: {error}");
                self.console.tell(Level::Item, &text);
                None
            }
        }
    }

    /// Warns of keys that were given where others can see them.
    pub(crate) fn warn_of_keys(&self, remotes: &mut Remotes) {
        for text in remotes.take_old_spellings() {
            self.console.tell_notice(&text);
        }
        for place in remotes.take_exposed() {
            self.console.tell_notice(&format!(
                "{place} has a key in it, which other users of this machine can see and the shell may keep \
                 (`ketch remote add` keeps it in a file of yours)"
            ));
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// The exit code.
    pub(crate) code: u8,
    /// More for the last JSON line: an object.
    pub(crate) summary: Value,
}

impl Done {
    /// Everything was done.
    pub(crate) fn ok() -> Self {
        Done { code: exit::OK, summary: json!({}) }
    }

    /// This was done.
    pub(crate) fn with(code: u8, summary: Value) -> Self {
        Done { code, summary }
    }

    /// Tells what ended a command before its end.
    pub(crate) fn problem(problem: &Problem, console: &Console) -> Self {
        match &problem.text {
            Some(text) => console.tell_error(text),
            None => console.tell(Level::Item, "stopped"),
        }
        let hint = problem.hint.map(Hint::as_str);
        Done { code: problem.code, summary: json!({ "error": problem.text, "hint": hint }) }
    }
}
