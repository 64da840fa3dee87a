//! A copy on a file system that can share blocks between files (btrfs, xfs) takes no room for its content.
//!
//! Makes a small file system of its own in a file and mounts it, which needs the tools and the rights; without them it is
//! told as skipped. Knows the built binary and nothing of the product.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bench::data::Numbers;

/// xfs refuses to be smaller than 300 MiB.
const DISK_BYTES: u64 = 400 << 20;
const FILE_BYTES: usize = 64 << 20;
/// What names, and what else a file system keeps of three files, may take.
const MOST_BYTES: u64 = 16 << 20;

/// What to copy: whole pieces, and a last one that ends within a block.
const FILES: &[(&str, usize)] =
    &[("large", FILE_BYTES), ("odd", FILE_BYTES / 2 + 77), ("small", 5_000)];

/// A file system in a file; it goes away with this.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        // A lazy one ends when nobody is in it any more.
        let _ = quiet(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

/// `Ok(false)`: such a file system cannot be made or mounted here.
pub(crate) fn clones(ketch: &Path, scratch: &Path, kind: &str) -> Result<bool, String> {
    let (image, at) = (scratch.join(format!("{kind}.image")), scratch.join(kind));
    let told = |error: std::io::Error| format!("{}: {error}", at.display());
    fs::create_dir_all(&at).map_err(told)?;
    let file = fs::File::create(&image).map_err(told)?;
    file.set_len(DISK_BYTES).map_err(told)?;
    let made = quiet(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
    let is_mounted = made && quiet(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
    if !is_mounted {
        let what = if made { "mounted" } else { "made" };
        eprintln!("         {kind}: no such file system can be {what} here");
        return Ok(false);
    }
    let disk = Disk(at.clone());
    let (source, copy) = (at.join("source"), at.join("copy"));
    fs::create_dir(&source).map_err(told)?;
    for (number, (name, bytes)) in FILES.iter().enumerate() {
        fs::write(source.join(name), noise(number as u64 + 1, *bytes)).map_err(told)?;
    }
    let before = used(&at)?;
    let mut command = Command::new(ketch);
    command.args(["copy", "--quiet"]).arg(&source).arg(&copy);
    command.env("XDG_STATE_HOME", scratch).env("XDG_CACHE_HOME", scratch);
    let output = command.stdin(Stdio::null()).output().map_err(told)?;
    if !output.status.success() {
        return Err(format!("ketch: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let after = used(&at)?;
    for (name, _) in FILES {
        let read = |folder: &Path| fs::read(folder.join(name)).map_err(told);
        if read(&source)? != read(&copy)? {
            return Err(format!("the copy of {name} has other content"));
        }
    }
    // What is written to the copy is not to be seen in the original.
    let original = fs::read(source.join("large")).map_err(told)?;
    fs::write(copy.join("large"), noise(9, 100_000)).map_err(told)?;
    if fs::read(source.join("large")).map_err(told)? != original {
        return Err("a change of the copy changed the original".to_owned());
    }
    drop(disk);
    let grown = after.saturating_sub(before);
    let all: usize = FILES.iter().map(|(_, bytes)| bytes).sum();
    eprintln!("         {kind}: {grown} bytes of the disk for a copy of {all}");
    match grown < MOST_BYTES {
        true => Ok(true),
        false => Err(format!("the copy of {all} bytes took {grown} bytes of the disk")),
    }
}

/// Bytes of the file system at `at` that are in use, after everything is on it.
fn used(at: &Path) -> Result<u64, String> {
    quiet(Command::new("sync").arg("--file-system").arg(at));
    let output = Command::new("df").args(["--block-size=1", "--output=used"]).arg(at).output();
    let output = output.map_err(|error| format!("df: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.lines().nth(1).unwrap_or_default().trim().parse();
    number.map_err(|_| format!("df said {text}"))
}

/// Bytes that no file system makes smaller.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut made = vec![0; bytes];
    Numbers::new(seed).fill(&mut made);
    made
}

/// Runs it without a word; false when it is not there or fails.
fn quiet(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
