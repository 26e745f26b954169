//! Sentences about what people ask for.

use super::{Described, NAMED_MAX, Tone, clean_key, drift, reason};
use crate::ledger::event::{Event, SyncRequestedV1};
use crate::query::text::{clip, list};

pub(super) fn of_operator(event: &Event, by: &str) -> Described {
    match event {
        Event::SyncRequested(body) => sync_requested(body, by),
        Event::Paused(body) => {
            let until = body.until.map_or_else(String::new, |until| format!(" until {until}"));
            let text = format!("PAUSED{until} by {by}{}", reason(&body.reason));
            Described::of_app(&body.app, text).tone(Tone::Warn)
        }
        Event::Resumed(body) => {
            let how =
                if body.expired { "the pause expired".to_owned() } else { format!("by {by}") };
            Described::of_app(&body.app, format!("resumed: {how}"))
        }
        Event::Frozen(body) => {
            let until = body.until.map_or_else(String::new, |until| format!(" until {until}"));
            let why = reason(&body.reason);
            let text =
                format!("FROZEN{until} by {by}{why}; nothing is written for any application");
            Described::new(text).tone(Tone::Warn)
        }
        Event::Unfrozen(body) => {
            let how =
                if body.expired { "the freeze expired".to_owned() } else { format!("by {by}") };
            Described::new(format!("unfrozen: {how}")).tone(Tone::Good)
        }
        Event::Marked(body) => {
            let (name, at, why) = (clip(&body.name, 100), body.time, reason(&body.reason));
            Described::new(format!("marked #{} ({at}) as `{name}` by {by}{why}", body.seq))
        }
        Event::HoldBegun(body) => drift::begun(body, by),
        Event::HoldEnded(body) => drift::ended(body, by),
        other => Described::new(other.name()),
    }
}

fn sync_requested(body: &SyncRequestedV1, by: &str) -> Described {
    let prune = if body.prune { " with prune" } else { "" };
    let only = match body.only.len() {
        0 => String::new(),
        _ => format!(" of {}", list(body.only.iter().map(clean_key), NAMED_MAX)),
    };
    let text = format!("sync{only}{prune} requested by {by}{}", reason(&body.reason));
    Described { objects: body.only.clone(), ..Described::of_app(&body.app, text) }
}
