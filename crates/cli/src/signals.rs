//! Signals as the two steps of a stop: the first ends gently, the second at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ketch_engine::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::exit;
use crate::output::{Console, Level};
use crate::problem::{Problem, Result};

/// SIGXFSZ, which has this number on every system that ketch is built for.
const FILE_SIZE: i32 = 25;
/// After this time a SIGTERM or SIGHUP counts as sent twice.
const GRACE: Duration = Duration::from_secs(10);
/// After this time without an end, nothing is waited for any more.
const END: Duration = Duration::from_secs(8);
/// After this time more, the process ends.
const LAST: Duration = Duration::from_secs(2);

/// What signals have asked for so far.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The steps, for a job.
    pub(crate) stop: Stop,
    code: Arc<AtomicU8>,
    expired: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Signals {
    /// Takes signals from now on.
    pub(crate) fn listen(console: &Arc<Console>) -> Result<Self> {
        let sources = Sources::new()
            .map_err(|error| Problem::other(format!("signals cannot be handled: {error}")))?;
        let (stop, expired) = (Stop::new(), CancellationToken::new());
        let code = Arc::new(AtomicU8::new(0));
        let watch =
            watch(sources, Arc::clone(console), stop.clone(), Arc::clone(&code), expired.clone());
        Ok(Signals { stop, code, expired, _task: AbortOnDropHandle::new(tokio::spawn(watch)) })
    }

    /// The exit code of the first signal that came.
    pub(crate) fn code(&self) -> Option<u8> {
        Some(self.code.load(Ordering::Relaxed)).filter(|code| *code != 0)
    }

    /// Ends when a job has been told to stop at once and had its time to do so.
    pub(crate) async fn expired(&self) {
        self.expired.cancelled().await;
    }

    /// Does work that may be dropped at any time; the first signal drops it.
    pub(crate) async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = work => result,
            () = self.stop.stopping() => Err(Problem::signal(self.code().unwrap_or(exit::OTHER))),
        }
    }
}

struct Sources {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
    /// Taken so that it does not end the process: the write that is too large fails with an error, which is told.
    _file_size: Signal,
}

impl Sources {
    fn new() -> io::Result<Self> {
        Ok(Sources {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            // `nohup` means it.
            hang_up: match hang_up_is_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
            _file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    /// The exit code of the next signal.
    async fn next(&mut self) -> u8 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => exit::INTERRUPT,
            _ = self.terminate.recv() => exit::TERMINATE,
            _ = hang_up => exit::HANG_UP,
        }
    }
}

async fn watch(
    mut sources: Sources,
    console: Arc<Console>,
    stop: Stop,
    code: Arc<AtomicU8>,
    expired: CancellationToken,
) {
    let first = sources.next().await;
    code.store(first, Ordering::Relaxed);
    stop.gently.cancel();
    console.tell(
        Level::Normal,
        "stopping: what is running is finished if that takes no longer than 30 seconds, and nothing new is begun (Ctrl-C stops at once)",
    );
    if first == exit::INTERRUPT {
        sources.next().await;
    } else {
        // Whichever comes first: another signal or the end of patience.
        let _ = tokio::time::timeout(GRACE, sources.next()).await;
    }
    stop.now.cancel();
    tokio::time::sleep(END).await;
    expired.cancel();
    tokio::time::sleep(LAST).await;
    leave(first);
}

/// Ends the process when nothing else did: a thread may be kept waiting by a reader of standard output that does not read.
#[expect(clippy::exit, reason = "there is no way left through the functions above")]
fn leave(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

/// Was SIGHUP ignored when this process was started?
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}
