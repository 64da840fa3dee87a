//! The manifest that a `copy`, `sync` or `move` writes: what the destination holds, with the digests that were computed
//! while the bytes passed.
//!
//! What the job stored is not read again. Everything else that the destination holds (and that takes part) is in the
//! manifest as `manifest create` would write it: by the digest cache, or read. A job that ends otherwise than well leaves no
//! manifest, and an older one as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ketch_core::Backend;
use ketch_engine::filter::Filter;
use ketch_engine::journal::Journal;
use ketch_engine::prove::ProveSettings;
use ketch_engine::{Digests, JobKind, Report};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::job::OpenJob;
use super::manifest::ManifestFile;
use crate::context::Context;
use crate::exit;
use crate::manifest_file::names_within;
use crate::output::Level;
use crate::problem::{Problem, Result, about_file};
use crate::signals::Signals;
use crate::values::is_dash;

/// The digests of the job are stored beside its records under this name, so that a process that continues the job has them
/// too.
const FACTS: &str = "facts.redb";

/// A manifest that is asked for.
pub(super) struct Archive<'a> {
    path: &'a Path,
    destination: Arc<dyn Backend>,
    shown: String,
    settings: ProveSettings,
}

/// One whose job is running.
pub(super) struct Begun<'a> {
    archive: Archive<'a>,
    facts: PathBuf,
    /// Where the facts are of a job without records.
    _folder: Option<TempDir>,
}

impl<'a> Archive<'a> {
    /// Makes sure that it can be written, before anything is done.
    pub(super) fn open(context: &Context, path: &'a Path, job: &OpenJob<'_>) -> Result<Self> {
        if is_dash(path) {
            return Err(Problem::usage("--manifest is a file: standard output has the answers"));
        }
        let folder = job.destination_folder.as_deref();
        if let Some(folder) = folder {
            make_folder_within(path, folder).map_err(|error| about_file(path, &error))?;
        }
        let except = names_within(path, folder);
        let filter: &Arc<Filter> = &job.settings.filter;
        let is_synced = |name: &ketch_core::RelPath| filter.admits_file(name.as_str(), None, None);
        if job.kind == JobKind::Sync && except.first().is_some_and(is_synced) {
            return Err(Problem::usage(format!(
                "{} is in the destination, where a sync deletes what the source does not have: put the manifest \
                 elsewhere, or leave it out (--exclude)",
                path.display()
            )));
        }
        // Only to see that it can be written: what is unfinished in the destination would be extra to a sync.
        drop(ManifestFile::open(context, path, None)?);
        Ok(Archive {
            path,
            destination: Arc::clone(&job.destination),
            shown: job.shown.1.clone(),
            settings: ProveSettings {
                filter: Arc::clone(filter),
                checkers: job.settings.checkers,
                except,
                ..ProveSettings::default()
            },
        })
    }

    /// The job is on record.
    pub(super) fn begin(self, journal: Option<&Journal>) -> Result<Begun<'a>> {
        let folder = match journal {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(|error| {
                Problem::other(format!("{}: {error}", std::env::temp_dir().display()))
            })?),
        };
        let own = folder.as_ref().map(TempDir::path);
        let facts = journal.map(Journal::folder).or(own).unwrap_or(self.path).join(FACTS);
        Ok(Begun { archive: self, facts, _folder: folder })
    }
}

/// The destination may be a folder that the job is going to make; a manifest in it needs it before.
fn make_folder_within(path: &Path, destination: &Path) -> std::io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let Some(parent) = absolute.parent().filter(|parent| !parent.exists()) else { return Ok(()) };
    let is_within = ketch_local::canonical(&parent.to_string_lossy()).starts_with(destination);
    if is_within { std::fs::create_dir_all(parent) } else { Ok(()) }
}

impl Begun<'_> {
    /// The digests of the job, which are kept for the manifest.
    pub(super) fn digests(&self, digests: &Digests) -> Digests {
        digests.keeping(self.facts.clone())
    }

    /// Writes the manifest, if the job ended well. Returns the exit code, and what the summary says about it.
    pub(super) async fn end(
        self,
        context: &Context,
        signals: &Signals,
        digests: &Digests,
        report: &Report,
        code: u8,
    ) -> Result<(u8, Value)> {
        let Archive { path, destination, shown, settings } = self.archive;
        let settings = ProveSettings { digests: digests.clone(), ..settings };
        let written = match code {
            exit::OK => {
                let file = ManifestFile::open(context, path, None)?;
                let written = file.write(context, signals, &destination, &settings, None, shown);
                written.await.map(Some)
            }
            _ => {
                let text = format!(
                    "no manifest was written to {}, because not everything was done",
                    path.display()
                );
                context.console.tell(Level::Normal, &text);
                Ok(None)
            }
        };
        context.finish_digests(digests).await;
        if !report.is_open {
            // If it stays, it goes with the records of the job.
            let _ = std::fs::remove_file(&self.facts);
        }
        Ok(match written? {
            Some(written) => {
                let (root, counts) = (written.totals.root.clone(), written.counts());
                (code, json!({ "root": root, "counts": counts }))
            }
            None => (code, Value::Null),
        })
    }
}
