//! Finds out while the daemon runs whether its ledger is whole, so that somebody hears of damage
//! as long as there is a copy, and not at the next start that needs every event.
//!
//! After the start and then once a day all of it is read, in small steps and with long rests, so
//! that nothing else waits for it. What a question meets meanwhile counts as well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use crate::ledger::{DAMAGE_HINT, DAMAGE_MEANS, Ledger};
use crate::query::past;
use crate::reconcile::Parts;

/// How much is read at once.
const STEP_BYTES: u64 = 512 * 1024;
/// How many times as long as a step took is rested after it: a check takes a tenth of a processor.
const REST_FACTOR: u32 = 9;
const REST_MIN: Duration = Duration::from_millis(1);
/// How long after the end of a check the next one begins.
const CHECK_EVERY: Duration = Duration::from_hours(24);

/// Checks the ledger again and again.
pub(super) async fn check(ledger: Ledger, cancel: CancellationToken) -> Result<()> {
    loop {
        let mut check = ledger.check();
        loop {
            let step = move || {
                let begun = Instant::now();
                let more = check.step(STEP_BYTES);
                (check, more, begun.elapsed())
            };
            let (back, more, took) = tokio::task::spawn_blocking(step).await?;
            if !more {
                break;
            }
            check = back;
            if rested((took * REST_FACTOR).max(REST_MIN), &cancel).await {
                return Ok(());
            }
        }
        tracing::debug!(checked = ?ledger.wholeness().borrow().checked, "the ledger was read");
        if rested(CHECK_EVERY, &cancel).await {
            return Ok(());
        }
    }
}

/// Rests; whether the daemon stops.
async fn rested(time: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => false,
        () = cancel.cancelled() => true,
    }
}

/// Says in the log what damage is found, once for each place, and saves what is known now: a start
/// from there needs nothing that stands before it.
pub(super) async fn tell(parts: Parts, cancel: CancellationToken) -> Result<()> {
    let mut known = parts.ledger.wholeness();
    let mut told = BTreeSet::new();
    loop {
        let places = known.borrow_and_update().places();
        let new: Vec<_> = places.iter().filter(|place| !told.contains(*place)).cloned().collect();
        for place in &new {
            tracing::error!(hint = DAMAGE_HINT, "DAMAGED LEDGER: {place}; {DAMAGE_MEANS}");
        }
        if places.is_empty() && !told.is_empty() {
            tracing::info!("the ledger is whole again");
        }
        if !new.is_empty() {
            let parts = parts.clone();
            let save = move || {
                let world = parts.read().world.clone();
                past::save(&parts.ledger, &world);
            };
            tokio::task::spawn_blocking(save).await?;
        }
        told = places.into_iter().collect();
        tokio::select! {
            changed = known.changed() => if changed.is_err() { return Ok(()) },
            () = cancel.cancelled() => return Ok(()),
        }
    }
}
