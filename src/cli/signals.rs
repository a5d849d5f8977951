//! Ctrl-C: the first drains, the second cancels, the third leaves at once.

use tokio::sync::mpsc;

use crate::event::StopStage;

/// Resolves when the operator wants to leave at once; what he wanted before goes to `stops`.
pub(super) async fn listen(stops: mpsc::Sender<StopStage>) {
    for stage in [StopStage::Drain, StopStage::Cancel] {
        interrupted().await;
        if stops.send(stage).await.is_err() {
            break;
        }
    }
    interrupted().await;
}

/// Ctrl-C, or a polite request to end.
#[cfg(unix)]
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() {
            std::future::pending::<()>().await;
        },
        () = terminated => {}
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
