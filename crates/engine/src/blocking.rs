//! Runs work on a thread that may block, and tells the work to end when its caller stops waiting.

use ketch_core::{Error, Result};
use tokio_util::sync::CancellationToken;

/// Does `work` on a thread that may block.
///
/// CANCEL: when this is dropped, the token is cancelled, and the work ends after its current piece.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
) -> Result<T> {
    let cancel = CancellationToken::new();
    let guard = cancel.clone().drop_guard();
    let done = tokio::task::spawn_blocking(move || work(&cancel)).await;
    drop(guard);
    match done {
        Ok(result) => result,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::cancelled()), // The runtime is being shut down.
        },
    }
}
