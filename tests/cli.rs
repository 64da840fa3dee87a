//! The `ketch` command as a user meets it: the built binary, its output, its exit codes.
//!
//! Every test has a home of its own and touches no network but loopback.

#[path = "cli/support.rs"]
mod support;

#[path = "cli/archives.rs"]
mod archives;
#[path = "cli/checks.rs"]
mod checks;
#[path = "cli/dedupe.rs"]
mod dedupe;
#[path = "cli/digests.rs"]
mod digests;
#[path = "cli/folders.rs"]
mod folders;
#[path = "cli/jobs.rs"]
mod jobs;
#[path = "cli/manifests.rs"]
mod manifests;
#[path = "cli/names.rs"]
mod names;
#[path = "cli/places.rs"]
mod places;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/records.rs"]
mod records;
#[path = "cli/services.rs"]
mod services;
#[path = "cli/skipped.rs"]
mod skipped;
#[path = "cli/texts.rs"]
mod texts;
