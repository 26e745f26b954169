//! What is seen of the cluster, and which one it is.

use super::{Described, ERROR_CHARS_MAX, NAMED_MAX, Tone, clean_key, managers};
use crate::ledger::event::{ClusterAcceptedV1, Event, KindsServedV1, Learned, ObjectObservedV1};
use crate::query::text::{clip, count, list};

/// How much of a reason is shown.
const REASON_CHARS_MAX: usize = 300;

pub(super) fn of_cluster(event: &Event) -> Described {
    match event {
        Event::ClusterIdentified(body) => Described::new(format!(
            "cluster {} at {}, Kubernetes {}",
            clip(&body.uid, 40),
            clip(&body.server, 200),
            clip(&body.version, 40)
        )),
        Event::ClusterReplaced(body) => Described::new(format!(
            "ANOTHER CLUSTER ANSWERS at {}: {} instead of {}; nothing is written until a person has \
             said which is kept (greffier cluster accept)",
            clip(&body.server, 200),
            clip(&body.uid, 40),
            clip(&body.kept, 40),
        ))
        .tone(Tone::Bad),
        Event::ClusterReverted(body) => Described::new(format!(
            "THE CLUSTER WAS SET BACK, as if restored from a backup: {} objects were observed at \
             revision {}, and are at {} now; nothing is written until a person has said that it \
             is kept (greffier cluster accept)",
            clip(&body.kind.to_string(), 200),
            body.observed,
            body.revision,
        ))
        .tone(Tone::Bad),
        Event::ClusterAccepted(body) => accepted(body),
        Event::ClusterLost(body) => {
            let error = clip(&body.error, ERROR_CHARS_MAX);
            Described::new(format!("API SERVER LOST: {error}")).tone(Tone::Bad)
        }
        Event::ClusterFound(_) => Described::new("the API server is back").tone(Tone::Good),
        Event::KindsServed(body) => kinds(body),
        Event::ObjectObserved(body) => observed(body),
        Event::ObjectGone(body) => {
            let how = match body.learned {
                Learned::Watched | Learned::Answered => "is gone",
                Learned::Listed => "is gone (found missing by a list: when is not known)",
            };
            Described::new(format!("{} {how}", clean_key(&body.key))).object(&body.key).noise()
        }
        Event::KindListed(body) => {
            let objects = count(usize::try_from(body.objects).unwrap_or(usize::MAX), "object");
            let by_name = if body.named.is_empty() { "" } else { " by name" };
            let kind = clip(&body.kind.to_string(), 200);
            Described::new(format!("{kind}: listed {objects}{by_name}")).noise()
        }
        Event::WatchGap(body) => {
            let kind = clip(&body.kind.to_string(), 200);
            let reason = clip(&body.reason, ERROR_CHARS_MAX);
            Described::new(format!("{kind}: not seen without a gap: {reason}")).tone(Tone::Warn)
        }
        other => Described::new(other.name()),
    }
}

fn accepted(body: &ClusterAcceptedV1) -> Described {
    let reason = match body.reason.as_str() {
        "" => String::new(),
        reason => format!(": {}", clip(reason, REASON_CHARS_MAX)),
    };
    let text = format!(
        "cluster {} is kept from here on, in doubt since #{}{reason}",
        clip(&body.uid, 40),
        body.doubt.0
    );
    Described::new(text).tone(Tone::Warn)
}

fn kinds(body: &KindsServedV1) -> Described {
    let watched = body.kinds.iter().filter(|kind| kind.watched).count();
    let text =
        format!("the cluster serves {}, {watched} are watched", count(body.kinds.len(), "kind"));
    if body.broken_groups.is_empty() {
        return Described::new(text).noise();
    }
    let broken = list(body.broken_groups.iter().map(|group| clip(group, 100)), NAMED_MAX);
    Described::new(format!("{text}; unknown what these groups serve: {broken}")).tone(Tone::Warn)
}

fn observed(body: &ObjectObservedV1) -> Described {
    let names = managers(&body.managers);
    let what = match (body.added, body.deleting) {
        (_, true) => "is being deleted",
        (true, false) => "is there",
        (false, false) => "changed",
    };
    let text = format!(
        "{} {what} at resource version {}, {}",
        clean_key(&body.key),
        clip(&body.resource_version, 40),
        body.health.as_str(),
    );
    let text = match body.managed_by.as_str() {
        "" => text,
        other => format!("{text}; {} manages it", clip(other, 300)),
    };
    let by = names.into_iter().collect();
    let app = clip(&body.claimed_by, 253);
    Described { by, ..Described::of_app(&app, text) }.object(&body.key).noise()
}
