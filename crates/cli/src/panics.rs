//! What a panic does: it ends the process at once, with a line and a code that is not 0. A task that is gone would leave others
//! waiting for it, with the locks of the job held; what is on record is as safe as after a kill.

use std::io::Write;
use std::panic::PanicHookInfo;

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::redact::redact;
use crate::term::escape;

/// From now on every panic of this process is its end.
pub(crate) fn end_the_process() {
    std::panic::set_hook(Box::new(|info| {
        // If standard error is gone, the exit code still says it.
        let _ = writeln!(std::io::stderr(), "{}", line(info));
        // An image of the memory would hold keys. A system that refuses had none to write, or writes it as it was told to.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        // Where the image goes to a program, that limit counts for nothing.
        #[cfg(target_os = "linux")]
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        std::process::abort();
    }));
}

fn line(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
    let text = format!(
        "ketch: this is a bug in ketch, which ends here: {what}{} (the same command goes on where it was)",
        place.unwrap_or_default()
    );
    let arguments: Vec<_> = std::env::args_os().collect();
    escape(&redact(&text, &arguments)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// Set by the test that runs the other.
    const CALLED: &str = "KETCH_TESTS_PANIC";

    #[test]
    #[ignore = "run by the other one, in a process of its own"]
    fn panic_in_a_task() {
        if std::env::var_os(CALLED).is_none() {
            return; // It would end the other tests.
        }
        end_the_process();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let task = tokio::spawn(async { panic!("a task \u{1b}[2J went wrong") });
            // What waits for what the task would have done.
            let _ = task.await;
            std::future::pending::<()>().await;
        });
    }

    #[test]
    fn a_panic_in_a_task_ends_the_process_with_a_line_and_a_code() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "--nocapture", "panics::tests::panic_in_a_task"]);
        let output = command.env(CALLED, "1").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.signal(), Some(6), "{text}");
        assert!(
            text.contains("this is a bug in ketch") && text.contains("a task \\u{1b}[2J"),
            "{text}"
        );
        assert!(text.contains("panics.rs:"), "{text}");
    }
}
