//! Sentences about what people ask for.

use super::rollback;
use super::{Described, NAMED_MAX, Tone, clean_key, drift, field_change, reason};
use crate::ledger::event::{
    AppHeldV1, AppHoldEndedV1, BackTo, Event, HoldEnd, RestoreEndedV1, RestoreIntendedV1,
    RestoreResult, RestoreWrite, SyncRequestedV1, Verb,
};
use crate::query::text::{clip, count, list};

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
        Event::AppHeld(body) => held(body, by),
        Event::AppHoldEnded(body) => hold_ended(body, by),
        Event::RestoreIntended(body) => restored(body, by),
        Event::RestoreEnded(body) => restore_ended(body),
        Event::AutoRollbackRefused(body) => rollback::refused(body),
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

/// Somebody rolled an application back and holds it there.
fn held(body: &AppHeldV1, by: &str) -> Described {
    if body.automatic.is_some() {
        return rollback::automatic(body);
    }
    let until = body.until.map_or_else(String::new, |until| format!(" until {until}"));
    let (to, at, said) = (body.to.0, body.at, clip(&body.said, 100));
    let commit = body.desired.revision.commit.short();
    let objects = count(body.desired.objects.len(), "object");
    let left = match body.left.len() {
        0 => String::new(),
        left => format!(", {} LEFT AS THEY WERE", count(left, "object")),
    };
    let images = rollback::images(&body.images);
    let release = match &body.tree {
        None => format!("greffier release {}", body.app),
        Some(root) => format!("greffier release {root} --tree"),
    };
    let text = format!(
        "HELD{until} as at #{to} ({at}, `{said}`): {objects} of commit {commit}{left}{images}, by {by}{}; \
         what Git says waits for `{release}`",
        reason(&body.reason),
    );
    Described::of_app(&body.app, text).tone(Tone::Warn)
}

/// It follows Git again.
fn hold_ended(body: &AppHoldEndedV1, by: &str) -> Described {
    let hold = body.hold.0;
    let how = match body.end {
        HoldEnd::Released => format!("by {by}"),
        HoldEnd::Expired => "its time is over".to_owned(),
        HoldEnd::SameAsGit => "Git says what it holds".to_owned(),
        HoldEnd::NewerInGit => "Git says something else than what was rolled back from".to_owned(),
    };
    let more = match body.holds.len() {
        0 => String::new(),
        more => format!(", and {} of its objects", count(more, "hold")),
    };
    let text = format!("released from hold #{hold}{more}: {how}; back to Git");
    Described::of_app(&body.app, text)
}

/// Somebody brings back what no application has.
fn restored(body: &RestoreIntendedV1, by: &str) -> Described {
    let part = |write: &RestoreWrite| {
        let key = clean_key(&write.key);
        match write.verb {
            Verb::Prune => format!("{key} is deleted"),
            _ if write.places.is_empty() => key,
            _ => format!("{key} {}", list(write.fields.iter().map(field_change), NAMED_MAX)),
        }
    };
    let what = list(body.writes.iter().map(part), NAMED_MAX);
    let why = reason(&body.reason);
    let text = match body.from {
        BackTo::Undone(seq) => format!("UNDONE #{}: {what}, as before it, by {by}{why}", seq.0),
        BackTo::Instant(seq) | BackTo::Drift(seq) => {
            format!("RESTORED {what}, as it was at #{}, by {by}{why}", seq.0)
        }
    };
    let objects = body.writes.iter().map(|write| write.key.clone()).collect();
    Described { objects, ..Described::new(text).tone(Tone::Warn) }
}

/// What became of that.
fn restore_ended(body: &RestoreEndedV1) -> Described {
    let ended = |(key, (_, result)): (&crate::model::ObjectKey, &(u32, RestoreResult))| {
        let key = clean_key(key);
        match result {
            RestoreResult::Made { .. } => format!("{key} is restored"),
            RestoreResult::NotSent(why) => {
                format!("{key} NOT RESTORED, not sent: {}", clip(why, 300))
            }
            RestoreResult::Refused(why) => format!("{key} NOT RESTORED: {}", clip(why, 300)),
            RestoreResult::Unknown(why) => {
                format!("{key}: whether it is restored is looked for: {}", clip(why, 300))
            }
        }
    };
    let text = list(body.objects.iter().zip(&body.results).map(ended), NAMED_MAX);
    let made = |(_, result): &(u32, RestoreResult)| matches!(result, RestoreResult::Made { .. });
    let tone = if body.results.iter().all(made) { Tone::Good } else { Tone::Bad };
    Described { objects: body.objects.clone(), ..Described::new(text).tone(tone) }
}
