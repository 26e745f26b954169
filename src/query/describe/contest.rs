//! Sentences about programs that disagree with Git.

use super::{Described, Tone, clean_key};
use crate::ledger::event::{ContestEndedV1, ContestNamedV1, ReplicasLeftV1};
use crate::query::text::clip;
use crate::replay::RIVAL_UNKNOWN;

fn who(manager: &str) -> String {
    if manager.is_empty() { RIVAL_UNKNOWN.to_owned() } else { clip(manager, 80) }
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

pub(super) fn left(body: &ReplicasLeftV1) -> Described {
    let (key, autoscaler) = (clean_key(&body.key), clean_key(&body.autoscaler));
    let text = format!(
        "replicas of {key} belong to {autoscaler}: Git's number is not written over them; \
         remove `replicas` from the manifest in Git"
    );
    Described::of_app(&body.app, text).tone(Tone::Warn).object(&body.key)
}
