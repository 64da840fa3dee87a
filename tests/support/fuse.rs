//! A pass-through file system with faults, on `/dev/fuse`, for tests: what a disk may do that the disks of this machine do
//! not. Needs root; [`Mount::new`] says `None`, and why, where it cannot be had.

#![allow(unreachable_pub, reason = "shared by several test files")]

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

/// What becomes of a time that is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Times {
    #[default]
    Kept,
    /// `EPERM`.
    Refused,
    /// Nothing, and no error.
    Ignored,
}

/// What is wrong with the file system. Names are those of files, or parts of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Modification times are cut to multiples of so many nanoseconds.
    pub grain: u64,
    /// Times before this second become this one.
    pub earliest: Option<i64>,
    pub times: Times,
    /// A file of this name is listed with a size of 0.
    pub empty_name: Option<&'static str>,
    /// What was written to a file with this in its name is lost, and closing it says so.
    pub close_fails: Option<&'static str>,
    /// `EINVAL` to every `fsync`.
    pub refuses_fsync: bool,
    /// Another number at each look.
    pub loose_numbers: bool,
    /// Reading from this byte on waits until [`Mount::release`].
    pub holds_from: Option<u64>,
}

/// Whether reading goes on.
type Gate = Arc<(Mutex<bool>, Condvar)>;

fn open(gate: &Gate) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

/// A mounted one. It is unmounted when this is dropped.
pub struct Mount {
    pub path: PathBuf,
    gate: Gate,
}

impl Mount {
    /// Shows the folder `root` at the folder `path`; both are made.
    pub fn new(root: PathBuf, path: PathBuf, faults: Faults) -> Option<Mount> {
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&path).unwrap();
        let device = match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
            Ok(device) => device,
            Err(error) => {
                println!("skipped: /dev/fuse cannot be used ({error})");
                return None;
            }
        };
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = CString::new(options).unwrap();
        let flags = MountFlags::empty();
        if let Err(errno) =
            rustix::mount::mount("ketch-test", &path, "fuse", flags, Some(options.as_c_str()))
        {
            println!("skipped: nothing can be mounted here ({errno})");
            return None;
        }
        let gate = Gate::default();
        let server = Server::new(root, faults, Arc::clone(&gate));
        std::thread::spawn(move || server.serve(device));
        Some(Mount { path, gate })
    }

    /// Lets go of what waits.
    pub fn release(&self) {
        open(&self.gate);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        open(&self.gate);
        // A test that failed may still have files open.
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}

type Answer = Result<Vec<u8>, Errno>;

struct Server {
    root: PathBuf,
    faults: Faults,
    paths: HashMap<u64, PathBuf>,
    nodes: HashMap<PathBuf, u64>,
    handles: HashMap<u64, (File, PathBuf, bool)>,
    folders: HashMap<u64, Vec<Vec<u8>>>,
    next: u64,
    gate: Gate,
}

/// The numbers of a request, one after another.
struct Request<'a>(&'a [u8]);

impl Request<'_> {
    fn u32(&mut self) -> u32 {
        let (head, rest) = self.0.split_first_chunk::<4>().unwrap();
        self.0 = rest;
        u32::from_le_bytes(*head)
    }

    fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    fn name(&mut self) -> PathBuf {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let name = PathBuf::from(OsStr::from_bytes(&self.0[..end]));
        self.0 = &self.0[(end + 1).min(self.0.len())..];
        name
    }
}

#[derive(Default)]
struct Reply(Vec<u8>);

impl Reply {
    fn u16s(mut self, numbers: &[u16]) -> Self {
        numbers.iter().for_each(|number| self.0.extend(number.to_le_bytes()));
        self
    }

    fn u32s(mut self, numbers: &[u32]) -> Self {
        numbers.iter().for_each(|number| self.0.extend(number.to_le_bytes()));
        self
    }

