//! The two places of a job in a scratch home, made once for a row of the table and copied for each run.
//!
//! The emulator of 1fichier runs in this process, which is quick to start and lets a test wait for a request without
//! asking over the network; its files are beside the home and not in it, so that its own writing is never counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use ketch_fichier_sim::{Sim, SimOptions};
use tokio::runtime::Runtime;

use super::cases::{Case, Files, Side, Tree};
use super::disk::{Disk, Names};
use crate::support::{Home, SANDBOX_KEY, finish, tree};

/// Where the emulators run.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// What a place holds; 1fichier may hold several files of one name.
pub type Stored = BTreeMap<String, Vec<Vec<u8>>>;

/// A case with its files in place.
pub struct World {
    pub case: Case,
    transfers: usize,
    home: Home,
    sim: Option<Sim>,
    sim_state: Home,
    /// Which run of the machine it is.
    boot: Cell<u32>,
}

impl World {
    /// Puts the files where the case wants them.
    pub fn new(case: Case, files: &Files) -> World {
        let mut world = World {
            case,
            transfers: files.transfers,
            home: Home::in_memory(),
            sim: None,
            sim_state: Home::in_memory(),
            boot: Cell::new(0),
        };
        world.start();
        for (name, side, tree) in
            [("source", case.from, &files.source), ("destination", case.to, &files.destination)]
        {
            match side {
                Side::Local => write_tree(&world.home.path(name), tree),
                Side::Fichier => {
                    let scratch = Home::in_memory();
                    write_tree(&scratch.path("up"), tree);
                    let mut command = scratch.command();
                    finish(command.args(["copy", "up", &world.place(name, side)])).expect(0);
                }
            }
        }
        world
    }

    /// The same again, independent of this one.
    pub fn copy(&mut self) -> World {
        self.stop();
        let (home, sim_state) = (Home::in_memory(), Home::in_memory());
        copy_folder(&self.home.path(""), &home.path(""));
        copy_folder(&self.sim_state.path(""), &sim_state.path(""));
        let (case, transfers) = (self.case, self.transfers);
        let boot = Cell::new(0);
        let mut world = World { case, transfers, home, sim: None, sim_state, boot };
        world.start();
        world
    }

    fn start(&mut self) {
        if [self.case.from, self.case.to].contains(&Side::Fichier) {
            let options = SimOptions::new(self.sim_state.path("sim"));
            self.sim = Some(runtime().block_on(Sim::start(options)).unwrap());
        }
    }

    fn stop(&mut self) {
        if let Some(sim) = self.sim.take() {
            runtime().block_on(sim.shutdown());
        }
    }

    /// Cuts the power of the machine, which starts again. See [`Disk::power_cut`].
    pub fn cut_power(&self, disk: Disk, names: Names) -> bool {
        self.boot.set(self.boot.get() + 1);
        disk.power_cut(names)
    }

    /// The emulator, where the case has one.
    pub fn sim(&self) -> Option<&Sim> {
        self.sim.as_ref()
    }

    /// The folder in which changes are counted.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Where a local destination is.
    pub fn local_destination(&self) -> PathBuf {
        self.home.path("destination").canonicalize().unwrap_or_default()
    }

    fn place(&self, name: &str, side: Side) -> String {
        match (side, &self.sim) {
            (Side::Fichier, Some(sim)) => format!(
                ":fichier,api_key={SANDBOX_KEY},api_url=\"{}\",pace=off,pace_scale=1000:{name}",
                sim.api_url()
            ),
            _ => name.to_owned(),
        }
    }

    /// The command of the case.
    pub fn command(&self) -> Command {
        let mut command = self.home.command();
        command.env("KETCH_BOOT", self.boot.get().to_string());
        command.args([self.case.verb.word(), "--transfers", &self.transfers.to_string()]);
        command.arg(self.place("source", self.case.from));
        command.arg(self.place("destination", self.case.to));
        command
    }

    /// What the source holds.
    pub fn source(&self) -> Stored {
        self.stored("source", self.case.from)
    }

    /// What the destination holds, temporary files and all.
    pub fn destination(&self) -> Stored {
        self.stored("destination", self.case.to)
    }

    fn stored(&self, name: &str, side: Side) -> Stored {
        let mut stored = Stored::new();
        match (side, &self.sim) {
            (Side::Fichier, Some(sim)) => {
                for file in sim.stored() {
                    if let Some(path) = file.path.strip_prefix(&format!("{name}/")) {
                        let content = fs::read(&file.content).unwrap();
                        stored.entry(path.to_owned()).or_default().push(content);
                    }
                }
            }
            _ if self.home.path(name).exists() => {
                for (path, content) in tree(&self.home.path(name)) {
                    stored.insert(path.to_string_lossy().into_owned(), vec![content]);
                }
            }
            _ => {}
        }
        stored
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes files of one time long ago.
fn write_tree(folder: &Path, tree: &Tree) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::create_dir_all(folder).unwrap();
    for (path, content) in tree {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
}

/// A copy with all times.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
            continue;
        }
        fs::copy(entry.path(), &target).unwrap();
        let time = entry.metadata().unwrap().modified().unwrap();
        File::options().write(true).open(&target).unwrap().set_modified(time).unwrap();
    }
}
