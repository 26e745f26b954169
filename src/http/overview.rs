//! What the ledger adds to the overview.

use super::dto;
use crate::ledger;
use crate::query::Book;
use crate::query::overview::{lost_since, unfinished};

/// Adds since when the API server is away, and which replays have not ended.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn completed(mut status: dto::Status, book: &dyn Book) -> Result<dto::Status, ledger::Error> {
    if status.cluster.lost.is_some() {
        status.cluster.lost_since = lost_since(book)?.map(|(_, at)| at.to_string());
    }
    let replays = unfinished(book)?.into_iter().map(|replay| dto::Replay {
        seq: replay.seq.0,
        begun: replay.begun.to_string(),
        server: replay.server,
        objects: replay.objects,
        ended: replay.ended,
    });
    status.replays = replays.collect();
    Ok(status)
}
