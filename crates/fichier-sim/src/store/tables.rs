//! The account in memory: files by id, folders by id, and who is inside whom.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::journal::Change;
use super::record::{FileRecord, FolderRecord, Report};
use crate::behind::Behind;

/// How many changes are remembered for listings that lag.
const CHANGES_MAX: usize = 20_000;

/// What was there before a change.
#[derive(Debug)]
enum Past {
    File(String, Option<FileRecord>),
    Folder(u64, Option<FolderRecord>),
}

/// Everything the journal tells, indexed for the calls of the API.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    files: HashMap<String, FileRecord>,
    folders: BTreeMap<u64, FolderRecord>,
    /// Ids are random, so their order says nothing about time or name: the order of a listing is
    /// arbitrary but stable, which is all a client may expect.
    files_in: HashMap<u64, BTreeSet<String>>,
    folders_in: HashMap<u64, BTreeSet<u64>>,
    reports: HashMap<String, Report>,
    /// Unsettled uploads by their time.
    waiting: BTreeSet<(i64, String)>,
    /// All reports by their time.
    reports_by_age: BTreeSet<(i64, String)>,
    /// The last changes, oldest first, and how many there were ever.
    past: VecDeque<(Instant, Past)>,
    changes: u64,
    /// Up to which of them a listing has shown what is there: a later one shows nothing older.
    shown: AtomicU64,
}

