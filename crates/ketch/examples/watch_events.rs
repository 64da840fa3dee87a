//! Prints each item of a sync when it is done, and stops after the first failure: `watch_events FROM TO`.

#![allow(clippy::print_stdout, reason = "an example")]

use ketch::{Event, Settings, Stop};

#[tokio::main]
async fn main() -> Result<(), ketch::Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        println!("usage: watch_events FROM TO");
        return Ok(());
    };
    let stop = Stop::new();
    let stopping = stop.clone();
    let tell = move |event: &Event| match event {
        Event::Planned { items, bytes, .. } => println!("{items} items, {bytes} bytes"),
        Event::ItemDone { path, outcome, .. } => println!("{} {path}", outcome.as_str()),
        Event::ItemFailed { failure, .. } => {
            println!("failed {}: {}", failure.path, failure.message);
            // Running items finish, and nothing new begins.
            stopping.gently.cancel();
        }
        _ => {}
    };
    let job = ketch::sync(ketch::local(from)?, ketch::local(to)?);
    let settings = Settings { transfers: Some(4), ..Settings::default() };
    let report = job.settings(settings).stop(stop).on_event(tell).run().await?;
    println!("{} done, {} failed", report.done, report.failed);
    Ok(())
}
