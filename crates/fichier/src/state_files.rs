//! Files of the state folder that several processes write: replaced whole, appended line by line, or locked.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Writes a file of the state folder whole, through a new name.
pub(crate) fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = file.with_extension(format!("{:08x}.new", fastrand::u32(..)));
    let written = std::fs::write(&new, content).and_then(|()| std::fs::rename(&new, file));
    if written.is_err() {
        // No other process knows of it; if it cannot be removed either there is nothing more to do.
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// The lock of the record at `path`: a file of its own, because the record is replaced.
pub(crate) fn lock_file(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let lock = path.with_extension("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock)?;
    lock.lock()?;
    Ok(lock)
}

/// Appends a line that ends in a line end. A process that died in the middle of one has left a part of it, which must not
/// take the next one with it.
pub(crate) fn append_line(file: &Path, mut text: Vec<u8>) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(true).read(true).open(file)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        text.insert(0, b'\n');
    }
    // ORDER: one write of one line, so that lines of several processes do not mix.
    file.write_all(&text)
}