impl Tables {
    /// Carries out one change; changes of things that are not there do nothing.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::File(file) => self.put_file(file),
            Change::FileGone(id) => {
                self.remember(Past::File(id.clone(), self.files.get(&id).cloned()));
                drop(self.take_file(&id));
            }
            Change::Folder(folder) => {
                self.remember(Past::Folder(folder.id, self.folders.get(&folder.id).cloned()));
                self.take_folder(folder.id);
                self.folders_in.entry(folder.parent).or_default().insert(folder.id);
                self.folders.insert(folder.id, folder);
            }
            Change::FolderGone(id) => {
                self.remember(Past::Folder(id, self.folders.get(&id).cloned()));
                self.take_folder(id);
            }
            Change::Report(report) => {
                let key = (report.uploaded, report.xid.clone());
                if !report.settled {
                    self.waiting.insert(key.clone());
                }
                self.reports_by_age.insert(key);
                self.reports.insert(report.xid.clone(), report);
            }
            Change::Settled(xid) => {
                let Some(report) = self.reports.get_mut(&xid) else { return };
                report.settled = true;
                let files = report.files.clone();
                self.waiting.remove(&(report.uploaded, xid));
                for file in files {
                    self.put_file(file);
                }
            }
            Change::ReportGone(xid) => {
                if let Some(report) = self.reports.remove(&xid) {
                    let key = (report.uploaded, xid);
                    self.waiting.remove(&key);
                    self.reports_by_age.remove(&key);
                }
            }
        }
    }

    fn remember(&mut self, past: Past) {
        if self.past.len() == CHANGES_MAX {
            self.past.pop_front();
        }
        self.changes += 1;
        self.past.push_back((Instant::now(), past));
    }

    /// What was in a folder a while ago.
    pub(crate) fn as_of(
        &self,
        behind: Behind,
        folder: u64,
    ) -> (Vec<FileRecord>, Vec<FolderRecord>) {
        let since = match behind {
            Behind::Time(behind) => {
                let now = Instant::now();
                let moment = now.checked_sub(behind).unwrap_or(now);
                let newer = self.past.iter().rev().take_while(|(at, _)| *at > moment);
                let since = newer.count();
                self.shown.fetch_max(self.changes - since as u64, Ordering::Relaxed);
                since
            }
            Behind::Changes(behind) => {
                let wanted = self.changes.saturating_sub(behind as u64);
                let shown = self.shown.fetch_max(wanted, Ordering::Relaxed).max(wanted);
                (self.changes - shown) as usize
            }
        };
        let (mut files, mut folders) = (BTreeMap::new(), BTreeMap::new());
        // The change that is nearest to the moment comes last and tells what was then.
        for (_, past) in self.past.iter().rev().take(since) {
            match past {
                Past::File(id, file) => drop(files.insert(id.as_str(), file.as_ref())),
                Past::Folder(id, folder) => drop(folders.insert(*id, folder.as_ref())),
            }
        }
        let now = self.files_in(folder).filter(|file| !files.contains_key(file.id.as_str()));
        let then = files.values().flatten().filter(|file| file.folder == Some(folder));
        let listed = now.chain(then.copied()).cloned().collect();
        let now = self.folders_in(folder).filter(|one| !folders.contains_key(&one.id));
        let then = folders.values().flatten().filter(|one| one.parent == folder);
        (listed, now.chain(then.copied()).cloned().collect())
    }

    fn put_file(&mut self, file: FileRecord) {
        self.remember(Past::File(file.id.clone(), self.files.get(&file.id).cloned()));
        drop(self.take_file(&file.id));
        if let Some(folder) = file.folder {
            self.files_in.entry(folder).or_default().insert(file.id.clone());
        }
        self.files.insert(file.id.clone(), file);
    }

    fn take_file(&mut self, id: &str) -> Option<FileRecord> {
        let file = self.files.remove(id)?;
        if let Some(inside) = file.folder.and_then(|folder| self.files_in.get_mut(&folder)) {
            inside.remove(id);
        }
        Some(file)
    }

    fn take_folder(&mut self, id: u64) {
        if let Some(folder) = self.folders.remove(&id)
            && let Some(inside) = self.folders_in.get_mut(&folder.parent)
        {
            inside.remove(&id);
        }
    }

    /// The changes that rebuild these tables from nothing.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Change> {
        let folders = self.folders.values().cloned().map(Change::Folder);
        let files = self.files.values().cloned().map(Change::File);
        let reports = self.reports.values().cloned().map(Change::Report);
        folders.chain(files).chain(reports)
    }

    /// A visible file.
    pub(crate) fn file(&self, id: &str) -> Option<&FileRecord> {
        self.files.get(id)
    }

    /// A folder other than the root.
    pub(crate) fn folder(&self, id: u64) -> Option<&FolderRecord> {
        self.folders.get(&id)
    }

    /// The folder that was made public under this code.
    pub(crate) fn shared_folder(&self, code: &str) -> Option<&FolderRecord> {
        self.folders.values().find(|folder| folder.shared.as_deref() == Some(code))
    }

    /// Whether this is the root or a folder.
    pub(crate) fn has_folder(&self, id: u64) -> bool {
        id == 0 || self.folders.contains_key(&id)
    }

    /// The files of one folder, in an arbitrary, stable order.
    pub(crate) fn files_in(&self, folder: u64) -> impl Iterator<Item = &FileRecord> {
        self.files_in.get(&folder).into_iter().flatten().filter_map(|id| self.files.get(id))
    }

    /// The files of the account, anonymous ones excluded.
    pub(crate) fn account_files(&self) -> impl Iterator<Item = &FileRecord> {
        self.files.values().filter(|file| file.folder.is_some())
    }

    /// The files of uploads whose report nobody fetched yet.
    pub(crate) fn waiting_files(&self) -> impl Iterator<Item = &FileRecord> {
        let reports = self.waiting.iter().filter_map(|(_, xid)| self.reports.get(xid));
        reports.flat_map(|report| &report.files).filter(|file| file.folder.is_some())
    }

    /// The folders directly inside one.
    pub(crate) fn folders_in(&self, folder: u64) -> impl Iterator<Item = &FolderRecord> {
        self.folders_in.get(&folder).into_iter().flatten().filter_map(|id| self.folders.get(id))
    }

    /// Whether a folder has neither files nor folders in it.
    pub(crate) fn is_empty_folder(&self, id: u64) -> bool {
        self.files_in.get(&id).is_none_or(BTreeSet::is_empty)
            && self.folders_in.get(&id).is_none_or(BTreeSet::is_empty)
    }

    /// Whether `inner` is `outer` or lies anywhere below it.
    pub(crate) fn is_inside(&self, inner: u64, outer: u64) -> bool {
        let mut at = inner;
        // A chain is never longer than the number of folders.
        for _ in 0..=self.folders.len() {
            if at == outer {
                return true;
            }
            match self.folders.get(&at) {
                Some(folder) => at = folder.parent,
                None => return false,
            }
        }
        false
    }

    /// `A/B` for a folder below the root, empty for the root.
    pub(crate) fn path(&self, folder: u64) -> String {
        let mut names = Vec::new();
        let mut at = folder;
        while let Some(record) = self.folders.get(&at) {
            names.push(record.name.as_str());
            at = record.parent;
            if names.len() > self.folders.len() {
                break;
            }
        }
        names.reverse();
        names.join("/")
    }

    /// The folder of a path; empty is the root. Of several of one name it is the first.
    pub(crate) fn folder_at(&self, path: &str) -> Option<u64> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(0, |parent, name| {
            self.folders_in(parent).find(|folder| folder.name == name).map(|folder| folder.id)
        })
    }

    /// The file of a path. Of several of one name it is any.
    pub(crate) fn file_at(&self, path: &str) -> Option<&FileRecord> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.files_in(self.folder_at(above)?).find(|file| file.name == name)
    }

    /// Seven digits nobody has yet.
    pub(crate) fn new_folder_id(&self) -> u64 {
        loop {
            let id = crate::names::random().u64(1_000_000..10_000_000);
            if !self.folders.contains_key(&id) {
                return id;
            }
        }
    }

    /// The report of an upload, while it is kept.
    pub(crate) fn report(&self, xid: &str) -> Option<&Report> {
        self.reports.get(xid)
    }

    /// Whether an unsettled upload owns this file id.
    pub(super) fn is_pending(&self, id: &str) -> bool {
        self.waiting
            .iter()
            .filter_map(|(_, xid)| self.reports.get(xid))
            .any(|report| report.files.iter().any(|file| file.id == id))
    }

    /// The uploads older than a moment whose files are not visible yet.
    pub(super) fn unsettled(&self, until: i64) -> impl Iterator<Item = String> + '_ {
        self.waiting.iter().take_while(move |(at, _)| *at <= until).map(|(_, xid)| xid.clone())
    }

    /// The reports older than a moment.
    pub(super) fn expired_reports(&self, until: i64) -> impl Iterator<Item = String> + '_ {
        let old = self.reports_by_age.iter().take_while(move |(at, _)| *at <= until);
        old.map(|(_, xid)| xid.clone())
    }

    /// How many files and folders there are.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.files.len() as u64, self.folders.len() as u64)
    }
}
