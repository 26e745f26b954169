//! Snapshots of the world: derived, disposable, tied to the hash of the event they stand at.

use crate::ledger::{self, Ledger, codec};
use crate::model::Seq;
use crate::replay::{VERSION, World};

/// The name of the world's snapshots.
const NAME: &str = "world";
/// After how many events a new snapshot is worth its cost: folding 50 000 events takes about as
/// long as reading a snapshot of a large world.
pub(super) const EVENTS_BETWEEN: u64 = 50_000;

/// Folds the world at the head of the ledger, from the newest snapshot that belongs to it.
pub(super) fn restore(ledger: &Ledger) -> Result<World, ledger::Error> {
    catch_up(ledger, load(ledger).unwrap_or_default())
}

/// Folds what the ledger has beyond the world.
pub(super) fn catch_up(ledger: &Ledger, mut world: World) -> Result<World, ledger::Error> {
    let head = ledger.head();
    if world.seq < head {
        for recorded in ledger.range(world.seq.next(), head) {
            let recorded = recorded?;
            if let Some(event) = &recorded.event {
                world.apply(recorded.envelope.seq, recorded.envelope.recorded, event);
            }
        }
    }
    Ok(world)
}

fn load(ledger: &Ledger) -> Option<World> {
    let (seq, _, bytes) = ledger.load_snapshot(NAME, VERSION)?;
    match codec::decode_projection(&bytes) {
        Ok(world) => Some(world),
        Err(error) => {
            tracing::warn!(%error, %seq, "a snapshot cannot be read; the world is folded anew");
            None
        }
    }
}

/// Saves the world. A failure costs the next start some time and is only logged.
pub(super) fn save(ledger: &Ledger, world: &World) {
    if world.seq == Seq::ZERO {
        return;
    }
    let saved = ledger.get(world.seq).map_err(|error| error.to_string()).and_then(|recorded| {
        let recorded = recorded.ok_or("the event is not there")?;
        let bytes = codec::encode_projection(world).map_err(|error| error.to_string())?;
        ledger
            .save_snapshot(NAME, VERSION, (world.seq, recorded.envelope.hash), &bytes)
            .map_err(|error| error.to_string())
    });
    if let Err(error) = saved {
        tracing::warn!(error, seq = %world.seq, "no snapshot was saved");
    }
}
