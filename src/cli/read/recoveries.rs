//! What a recovery leaves to be known, in the status.

use super::super::table::local_time;
use crate::http::dto;
use crate::query::text::{count, list};

/// What a recovery leaves to be known: that the ledger is an old copy, and replays under way.
pub(super) fn rows(status: &dto::Status, row: &mut dyn FnMut(&str, String)) {
    if let Some(copy) = &status.old_copy {
        let [what, lost, waits] = old_copy(copy);
        row("OLD COPY", what);
        row("", lost);
        row("", waits);
    }
    for replay in &status.replays {
        row("REPLAY", unfinished(replay));
    }
}

/// That the ledger does not know of something that greffier wrote.
fn old_copy(copy: &dto::OldCopy) -> [String; 3] {
    let dto::OldCopy { object, written, seq, waits, .. } = copy;
    let waits = match waits.as_slice() {
        [] => {
            "Git or a person has said since what every application is to be; what greffier wrote \
               later and Git wants otherwise is asked about, until somebody has the application \
               synced (greffier sync APP)"
                .to_owned()
        }
        waits => format!(
            "until Git or a person has said what they are to be, what this ledger would put back \
             waits: {}",
            list(waits.iter().cloned(), 10)
        ),
    };
    let what = format!(
        "greffier wrote {object} at {} (#{seq}), which this ledger does not know of: it is an old \
         copy, or another greffier writes here",
        local_time(written)
    );
    let lost = "what was recorded since is not in it: events have other numbers now, and holds, \
                freezes, marks and approvals of that time are gone";
    [what, lost.to_owned(), waits]
}

/// A replay onto another cluster that has not ended.
fn unfinished(replay: &dto::Replay) -> String {
    let dto::Replay { seq, begun, server, objects, ended } = replay;
    let begun = local_time(begun);
    let objects = count(usize::try_from(*objects).unwrap_or(usize::MAX), "object");
    format!(
        "onto {server} has not ended: begun {begun} (#{seq}), {ended} of {objects} recorded as \
         ended (greffier replay --to CONTEXT --resume goes on)"
    )
}
