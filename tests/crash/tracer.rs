//! Runs a program under `ptrace`, counts its calls that change files below one folder, and at a chosen one kills it,
//! makes that call fail, or never lets it end.
//!
//! A preloaded library would not see rustix, which calls the kernel itself; `ptrace` sees every thread of every program.
//! Each run has a thread of its own here, because only the thread that traces may ask about what it traces, and because
//! no other thread's children may be waited for by mistake (`__WNOTHREAD`). If that thread dies, what it traces dies with
//! it (`EXITKILL`).
//!
//! A thread that is killed at the entry of a call never makes it: the kernel looks for a deadly signal before it goes on.
//! Other threads are wherever they are, at most in one call each that was already let through.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::{Act, Place, amount, reads, shape};
use super::disk::{Disk, Intent};
use super::registers::{read_call, read_result, write_argument, write_error};
use crate::support::{Run, behind};

/// What is done to the program. Calls are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    Never,
    /// The process dies instead of making this call.
    KillBefore(usize),
    /// The process dies when this call has been made.
    KillAfter(usize),
    /// From this call on, everything that takes room says that the disk is full. Only such calls are counted.
    FullFrom(usize),
    /// This one call says that the disk is broken. Only calls that write, resize or sync are counted.
    BrokenAt(usize),
    /// From this call on, everything says that the file system is read-only.
    ReadOnlyFrom(usize),
    /// No file whose path ends like this can be read.
    Unreadable(&'static str),
    /// Every write takes at most a third of its bytes, and every fifth none, because it was interrupted.
    ShortWrites,
    /// This call never ends. The program gets a SIGINT, and another one as soon as it has said that it is stopping.
    Hang(usize),
}

impl Strike {
    fn counts(self, act: Act) -> bool {
        match self {
            Strike::Never
            | Strike::KillBefore(_)
            | Strike::KillAfter(_)
            | Strike::ReadOnlyFrom(_)
            | Strike::Hang(_) => true,
            Strike::Unreadable(_) => false,
            Strike::ShortWrites => act == Act::Write,
            Strike::FullFrom(_) => act.takes_room(),
            Strike::BrokenAt(_) => matches!(act, Act::Write | Act::Resize | Act::Sync),
        }
    }

