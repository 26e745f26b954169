//! Sentences about what others changed, and the commands that would keep it.

use super::{
    Described, NAMED_MAX, Tone, VALUE_CHARS_MAX, clean_key, field_change, managers, reason,
};
use crate::ledger::event::{
    BackTo, DriftDetectedV1, DriftKind, Event, HoldBegunV1, HoldEnd, HoldEndedV1, HoldOf,
};
use crate::model::{AppName, Seq};
use crate::query::text::{clip, list};
use crate::replay::why_not_kept;

pub(super) fn found(body: &DriftDetectedV1) -> Described {
    let names = managers(&body.managers);
    let by = match body.later {
        Some(at) if names.is_empty() => {
            format!("greffier at {at}, which this ledger does not know of")
        }
        _ if names.is_empty() => "unknown".to_owned(),
        _ => format!("{} (field manager, claimed)", names.join(", ")),
    };
    Described { by: names, ..found_by(body, &by) }
}

/// The same, by whoever did it.
pub(in crate::query) fn found_by(body: &DriftDetectedV1, by: &str) -> Described {
    let key = clean_key(&body.key);
    let fields = list(body.fields.iter().map(field_change), NAMED_MAX);
    let (text, tone) = match body.kind {
        DriftKind::Drift => (format!("DRIFT DETECTED {key} {fields} by {by}"), Tone::Warn),
        DriftKind::Deleted => (format!("DRIFT DETECTED {key} was deleted by {by}"), Tone::Warn),
        DriftKind::OwnershipLost => (
            format!("OWNERSHIP LOST {key}: the values are unchanged, {by} took the fields over"),
            Tone::Plain,
        ),
        DriftKind::Addition => {
            let added = body.fields.iter().map(|field| {
                format!("{} = {}", clip(&field.path, 200), clip(&field.now, VALUE_CHARS_MAX))
            });
            (format!("ADDED BY HAND {key} {} by {by}", list(added, NAMED_MAX)), Tone::Warn)
        }
        DriftKind::None => (format!("{key} is as applied again"), Tone::Good),
    };
    let described = Described::of_app(&body.app, text).tone(tone).object(&body.key);
    Described { whom: by.to_owned(), ..described }
}

/// The commands that would keep what the event `seq` found; none where it is kept anyway.
pub(super) fn keep(event: &Event, seq: Seq) -> Vec<String> {
    match event {
        Event::DriftDetected(body)
            if matches!(body.kind, DriftKind::Drift | DriftKind::Deleted) =>
        {
            keep_commands(&body.app, seq, why_not_kept(body).is_none())
        }
        _ => Vec::new(),
    }
}

/// The commands that would keep a drift.
#[must_use]
pub fn keep_commands(app: &AppName, drift: Seq, may_be_kept: bool) -> Vec<String> {
    let keep = may_be_kept.then(|| format!("greffier keep {} --for 8h", drift.0));
    keep.into_iter().chain([format!("greffier pause {app}")]).collect()
}

/// Somebody keeps what was changed by hand, or went back to what was.
pub(super) fn begun(body: &HoldBegunV1, by: &str) -> Described {
    let part = |of: &HoldOf| {
        let key = clean_key(of.key());
        match of {
            HoldOf::Fields(held) => {
                format!("{key} {}", list(held.fields.iter().map(field_change), NAMED_MAX))
            }
            HoldOf::Absence(_) => format!("{key} deleted"),
            HoldOf::Object(_) => key,
        }
    };
    let what = list(body.of.iter().map(part), NAMED_MAX);
    let until = body.until.map_or_else(String::new, |until| format!(" until {until}"));
    let why = reason(&body.reason);
    let text = match body.from {
        BackTo::Drift(seq) => format!("KEPT{until} {what}, as #{} found it, by {by}{why}", seq.0),
        BackTo::Instant(seq) => {
            format!("RESTORED{until} {what}, as it was at #{}, and kept so, by {by}{why}", seq.0)
        }
        BackTo::Undone(seq) => {
            format!("UNDONE{until} #{}: {what}, as before it, and kept so, by {by}{why}", seq.0)
        }
    };
    let objects = body.of.iter().map(|of| of.key().clone()).collect();
    Described { objects, ..Described::of_app(&body.app, text).tone(Tone::Warn) }
}

/// What was kept follows Git again.
pub(super) fn ended(body: &HoldEndedV1, by: &str) -> Described {
    let keys = list(body.objects.iter().map(clean_key), NAMED_MAX);
    let how = match body.end {
        HoldEnd::Released => format!("by {by}"),
        HoldEnd::Expired => "the hold expired".to_owned(),
        HoldEnd::SameAsGit => "Git says what it holds".to_owned(),
        HoldEnd::NewerInGit => {
            let text = format!("the hold of {keys} ended: no application has it in Git any more");
            let described = Described::of_app(&body.app, text).tone(Tone::Warn);
            return Described { objects: body.objects.clone(), ..described };
        }
    };
    let text = format!("released {keys}: {how}; back to Git");
    Described { objects: body.objects.clone(), ..Described::of_app(&body.app, text) }
}
