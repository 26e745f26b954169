//! Sentences about what others change, and about programs that disagree with Git.

use super::{Described, NAMED_MAX, Tone, VALUE_CHARS_MAX, clean_key, field_change, managers};
use crate::ledger::event::{ContestEndedV1, ContestNamedV1, DriftDetectedV1, DriftKind};
use crate::query::text::{clip, list};

fn who(manager: &str) -> String {
    if manager.is_empty() { "somebody unknown".to_owned() } else { clip(manager, 80) }
}

pub(super) fn named(body: &ContestNamedV1) -> Described {
    let (key, path, who) = (clean_key(&body.key), clip(&body.path, 200), who(&body.manager));
    let seconds = body.wait_ms / 1_000;
    let text = format!(
        "CONTEST over {key} {path}: {who} and greffier change it back and forth; it is put back \
         after {seconds} s now, three times as long each time, at most 5 min"
    );
    let by = vec![who, crate::cluster::FIELD_MANAGER.to_owned()];
    Described { by, ..Described::of_app(&body.app, text) }.tone(Tone::Warn).object(&body.key)
}

pub(super) fn ended(body: &ContestEndedV1) -> Described {
    let (key, path, who) = (clean_key(&body.key), clip(&body.path, 200), who(&body.manager));
    let text = format!("the contest over {key} {path} with {who} is over: 10 quiet minutes");
    Described::of_app(&body.app, text).tone(Tone::Good).object(&body.key)
}

pub(super) fn drift(body: &DriftDetectedV1) -> Described {
    let key = clean_key(&body.key);
    let names = managers(&body.managers);
    let by = if names.is_empty() { "unknown".to_owned() } else { names.join(", ") };
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
    Described { by: names, ..Described::of_app(&body.app, text) }.tone(tone).object(&body.key)
}
