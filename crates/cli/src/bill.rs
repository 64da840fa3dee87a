//! What a plan costs at a remote, in words.

use ketch_core::bill::Bill;

/// What a plan costs at a remote, in one line.
pub(crate) fn bill_line(remote: &str, bill: &Bill) -> String {
    let kinds: Vec<_> = bill.calls.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let (total, kinds) = (bill.total(), kinds.join(", "));
    let calls = if total == 1 { "call" } else { "calls" };
    let time = match bill.time.as_secs() {
        0 => String::new(),
        seconds => format!("; its limits make that {seconds} s at least"),
    };
    format!("{remote} needs about {total} {calls} ({kinds}){time}")
}