    fn u64s(mut self, numbers: &[u64]) -> Self {
        numbers.iter().for_each(|number| self.0.extend(number.to_le_bytes()));
        self
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

impl Server {
    fn new(root: PathBuf, faults: Faults, gate: Gate) -> Self {
        Server {
            root,
            faults,
            paths: HashMap::from([(1, PathBuf::new())]),
            nodes: HashMap::from([(PathBuf::new(), 1)]),
            handles: HashMap::new(),
            folders: HashMap::new(),
            next: 2,
            gate,
        }
    }

    fn serve(mut self, mut device: File) {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let length = match device.read(&mut buffer) {
                Ok(length) => length,
                Err(error) => match errno(error) {
                    Errno::INTR | Errno::NOENT => continue,
                    _ => return, // Unmounted.
                },
            };
            let mut head = Request(&buffer[..40]);
            let (_, operation, unique, node) = (head.u32(), head.u32(), head.u64(), head.u64());
            // FORGET, INTERRUPT and BATCH_FORGET have no answer.
            if matches!(operation, 2 | 36 | 42) {
                continue;
            }
            let answer = self.answer(operation, node, Request(&buffer[40..length]));
            let (body, error) = match answer {
                Ok(body) => (body, 0),
                Err(errno) => (Vec::new(), errno.raw_os_error()),
            };
            let reply = Reply::default()
                .u32s(&[16 + body.len() as u32, (-error).cast_unsigned()])
                .u64s(&[unique]);
            // The one who asked may have gone away.
            let _ = device.write(&[reply.0, body].concat());
        }
    }

    fn real(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn is_named(path: &Path, name: Option<&str>) -> bool {
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        name.is_some_and(|name| own.contains(name))
    }

    fn attributes(&mut self, path: &Path) -> Answer {
        let found = fs::symlink_metadata(self.real(path)).map_err(errno)?;
        let is_exactly = |name: &str| path.file_name().is_some_and(|own| own == name);
        let is_empty = self.faults.empty_name.is_some_and(is_exactly);
        let size = if is_empty { 0 } else { found.size() };
        let inode = match self.faults.loose_numbers && !found.is_dir() {
            true => self.number() + 1_000_000,
            false => found.ino(),
        };
        let grain = i128::from(self.faults.grain.max(1));
        let cut = |seconds: i64, part: i64| {
            let all = i128::from(seconds) * 1_000_000_000 + i128::from(part);
            let all = all - all.rem_euclid(grain);
            let seconds = all.div_euclid(1_000_000_000) as i64;
            match self.faults.earliest {
                Some(earliest) if seconds < earliest => (earliest, 0),
                _ => (seconds, all.rem_euclid(1_000_000_000) as u32),
            }
        };
        let access = cut(found.atime(), found.atime_nsec());
        let change = cut(found.mtime(), found.mtime_nsec());
        let inner = cut(found.ctime(), found.ctime_nsec());
        let times = [access, change, inner];
        let seconds = times.map(|(seconds, _)| seconds.cast_unsigned());
        let parts = times.map(|(_, part)| part);
        Ok(Reply::default()
            .u64s(&[inode, size, size.div_ceil(512)])
            .u64s(&seconds)
            .u32s(&parts)
            .u32s(&[found.mode(), found.nlink() as u32, found.uid(), found.gid(), 0, 4096, 0])
            .0)
    }

    fn entry(&mut self, path: PathBuf) -> Answer {
        let attributes = self.attributes(&path)?;
        let node = match self.nodes.get(&path) {
            Some(node) => *node,
            None => {
                let node = self.number();
                self.nodes.insert(path.clone(), node);
                self.paths.insert(node, path);
                node
            }
        };
        let head = Reply::default().u64s(&[node, 0, 0, 0]).u32s(&[0, 0]);
        Ok([head.0, attributes].concat())
    }

    fn shown(&mut self, path: &Path) -> Answer {
        let head = Reply::default().u64s(&[0]).u32s(&[0, 0]);
        Ok([head.0, self.attributes(path)?].concat())
    }

    fn opened(&mut self, file: File, path: PathBuf, is_written: bool) -> Vec<u8> {
        let handle = self.number();
        self.handles.insert(handle, (file, path, is_written));
        // Past the cache: what is listed with a size of 0 is read all the same.
        Reply::default().u64s(&[handle]).u32s(&[1, 0]).0
    }

    fn file(&self, handle: u64) -> Result<&File, Errno> {
        self.handles.get(&handle).map(|(file, ..)| file).ok_or(Errno::BADF)
    }

    fn answer(&mut self, operation: u32, node: u64, mut request: Request<'_>) -> Answer {
        let path = self.paths.get(&node).cloned().unwrap_or_default();
        let done = |result: std::io::Result<()>| result.map(|()| Vec::new()).map_err(errno);
        match operation {
            // LOOKUP, GETATTR, SETATTR
            1 => self.entry(path.join(request.name())),
            3 => self.shown(&path),
            4 => self.set_attributes(&path, request),
            // READLINK, SYMLINK
            5 => fs::read_link(self.real(&path))
                .map(|target| target.into_os_string().into_vec())
                .map_err(errno),
            6 => {
                let (name, target) = (path.join(request.name()), request.name());
                std::os::unix::fs::symlink(target, self.real(&name)).map_err(errno)?;
                self.entry(name)
            }
            // MKDIR
            9 => {
                let (mode, _) = (request.u32(), request.u32());
                let name = path.join(request.name());
                let real = self.real(&name);
                fs::create_dir(&real).map_err(errno)?;
                fs::set_permissions(&real, PermissionsExt::from_mode(mode & 0o7777))
                    .map_err(errno)?;
                self.entry(name)
            }
            // UNLINK, RMDIR
            10 => done(fs::remove_file(self.real(&path.join(request.name())))),
            11 => done(fs::remove_dir(self.real(&path.join(request.name())))),
            // RENAME, RENAME2
            12 | 45 => self.rename(path, operation == 45, request),
            // OPEN, CREATE
            14 => {
                let flags = request.u32();
                let is_written = flags & 3 != 0;
                let mut options = OpenOptions::new();
                options.read(true).write(is_written).truncate(is_written && flags & 0o1000 != 0);
                let file = options.open(self.real(&path)).map_err(errno)?;
                Ok(self.opened(file, path, is_written))
            }
            35 => {
                let (flags, mode) = (request.u32(), request.u32());
                let _ = request.u64();
                let name = path.join(request.name());
                let mut options = OpenOptions::new();
                options.read(true).write(true);
                match flags & 0o200 != 0 {
                    true => options.create_new(true),
                    false => options.create(true),
                };
                let real = self.real(&name);
                let file = options.open(&real).map_err(errno)?;
                fs::set_permissions(&real, PermissionsExt::from_mode(mode & 0o7777))
                    .map_err(errno)?;
                let entry = self.entry(name.clone())?;
                Ok([entry, self.opened(file, name, true)].concat())
            }
            // READ, WRITE
            15 => {
                let (handle, offset, size) = (request.u64(), request.u64(), request.u32());
                if self.faults.holds_from.is_some_and(|from| offset >= from) {
                    let is_open = self.gate.0.lock().unwrap();
                    drop(self.gate.1.wait_while(is_open, |is_open| !*is_open).unwrap());
                }
                let mut bytes = vec![0; size as usize];
                let got = self.file(handle)?.read_at(&mut bytes, offset).map_err(errno)?;
                bytes.truncate(got);
                Ok(bytes)
            }
            16 => {
                let (handle, offset, size) = (request.u64(), request.u64(), request.u32());
                request.0 = &request.0[20..];
                let bytes = &request.0[..size as usize];
                self.file(handle)?.write_all_at(bytes, offset).map_err(errno)?;
                Ok(Reply::default().u32s(&[size, 0]).0)
            }
            // STATFS
            17 => Ok(Reply::default()
                .u64s(&[1 << 30, 1 << 29, 1 << 29, 1 << 20, 1 << 19])
                .u32s(&[4096, 255, 4096])
                .u32s(&[0; 7])
                .0),
            // RELEASE
            18 => {
                self.handles.remove(&request.u64());
                Ok(Vec::new())
            }
            // FSYNC, FSYNCDIR
            20 | 30 if self.faults.refuses_fsync => Err(Errno::INVAL),
            20 | 30 => Ok(Vec::new()),
            // FLUSH
            25 => match self.handles.get(&request.u64()) {
                Some((file, path, true)) if Server::is_named(path, self.faults.close_fails) => {
                    file.set_len(0).map_err(errno)?;
                    Err(Errno::IO)
                }
                _ => Ok(Vec::new()),
            },
            26 => Ok(Reply::default()
                .u32s(&[7, 31, 65536, 0])
                .u16s(&[12, 10])
                .u32s(&[131_072, 1])
                .u16s(&[32, 0])
                .u32s(&[0; 8])
                .0),
            // OPENDIR, READDIR, RELEASEDIR
            27 => {
                let mut names = vec![b".".to_vec(), b"..".to_vec()];
                for found in fs::read_dir(self.real(&path)).map_err(errno)? {
                    names.push(found.map_err(errno)?.file_name().into_vec());
                }
                let handle = self.number();
                self.folders.insert(handle, names);
                Ok(Reply::default().u64s(&[handle]).u32s(&[0, 0]).0)
            }
            28 => self.read_folder(&path, request),
            29 => {
                self.folders.remove(&request.u64());
                Ok(Vec::new())
            }
            _ => Err(Errno::NOSYS),
        }
    }

    fn read_folder(&mut self, path: &Path, mut request: Request<'_>) -> Answer {
        let (handle, offset, room) = (request.u64(), request.u64(), request.u32());
        let names = self.folders.get(&handle).ok_or(Errno::BADF)?;
        let mut listed = Vec::new();
        for (index, name) in names.iter().enumerate().skip(offset as usize) {
            let real = self.root.join(path).join(OsStr::from_bytes(name));
            let Ok(found) = fs::symlink_metadata(real) else { continue };
            let mut one = Reply::default()
                .u64s(&[found.ino(), index as u64 + 1])
                .u32s(&[name.len() as u32, found.mode() >> 12])
                .0;
            one.extend(name);
            one.resize(one.len().next_multiple_of(8), 0);
            if listed.len() + one.len() > room as usize {
                break;
            }
            listed.extend(one);
        }
        Ok(listed)
    }

    fn rename(&mut self, from: PathBuf, has_flags: bool, mut request: Request<'_>) -> Answer {
        let folder = request.u64();
        let flags = if has_flags { request.u64() as u32 } else { 0 };
        let old = from.join(request.name());
        let new = self.paths.get(&folder).cloned().unwrap_or_default().join(request.name());
        if flags & !1 != 0 {
            return Err(Errno::INVAL);
        }
        if flags & 1 != 0 && self.real(&new).symlink_metadata().is_ok() {
            return Err(Errno::EXIST);
        }
        fs::rename(self.real(&old), self.real(&new)).map_err(errno)?;
        if let Some(node) = self.nodes.remove(&new) {
            self.paths.remove(&node);
        }
        let moved: Vec<_> =
            self.nodes.keys().filter(|path| path.starts_with(&old)).cloned().collect();
        for path in moved {
            let node = self.nodes.remove(&path).unwrap();
            let rest = path.strip_prefix(&old).unwrap();
            let now = if rest.as_os_str().is_empty() { new.clone() } else { new.join(rest) };
            self.nodes.insert(now.clone(), node);
            self.paths.insert(node, now);
        }
        Ok(Vec::new())
    }

    fn set_attributes(&mut self, path: &Path, mut request: Request<'_>) -> Answer {
        let (valid, _, _, size, _) =
            (request.u32(), request.u32(), request.u64(), request.u64(), request.u64());
        let (access, change, _) = (request.u64(), request.u64(), request.u64());
        let (access_part, change_part, _) = (request.u32(), request.u32(), request.u32());
        let mode = request.u32();
        let real = self.real(path);
        if valid & 1 != 0 {
            fs::set_permissions(&real, PermissionsExt::from_mode(mode & 0o7777)).map_err(errno)?;
        }
        if valid & 8 != 0 {
            let file = OpenOptions::new().write(true).open(&real).map_err(errno)?;
            file.set_len(size).map_err(errno)?;
        }
        if valid & 0x30 != 0 {
            let is_now = valid & 0x180 != 0;
            let one = |set: u32, now: u32, seconds: u64, part: u32| Timespec {
                tv_sec: seconds.cast_signed(),
                tv_nsec: match (valid & set != 0, valid & now != 0) {
                    (false, _) => UTIME_OMIT,
                    (true, true) => UTIME_NOW,
                    (true, false) => part.into(),
                },
            };
            let times = Timestamps {
                last_access: one(0x10, 0x80, access, access_part),
                last_modification: one(0x20, 0x100, change, change_part),
            };
            match self.faults.times {
                Times::Refused if !is_now => return Err(Errno::PERM),
                Times::Ignored => {}
                Times::Kept | Times::Refused => {
                    rustix::fs::utimensat(CWD, &real, &times, AtFlags::SYMLINK_NOFOLLOW)?;
                }
            }
        }
        self.shown(path)
    }
}
