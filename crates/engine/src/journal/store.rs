//! The folder of all jobs: begins a job, finds the interrupted one to continue, lists jobs, and forgets them.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ketch_core::{Backend, Error, ErrorKind, Hint, Result};
use serde::{Deserialize, Serialize};

use super::header::{FORMAT, Header, JobIdentity, Roots};
use super::lock::TreeLock;
use super::log::{LogReader, failed};
use super::memory::{Left, Memory, write_list};
use super::records::{Files, OutcomeRecord, Records};
use super::resume::Resumed;
use crate::file::{force, force_and_close};
use crate::kind::JobKind;
use crate::open_jobs::OpenJobs;
use crate::outcome::{ItemOutcome, Standing};

/// How many ended jobs are kept; the oldest are removed first.
const ENDED_JOBS: usize = 50;
/// Bytes of ended jobs that are kept.
const ENDED_BYTES: u64 = 512 * 1024 * 1024;

const HEADER: &str = "job.json";
const REPORT: &str = "report.json";
const LOCK: &str = "lock";

/// The jobs of one user on one machine.
#[derive(Debug, Clone)]
pub struct Jobs {
    folder: PathBuf,
    boot: Option<String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `done`, `partial`, `failed`, or `replaced` by a later job on the same destination.
    pub state: String,
    /// Items that were done.
    pub done: u64,
    /// Items that failed.
    pub failed: u64,
    /// The error that ended it, in one line; empty if there was none.
    pub text: String,
    /// The word of what a person can do about the error ([`Hint::as_str`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// A process works on it.
    Running,
    /// It was interrupted and can be continued.
    Open,
    /// It ended.
    Ended(Ended),
}

/// A job as a list shows it.
#[derive(Debug, Clone)]
pub struct JobSummary {
    /// What it is.
    pub header: Header,
    /// Where it is in its life.
    pub state: JobState,
}

/// An interrupted job from which a run takes over what saves work.
#[derive(Debug)]
pub struct Recalled {
    /// Its name.
    pub job: String,
    /// What it has on record.
    pub standing: Standing,
    /// What it left.
    pub(crate) memory: Memory,
}

/// A job that this process works on: its records, and the locks on its trees.
#[derive(Debug)]
pub struct Journal {
    /// What it is.
    pub header: Header,
    /// What earlier processes of this job did; `None` for a new one.
    pub standing: Option<Standing>,
    /// The recorded plan is finished as it is, and no new plan is made.
    pub finishes_plan: bool,
    /// Earlier jobs on the same destination that this job replaces: what they left there is removed first.
    pub(crate) replaced: Vec<OldJob>,
    pub(crate) records: Arc<Records>,
    folder: PathBuf,
    _locks: Vec<TreeLock>,
    _running: File,
}

/// An open job that will not be continued.
#[derive(Debug)]
pub struct OldJob {
    header: Header,
    folder: PathBuf,
    _running: File,
}

impl Jobs {
    /// The jobs in `folder`, which is made when the first one begins. `boot` identifies the boot of the machine; without it
    /// no restart is noticed.
    pub fn new(folder: PathBuf, boot: Option<String>) -> Self {
        Jobs { folder, boot }
    }

    fn jobs_folder(&self) -> PathBuf {
        self.folder.join("jobs")
    }