    fn error(self, number: usize) -> Option<Errno> {
        match self {
            Strike::FullFrom(from) if number >= from => Some(Errno::ENOSPC),
            Strike::BrokenAt(at) if number == at => Some(Errno::EIO),
            Strike::ReadOnlyFrom(from) if number >= from => Some(Errno::EROFS),
            Strike::ShortWrites if number.is_multiple_of(5) => Some(Errno::EINTR),
            _ => None,
        }
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Traced {
    /// What it said. The exit code is -1 if it was killed.
    pub run: Run,
    /// How many calls were counted.
    pub calls: usize,
    /// The call that was struck.
    pub struck: Option<String>,
    /// Bytes written to each file, by the name it was written under.
    written: BTreeMap<PathBuf, u64>,
    pub disk: Disk,
}

impl Traced {
    /// The bytes that were written to files below `folder`.
    pub fn written_below(&self, folder: &Path) -> u64 {
        let below = self.written.iter().filter(|(path, _)| path.starts_with(folder));
        below.map(|(_, bytes)| bytes).sum()
    }
}

/// Runs `command` to its end, or to its strike. Only files below `home` count.
pub fn run(command: &Command, home: &Path, strike: Strike) -> Traced {
    let home = home.canonicalize().unwrap();
    std::thread::scope(|scope| {
        let tracing = scope.spawn(|| Tracer::start(command, home, strike).follow());
        tracing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What a thread is in the middle of.
#[derive(Debug)]
struct Pending {
    act: Act,
    path: PathBuf,
    /// Where its content can be read.
    reachable: PathBuf,
    intent: Option<Intent>,
    error: Option<Errno>,
    kill: bool,
}

struct Tracer {
    leader: Pid,
    home: PathBuf,
    strike: Strike,
    memory: Option<File>,
    /// Threads that are inside a call.
    inside: HashSet<Pid>,
    /// Threads that were seen at a call before.
    known: HashSet<Pid>,
    output: [File; 2],
    pending: HashMap<Pid, Pending>,
    traced: Traced,
    is_killed: bool,
    /// How many SIGINTs were sent, once a call hangs.
    interrupts: Option<u8>,
}

impl Tracer {
    #[expect(clippy::zombie_processes, reason = "it is waited for by its number, in `follow`")]
    fn start(command: &Command, home: PathBuf, strike: Strike) -> Tracer {
        let output = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        // The shell waits for a line, so that it is traced before it becomes the program.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"read -r _ && exec "$@" </dev/null"#, "sh"]);
        let mut shell = behind(shell, command);
        shell.stdin(Stdio::piped());
        shell.stdout(output[0].try_clone().unwrap()).stderr(output[1].try_clone().unwrap());
        let mut child = shell.spawn().unwrap();
        let leader = Pid::from_raw(child.id().cast_signed());
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        if let Err(errno) = ptrace::seize(leader, options) {
            drop(child.kill());
            drop(child.wait());
            panic!(
                "the crash tests trace the program they kill, and this machine does not let them ({errno}): allow \
                 ptrace (kernel.yama.ptrace_scope at most 1; in a container, --cap-add=SYS_PTRACE)"
            );
        }
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let disk = Disk::new(&home);
        let traced = Traced {
            run: Run { code: -1, stdout: String::new(), stderr: String::new() },
            calls: 0,
            struck: None,
            written: BTreeMap::new(),
            disk,
        };
        let (memory, is_killed, interrupts) = (None, false, None);
        let (inside, known, pending) = Default::default();
        Tracer {
            leader,
            home,
            strike,
            memory,
            inside,
            known,
            output,
            pending,
            traced,
            is_killed,
            interrupts,
        }
    }

    fn follow(mut self) -> Traced {
        let any = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let status = match waitpid(Pid::from_raw(-1), Some(any)) {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(errno) => panic!("waiting for what is traced: {errno}"),
            };
            match status {
                WaitStatus::Exited(thread, code) if thread == self.leader => {
                    self.traced.run.code = code;
                    break;
                }
                WaitStatus::Signaled(thread, signal, _) if thread == self.leader => {
                    let is_ours = self.is_killed && signal == Signal::SIGKILL;
                    assert!(is_ours, "it died of {signal}:\n{}", self.said(1));
                    break;
                }
                WaitStatus::PtraceSyscall(thread) => {
                    let hung = self.interrupts.is_some();
                    if !self.is_killed {
                        self.at_call(thread);
                    }
                    if hung == self.interrupts.is_some() {
                        resume(thread, None);
                    }
                    self.interrupt();
                }
                WaitStatus::PtraceEvent(thread, _, event) => {
                    if event == libc::PTRACE_EVENT_EXEC && self.memory.is_none() {
                        let memory = format!("/proc/{}/mem", self.leader);
                        self.memory = Some(File::open(memory).unwrap());
                    }
                    resume(thread, None);
                }
                WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal)),
                // Another thread ended. Its number may come again.
                WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..) => {
                    self.known.remove(&thread);
                    self.inside.remove(&thread);
                }
                WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
            }
        }
        for (_, pending) in self.pending.drain() {
            if let Some(intent) = pending.intent {
                self.traced.disk.settle(intent);
            }
        }
        self.traced.run.stdout = self.said(0);
        self.traced.run.stderr = self.said(1);
        self.traced
    }

    fn said(&self, which: usize) -> String {
        let mut text = Vec::new();
        let mut file = &self.output[which];
        file.rewind().unwrap();
        file.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// A thread stands at the entry or the exit of a call. A thread that is gone by now is no matter.
    fn at_call(&mut self, thread: Pid) {
        // Entries and exits take turns, so the kernel is asked only about the first stop of each thread.
        let is_entry = if self.known.insert(thread) {
            let Ok(info) = ptrace::syscall_info(thread) else { return };
            info.op == libc::PTRACE_SYSCALL_INFO_ENTRY
        } else {
            !self.inside.contains(&thread)
        };
        if is_entry {
            self.inside.insert(thread);
            self.at_entry(thread);
            return;
        }
        self.inside.remove(&thread);
        if let Some(pending) = self.pending.remove(&thread) {
            self.at_exit(thread, pending);
        }
    }

    fn at_entry(&mut self, thread: Pid) {
        if self.memory.is_none() {
            return; // Still the shell.
        }
        let Ok(raw) = read_call(thread) else { return };
        if self.refuse_to_read(thread, raw.number, &raw.arguments) {
            return;
        }
        let how = |address| self.word(address);
        let Some(shape) = shape(raw.number, &raw.arguments, how) else { return };
        let Some(path) = self.resolve(shape.place, &raw.arguments) else { return };
        let target = shape.target.and_then(|place| self.resolve(place, &raw.arguments));
        let is_ours = |path: &Path| path.starts_with(&self.home) && path != self.home;
        if !is_ours(&path) && !target.as_deref().is_some_and(is_ours) {
            return;
        }
        let act = shape.act;
        let mut error = None;
        let mut kill_after = false;
        if self.strike.counts(act) {
            self.traced.calls += 1;
            let number = self.traced.calls;
            error = self.strike.error(number);
            kill_after = self.strike == Strike::KillAfter(number);
            let kill_before = self.strike == Strike::KillBefore(number);
            if kill_after || kill_before || error.is_some() && self.traced.struck.is_none() {
                let name = path.strip_prefix(&self.home).unwrap_or(&path);
                self.traced.struck = Some(format!("{act:?} of {}", name.display()));
            }
            if kill_before {
                return self.kill();
            }
            if self.strike == Strike::Hang(number) {
                self.traced.struck = Some(format!("{act:?} of {}", path.display()));
                self.interrupts = Some(0);
                return;
            }
            if self.strike == Strike::ShortWrites
                && error.is_none()
                && let Some((index, count)) = amount(raw.number, &raw.arguments)
            {
                write_argument(thread, index, count.div_ceil(3))
                    .expect("a stopped thread takes another argument");
            }
        }
        if error.is_some() {
            // What comes out of it does not matter, as long as it does nothing: the result is written at the exit.
            let place = shape.target.unwrap_or(shape.place);
            let spoiled = match place {
                Place::Descriptor(index) => write_argument(thread, index, u64::MAX),
                Place::Path { path, .. } => write_argument(thread, path, 1),
            };
            spoiled.expect("a stopped thread takes another argument");
        }
        let mut intent = None;
        if error.is_none() {
            match act {
                Act::Write | Act::Resize => {
                    self.traced.disk.touch(&self.reachable(shape.place, &raw.arguments, &path));
                }
                _ => intent = self.traced.disk.intend(act, &path, target.as_deref()),
            }
        }
        let reachable = self.reachable(shape.place, &raw.arguments, &path);
        self.pending
            .insert(thread, Pending { act, path, reachable, intent, error, kill: kill_after });
    }

    /// Where the content of the file at `path` can be read, also while it has no name.
    fn reachable(&self, place: Place, arguments: &[u64; 6], path: &Path) -> PathBuf {
        match place {
            Place::Descriptor(index) if !path.exists() => {
                PathBuf::from(format!("/proc/{}/fd/{}", self.leader, arguments[index] as i32))
            }
            Place::Descriptor(_) | Place::Path { .. } => path.to_owned(),
        }
    }

    fn at_exit(&mut self, thread: Pid, pending: Pending) {
        if let Some(errno) = pending.error {
            write_error(thread, errno).expect("a stopped thread takes another result");
            return;
        }
        let Ok(result) = read_result(thread) else { return };
        if result >= 0 {
            match pending.act {
                Act::Sync => self.traced.disk.sync(&pending.reachable),
                Act::Write => {
                    *self.traced.written.entry(pending.path).or_default() += result.cast_unsigned();
                }
                _ => {}
            }
            if let Some(intent) = pending.intent {
                self.traced.disk.done(intent);
            }
        }
        if pending.kill {
            self.kill();
        }
    }

    /// Sends the SIGINTs that are due while a call hangs.
    fn interrupt(&mut self) {
        let is_due = match self.interrupts {
            Some(0) => true,
            Some(1) => self.said(1).contains("stopping"),
            _ => false,
        };
        if is_due {
            self.interrupts = self.interrupts.map(|count| count + 1);
            kill(self.leader, Signal::SIGINT).expect("what is traced can be signalled");
        }
    }

    /// Makes a call that reads from a file that cannot be read fail. Was it one?
    fn refuse_to_read(&mut self, thread: Pid, number: i64, arguments: &[u64; 6]) -> bool {
        let Strike::Unreadable(end) = self.strike else { return false };
        let Some(index) = reads(number) else { return false };
        let Some(path) = self.resolve(Place::Descriptor(index), arguments) else { return false };
        if !path.starts_with(&self.home) || !path.to_string_lossy().ends_with(end) {
            return false;
        }
        self.traced.calls += 1;
        self.traced.struck.get_or_insert_with(|| format!("read of {}", path.display()));
        write_argument(thread, index, u64::MAX).expect("a stopped thread takes another argument");
        let (act, error) = (Act::Write, Some(Errno::EIO));
        let (reachable, intent) = (path.clone(), None);
        self.pending.insert(thread, Pending { act, path, reachable, intent, error, kill: false });
        true
    }

    fn kill(&mut self) {
        self.is_killed = true;
        kill(self.leader, Signal::SIGKILL).expect("what is traced can be killed");
    }

    /// The path of the file that is meant; `None` for what is no file: sockets, pipes, what is gone.
    fn resolve(&self, place: Place, arguments: &[u64; 6]) -> Option<PathBuf> {
        // The upper half of a register means nothing where a C int is told.
        let descriptor = |index: usize| arguments[index] as i32;
        match place {
            Place::Descriptor(index) => self.link(&format!("fd/{}", descriptor(index))),
            Place::Path { folder, path } => {
                let path = self.text(arguments[path])?;
                if path.is_absolute() {
                    return Some(path);
                }
                let folder = match folder.map(descriptor) {
                    None | Some(libc::AT_FDCWD) => self.link("cwd"),
                    Some(folder) => self.link(&format!("fd/{folder}")),
                };
                Some(folder?.join(path))
            }
        }
    }

    fn link(&self, name: &str) -> Option<PathBuf> {
        let path = fs::read_link(format!("/proc/{}/{name}", self.leader)).ok()?;
        path.is_absolute().then_some(path)
    }

    /// The bytes up to the first zero at an address of the program.
    fn text(&self, address: u64) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let mut bytes = vec![0; 4096];
        let count = self.memory.as_ref()?.read_at(&mut bytes, address).ok()?;
        bytes.truncate(count);
        bytes.truncate(bytes.iter().position(|byte| *byte == 0)?);
        Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }

    fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.memory.as_ref()?.read_exact_at(&mut bytes, address).ok()?;
        Some(u64::from_ne_bytes(bytes))
    }
}

/// On to the next stop. A thread that died meanwhile needs no help.
fn resume(thread: Pid, signal: Option<Signal>) {
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("a traced thread cannot go on: {errno}"),
    }
}
