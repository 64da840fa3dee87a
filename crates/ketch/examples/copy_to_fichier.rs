//! Syncs a folder to 1fichier: `FICHIER_API_KEY=… copy_to_fichier FROM FOLDER`.

#![allow(clippy::print_stdout, reason = "an example")]

use ketch::Options;

#[tokio::main]
async fn main() -> Result<(), ketch::Error> {
    let mut arguments = std::env::args().skip(1);
    let key = std::env::var("FICHIER_API_KEY");
    let (Some(from), Some(folder), Ok(key)) = (arguments.next(), arguments.next(), key) else {
        println!("usage: FICHIER_API_KEY=... copy_to_fichier FROM FOLDER");
        return Ok(());
    };
    // The state folder keeps the times of requests, so that two programs obey the limits of 1fichier together.
    let state = std::env::temp_dir().join("ketch-example");
    let options = Options::from_iter([("api_key", key)]);
    let account = ketch::connect("fichier", &folder, options, Some(state.clone())).await?;
    let report = ketch::sync(ketch::local(from)?, account).records(state).run().await?;
    println!("copied {} files, deleted {}", report.copied, report.deleted);
    Ok(())
}