    /// Begins a job, and takes over what `earlier` says from the open job between the same two places. Locks the
    /// destination, and for a `move` also the source. `begin` has everything that is not decided here.
    ///
    /// Errors: `InvalidInput` when another process works on the place; `Io` and `Quota` when nothing can be written.
    pub fn begin(&self, begin: Begin, earlier: Earlier) -> Result<Journal> {
        let lock_folder = self.folder.join("locks");
        let mut trees = vec![begin.identity.destination_location.as_str()];
        if begin.identity.kind == JobKind::Move {
            trees.push(&begin.identity.source_location);
        }
        let locks = TreeLock::take_all(&lock_folder, &trees)?;
        let mut replaced = Vec::new();
        let mut found = None;
        for (header, folder) in self.open_jobs()? {
            let is_same_place =
                header.identity.destination_location == begin.identity.destination_location;
            if !is_same_place {
                continue;
            }
            refuse_later_format(&header)?;
            // Another process can only be reading it: a process that works on the job would have the lock of the place.
            let running = job_lock_file(&folder)?;
            running.lock().map_err(failed)?;
            if is_taken_over(&header, &begin, earlier) && found.is_none() {
                found = Some((header, folder, running));
            } else {
                replaced.push(OldJob { header, folder, _running: running });
            }
        }
        if let Some((header, folder, running)) = found {
            return self.go_on(begin, earlier, header, folder, running, locks, replaced);
        }
        self.prune()?;
        let (folder, number) = self.new_folder()?;
        let running = lock_job(&folder)?.ok_or_else(busy)?;
        let header = Header {
            format: FORMAT,
            number,
            identity: begin.identity,
            source: begin.source,
            destination: begin.destination,
            arguments: begin.arguments,
            folder: begin.folder,
            created: now(),
            ages_from: begin.ages_from,
            roots: begin.roots,
            boot: self.boot.clone(),
        };
        // ORDER: the names of the lists are on the disk with that of the header, which forces the folder out. Without them
        // a power cut could lose the notes.
        let records = Records::open(&folder, number, Resumed::default(), Memory::default())?;
        let records = Arc::new(records);
        write_whole(&folder, HEADER, &header)?;
        Ok(Journal {
            header,
            standing: None,
            finishes_plan: false,
            replaced,
            records,
            folder,
            _locks: locks,
            _running: running,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the halves of one function")]
    fn go_on(
        &self,
        begin: Begin,
        earlier: Earlier,
        mut header: Header,
        folder: PathBuf,
        running: File,
        locks: Vec<TreeLock>,
        replaced: Vec<OldJob>,
    ) -> Result<Journal> {
        let same_boot = header.boot == self.boot;
        let resumed = Resumed::read(&folder, same_boot)?;
        let standing = standing_of(&resumed);
        header.boot.clone_from(&self.boot);
        let finishes_plan = earlier == Earlier::Finish;
        let records = if finishes_plan {
            write_whole(&folder, HEADER, &header)?;
            Records::open(&folder, header.number, resumed, Memory::before_plan(&folder)?)?
        } else {
            let memory = Memory::keep(&folder, &resumed)?;
            // ORDER: the old plan is removed before the header describes the next one, so that no process finishes a
            // mixture of both.
            let anew = Resumed { folders_length: resumed.folders_length, ..Resumed::default() };
            let records = Records::open(&folder, header.number, anew, memory)?;
            records.sync()?;
            header.identity = begin.identity;
            header.source = begin.source;
            header.destination = begin.destination;
            header.arguments = begin.arguments;
            header.folder = begin.folder;
            header.ages_from = begin.ages_from;
            header.roots = begin.roots;
            write_whole(&folder, HEADER, &header)?;
            records
        };
        Ok(Journal {
            header,
            standing: Some(standing),
            finishes_plan,
            replaced,
            records: Arc::new(records),
            folder,
            _locks: locks,
            _running: running,
        })
    }

    /// The open job from which a run of `identity` would take over, what it recorded, and what it left. Nothing is locked
    /// or changed: for a dry run.
    pub fn recall(&self, identity: &JobIdentity) -> Result<Option<Recalled>> {
        for (header, folder) in self.open_jobs()? {
            let JobIdentity { source_location, destination_location, .. } = &header.identity;
            if *source_location == identity.source_location
                && *destination_location == identity.destination_location
                && header.format <= FORMAT
                // A job that is running is not interrupted.
                && lock_job(&folder)?.is_some()
            {
                let resumed = Resumed::read(&folder, header.boot == self.boot)?;
                let memory = Memory::look(&folder, &resumed)?;
                let (job, standing) = (header.id(), standing_of(&resumed));
                return Ok(Some(Recalled { job, standing, memory }));
            }
        }
        Ok(None)
    }

    /// All jobs, the newest first. A folder that cannot be read as a job is skipped.
    pub fn list(&self) -> Result<Vec<JobSummary>> {
        let mut jobs = Vec::new();
        for folder in self.folders()? {
            let Some(header) = read_json::<Header>(&folder.join(HEADER)) else { continue };
            let state = match read_json::<Ended>(&folder.join(REPORT)) {
                Some(ended) => JobState::Ended(ended),
                None if lock_job(&folder)?.is_none() => JobState::Running,
                None => JobState::Open,
            };
            jobs.push(JobSummary { header, state });
        }
        jobs.sort_by_key(|job| (std::cmp::Reverse(job.header.created), job.header.number));
        Ok(jobs)
    }

    /// The job of that name, or of the only one that begins with it.
    ///
    /// Errors: `NotFound`; `InvalidInput` when several begin with it.
    pub fn find(&self, id: &str) -> Result<JobSummary> {
        let mut found = self.list()?;
        found.retain(|job| job.header.id().starts_with(id));
        match (found.pop(), found.is_empty()) {
            (Some(job), true) if !id.is_empty() => Ok(job),
            (None, _) => Err(Error::new(ErrorKind::NotFound, format!("there is no job {id}"))
                .with_hint(Hint::ListJobs)),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("several jobs begin with `{id}`: give more of its name"),
            )),
        }
    }

    /// What the job has on record.
    pub fn standing(&self, job: &JobSummary) -> Result<Standing> {
        let folder = self.jobs_folder().join(job.header.id());
        Resumed::read(&folder, job.header.boot == self.boot).map(|resumed| standing_of(&resumed))
    }

    /// Hands the last outcome of each item to `tell`.
    pub fn outcomes(&self, job: &JobSummary, mut tell: impl FnMut(ItemOutcome)) -> Result<()> {
        let path = self.jobs_folder().join(job.header.id()).join(Files::OUTCOMES);
        // Read twice, so that only positions are kept and not the records.
        let mut last = std::collections::HashMap::new();
        let mut reader = LogReader::<OutcomeRecord>::open(&path)?;
        let mut place = 0_u64;
        while let Some(record) = reader.next()? {
            match record {
                OutcomeRecord::Item(outcome) => {
                    if let Some(seq) = outcome.seq.filter(|_| !outcome.status.is_final()) {
                        last.insert(seq, place);
                    } else if let Some(seq) = outcome.seq {
                        last.remove(&seq);
                    }
                }
                OutcomeRecord::Cut(first) => last.retain(|seq, _| *seq < first),
            }
            place += 1;
        }
        let mut reader = LogReader::<OutcomeRecord>::open(&path)?;
        let mut place = 0_u64;
        while let Some(record) = reader.next()? {
            if let OutcomeRecord::Item(outcome) = record {
                let is_last = match outcome.seq {
                    Some(seq) if !outcome.status.is_final() => last.get(&seq) == Some(&place),
                    _ => true,
                };
                if is_last {
                    tell(*outcome);
                }
            }
            place += 1;
        }
        Ok(())
    }

    /// Takes an open job, to end it without continuing it.
    ///
    /// Errors: `InvalidInput` when a process works on it.
    pub fn take(&self, job: &JobSummary) -> Result<OldJob> {
        let folder = self.jobs_folder().join(job.header.id());
        let running = lock_job(&folder)?.ok_or_else(busy)?;
        Ok(OldJob { header: job.header.clone(), folder, _running: running })
    }

    /// Open jobs, whether a process works on them or not.
    fn open_jobs(&self) -> Result<Vec<(Header, PathBuf)>> {
        let mut open = Vec::new();
        for folder in self.folders()? {
            if folder.join(REPORT).exists() {
                continue;
            }
            let Some(header) = read_json::<Header>(&folder.join(HEADER)) else { continue };
            open.push((header, folder));
        }
        open.sort_by_key(|(header, _)| std::cmp::Reverse(header.created));
        Ok(open)
    }

    fn folders(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.jobs_folder()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let folders: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
        folders.map_err(failed)
    }

    fn new_folder(&self) -> Result<(PathBuf, u32)> {
        let all = self.jobs_folder();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&all).map_err(failed)?;
        loop {
            let number = fastrand::u32(1..);
            let folder = all.join(format!("{number:08x}"));
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {
                    self.force_names()?;
                    return Ok((folder, number));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Forces the name of a new job to the disk, and those of the folders above it: if a power cut lost the job, no process
    /// would look for its parts.
    fn force_names(&self) -> Result<()> {
        let all = self.jobs_folder();
        for folder in all.ancestors().take(3) {
            File::open(folder).and_then(|folder| force(&folder)).map_err(failed)?;
        }
        Ok(())
    }

    /// Removes the oldest ended jobs, so that all records together stay bounded.
    fn prune(&self) -> Result<()> {
        let mut ended = Vec::new();
        for folder in self.folders()? {
            if let Some(end) = read_json::<Ended>(&folder.join(REPORT)) {
                let size = fs::read_dir(&folder).map_err(failed)?;
                let size = size.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
                ended.push((end.at, size.sum::<u64>(), folder));
            }
        }
        ended.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
        let mut bytes = 0_u64;
        for (index, (_, size, folder)) in ended.into_iter().enumerate() {
            bytes = bytes.saturating_add(size);
            if index >= ENDED_JOBS || bytes > ENDED_BYTES {
                // Another process may be removing jobs, too; what stays is removed the next time.
                let _ = fs::remove_dir_all(folder);
            }
        }
        Ok(())
    }
}

/// What a job is begun with.
#[derive(Debug, Clone)]
pub struct Begin {
    /// What makes two runs the same job.
    pub identity: JobIdentity,
    /// See [`Header::source`].
    pub source: String,
    /// See [`Header::destination`].
    pub destination: String,
    /// See [`Header::arguments`].
    pub arguments: Vec<String>,
    /// See [`Header::folder`].
    pub folder: Option<PathBuf>,
    /// See [`Header::ages_from`].
    pub ages_from: u64,
    /// See [`Header::roots`].
    pub roots: Roots,
}

/// What a job takes over from an interrupted one between the same two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing: its parts are removed.
    Forget,
    /// What saves work, whatever the job was: parts, uploads, files that are known to have arrived. A new plan is made.
    Remember,
    /// Its plan, if it is the same job: the plan is finished as it is.
    Finish,
}

fn is_taken_over(header: &Header, begin: &Begin, earlier: Earlier) -> bool {
    match earlier {
        Earlier::Forget => false,
        Earlier::Remember => header.identity.source_location == begin.identity.source_location,
        Earlier::Finish => header.identity == begin.identity,
    }
}

impl Journal {
    /// The folder of its records, for other files that belong to the job and are removed with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes down how the job ended; it cannot be continued after that.
    pub fn close(&self, ended: &Ended) -> Result<()> {
        self.records.sync()?;
        write_whole(&self.folder, REPORT, ended)
    }
}

impl OldJob {
    /// Removes what the job left at `destination`, and ends the job. If something cannot be removed, everything else is
    /// tried, the first error is returned, and the job stays open.
    pub async fn abandon(&self, destination: &dyn Backend) -> Result<()> {
        write_list(&self.folder, &Resumed::read(&self.folder, true)?)?;
        let mut list = LogReader::<Left>::open(&self.folder.join(Files::LEFT))?;
        let mut first_error = None;
        while let Some(left) = list.next()? {
            let checkpoint = left.checkpoint(self.header.number);
            if let Err(error) = destination.abandon(&left.path, &checkpoint).await {
                first_error.get_or_insert(error);
            }
        }
        match first_error {
            Some(error) => Err(error),
            None => self.end(),
        }
    }

    /// Ends the job without checking what it left.
    pub fn end(&self) -> Result<()> {
        let resumed = Resumed::read(&self.folder, true)?;
        let ended = Ended {
            state: "replaced".to_owned(),
            done: resumed.done,
            failed: 0,
            text: "not continued".to_owned(),
            hint: None,
            at: now(),
        };
        write_whole(&self.folder, REPORT, &ended)
    }

    /// Removes every record of the job.
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).map_err(failed)
    }
}

