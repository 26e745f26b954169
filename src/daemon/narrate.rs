//! Telling on standard output what happens, as it happens: one line for what people care about.

use std::io::Write as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, Recorded, Tail};
use crate::query::who::{attributed, told_late};
use crate::query::{Book as _, as_intent, describe};

/// Prints lines until it is cancelled or the ledger is closed. A terminal that is gone is no
/// reason to stop anything.
pub(super) async fn run(ledger: Ledger, mut tail: Tail, cancel: CancellationToken) {
    loop {
        let batch = tokio::select! {
            batch = tail.next_batch() => batch,
            () = cancel.cancelled() => return,
        };
        let Ok(batch) = batch else { return };
        let ledger = ledger.clone();
        // The ledger is read for who did it, and a terminal may be slow.
        let told = tokio::task::spawn_blocking(move || {
            // Colours are stripped where they are not wanted.
            let _ = anstream::stdout().write_all(lines(&ledger, &batch).as_bytes());
        });
        // A batch that cannot be told is no reason to be silent about the next one.
        let _ = told.await;
    }
}

fn lines(ledger: &Ledger, batch: &[Arc<Recorded>]) -> String {
    let mut lines = String::new();
    for recorded in batch {
        let intent = recorded.event.as_ref().and_then(|event| ledger.intent_of(event));
        let intent = intent.as_deref().and_then(as_intent);
        let told = describe::told(recorded, intent).or_else(|| told_late(ledger, recorded));
        let Some(described) = told else { continue };
        // Who did it may be known already.
        let described = attributed(ledger, recorded, described);
        if let Some(line) = describe::line_of(recorded, &described, true) {
            lines.push_str(&line);
            lines.push('\n');
        }
    }
    lines
}
