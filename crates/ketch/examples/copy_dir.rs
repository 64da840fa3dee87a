//! Copies a folder and shows how far it is: `copy_dir FROM TO`.

#![allow(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), ketch::Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        println!("usage: copy_dir FROM TO");
        return Ok(());
    };
    let show = |progress: ketch::Progress| {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let now = progress.snapshot();
                println!("{} of {} bytes", now.done_bytes, now.planned_bytes);
            }
        });
    };
    let job = ketch::copy(ketch::local(from)?, ketch::local(to)?);
    let report = job.on_start(show).run().await?;
    println!("copied {} files, {} bytes", report.copied, report.bytes);
    for failure in &report.failures {
        println!("failed: {}: {}", failure.path, failure.message);
    }
    Ok(())
}
