//! Two names of one thing are never taken for two: mounts, links and views of folders, through the built binary.
//!
//! What needs a mount says that it was skipped where none can be made, and takes away what it mounted, whatever happens.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "what is skipped is told")]

mod support;

#[path = "twins/case.rs"]
mod case;
#[path = "twins/chance.rs"]
mod chance;
#[path = "twins/moves.rs"]
mod moves;
#[path = "twins/proofs.rs"]
mod proofs;
#[path = "twins/views.rs"]
mod views;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::Home;

/// Something that is mounted until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `mount ARGUMENTS POINT`, in the folder of `home`. `None`, with a word, where that cannot be done.
    fn new(home: &Home, arguments: &[&str], point: &str) -> Option<Mounted> {
        let place = home.path(point);
        std::fs::create_dir_all(&place).unwrap();
        let mut command = Command::new("mount");
        command.args(arguments).arg(&place).current_dir(home.path(""));
        match command.output() {
            Ok(output) if output.status.success() => Some(Mounted(place)),
            Ok(output) => {
                println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("skipped: mount: {error}");
                None
            }
        }
    }

    /// The folder `r` at `m`, through a file system in user space that has a fault. `None`, with a word, where none can be made.
    fn faulty(home: &Home, fault: &str) -> Option<Mounted> {
        for folder in ["r", "m"] {
            std::fs::create_dir_all(home.path(folder)).unwrap();
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/support/minifuse.py");
        let mut command = Command::new("python3");
        let started =
            command.arg(program).args([home.path("r"), home.path("m")]).arg(fault).output();
        match started {
            Ok(output) if output.status.success() => Some(Mounted(home.path("m"))),
            other => {
                println!("skipped: no file system in user space: {other:?}");
                None
            }
        }
    }

    /// Shows the folder `from` at `point`, too.
    fn bind(home: &Home, from: &str, point: &str) -> Option<Mounted> {
        Mounted::new(home, &["--bind", home.path(from).to_str().unwrap()], point)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for arguments in [&[][..], &["-l"]] {
            let ended = Command::new("umount").args(arguments).arg(&self.0).output();
            if ended.is_ok_and(|output| output.status.success()) {
                return;
            }
        }
    }
}

/// Every file below a folder, with its content.
fn contents(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(current) = waiting.pop() {
        for entry in std::fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::symlink_metadata(&path).unwrap().is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            found.push((name, std::fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}
