//! The header of a job: what makes two runs the same job, and what is recorded to show the job.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::kind::JobKind;

/// The version of all files of a job. Raised whenever a field gets another meaning; another version is never read.
pub(crate) const FORMAT: u32 = 1;

/// Which folders the two sides of a job were, by [`ketch_core::facets::Root::identity`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// The source.
    pub source: Option<String>,
    /// The destination; `None` also when it was not there yet.
    pub destination: Option<String>,
}

/// What makes two runs the same job, so that one can begin the plan and another can finish it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdentity {
    /// The verb.
    pub kind: JobKind,
    /// Where the files come from: [`ketch_core::About::location`], or a text that is the same in every process.
    pub source_location: String,
    /// Where they go.
    pub destination_location: String,
    /// Everything else that decides what is planned, by [`crate::Settings::identity`].
    pub options: String,
}

/// What is recorded of a job, to show it and to run it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the job's files.
    pub(crate) format: u32,
    /// Its number among all jobs of this machine, by which backends find its parts again.
    pub(crate) number: u32,
    /// What makes two runs the same job.
    pub identity: JobIdentity,
    /// The source as a person reads it, without secrets.
    pub source: String,
    /// The destination as a person reads it, without secrets.
    pub destination: String,
    /// The command line that began it, without secrets; empty when it cannot be run again as it stands.
    pub arguments: Vec<String>,
    /// The working folder of that command line.
    pub folder: Option<PathBuf>,
    /// When it was begun, in seconds since 1970.
    pub created: u64,
    /// From when relative ages counted, in seconds since 1970.
    #[serde(default)]
    pub ages_from: u64,
    /// Which folders both sides were.
    #[serde(default)]
    pub roots: Roots,
    /// During which boot of the machine the last process ran: after a restart records are trusted less.
    pub(crate) boot: Option<String>,
}

impl Header {
    /// The name by which a person calls the job.
    pub fn id(&self) -> String {
        format!("{:08x}", self.number)
    }
}