impl OpenJobs for Jobs {
    fn claims(&self) -> Result<HashSet<u32>> {
        Ok(self.open_jobs()?.into_iter().map(|(header, _)| header.number).collect())
    }
}

fn standing_of(resumed: &Resumed) -> Standing {
    Standing {
        planned: resumed.mark.next,
        is_planned: resumed.is_planned,
        done: resumed.done,
        done_bytes: resumed.done_bytes,
    }
}

fn refuse_later_format(header: &Header) -> Result<()> {
    if header.format <= FORMAT {
        return Ok(());
    }
    let id = header.id();
    let text = format!(
        "the open job {id} on this place was begun by a later version of ketch, and only that one can continue it"
    );
    let error = Error::new(ErrorKind::InvalidInput, text).with_hint(Hint::ForgetJob);
    Err(error.with_operation("resume"))
}

fn job_lock_file(folder: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(folder.join(LOCK)).map_err(failed)
}

/// The lock of a job's folder; `None` when another process has it.
fn lock_job(folder: &Path) -> Result<Option<File>> {
    let file = job_lock_file(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::InvalidInput, "another process works on this job")
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(folder: &Path, name: &str, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::new(ErrorKind::Io, "a record of a job").with_source(error))?;
    let temporary = folder.join(format!("{name}.new"));
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(&text)?;
        force_and_close(file)?;
        fs::rename(&temporary, folder.join(name))?;
        force(&File::open(folder)?)
    };
    write().map_err(failed)
}
