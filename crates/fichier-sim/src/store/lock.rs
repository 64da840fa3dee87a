//! One process at a time on a state folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::SimError;

/// Held for as long as the store is open; the system gives it back when the process dies.
#[derive(Debug)]
pub(super) struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock and writes the own pid into it, or says who has it.
    pub(super) fn take(root: &Path) -> Result<Self, SimError> {
        let path = root.join("lock");
        let action = || format!("lock {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(SimError::io(action()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // An unreadable pid is no reason to hide that the folder is taken.
                let pid = match file.read_to_string(&mut pid) {
                    Ok(_) => pid.trim().parse().unwrap_or(0),
                    Err(_) => 0,
                };
                return Err(SimError::InUse { path: root.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => {
                return Err(SimError::Io { action: action(), source });
            }
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(SimError::io(action()))?;
        Ok(Self { _file: file })
    }
}
