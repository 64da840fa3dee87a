//! Runs a program until the n-th request to the emulator is open, and kills it there. Nothing sleeps: the emulator holds the
//! request, and says so.

use std::process::{Child, Command, Stdio};

use ketch_fichier_sim::{Effect, Fault, Sim, Site};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::world::runtime;

/// Runs `command` and kills it while request `number` is open, which `effect` says how to hold. What was held never gets
/// any further, but for an upload that had left whole, which arrives now. `false`: it ended, well, before there was such a request.
pub fn kill_at_request(command: &mut Command, sim: &Sim, number: u64, effect: Effect) -> bool {
    let arrives = effect == Effect::HoldWhole;
    sim.faults().inject(Fault::nth(number, Site::Anything, effect));
    let mut child: Child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
    let pid = Pid::from_raw(child.id().cast_signed());
    // Seen and not reaped, so that the number cannot belong to anybody else when it is killed.
    let ended = runtime().spawn_blocking(move || {
        // An error means that it was killed and reaped below before this thread came to its turn.
        let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    });
    let is_held = runtime().block_on(async {
        tokio::select! {
            biased;
            () = sim.holds().arrived() => true,
            _ = ended => false,
        }
    });
    if is_held {
        kill(pid, Signal::SIGKILL).expect("a child can be killed");
    }
    let status = child.wait().expect("a child can be waited for");
    sim.faults().clear();
    sim.holds().release(arrives);
    assert!(is_held || status.success(), "request {number} was never made: {status}");
    is_held
}
