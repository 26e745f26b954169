//! Sentences about what is replayed onto another cluster.

use super::{Described, ERROR_CHARS_MAX, NAMED_MAX, Tone, clean_key};
use crate::ledger::event::{Event, RecoveryBegunV1, RecoveryFinishedV1, RecoveryResult};
use crate::query::text::{clip, count, list};

pub(super) fn of_recovery(event: &Event, by: &str) -> Described {
    match event {
        Event::RecoveryBegun(body) => begun(body, by),
        Event::RecoveryIntent(body) => {
            let objects = list(body.writes.iter().map(|write| clean_key(&write.key)), NAMED_MAX);
            Described::new(format!("recovery #{}: about to write {objects}", body.recovery.0))
                .noise()
        }
        Event::RecoveryOutcome(body) => {
            let written = body.results.iter();
            let written = written.filter(|(_, r)| matches!(r, RecoveryResult::Written(_))).count();
            let errors: Vec<String> = body.results.iter().filter_map(|(_, r)| error(r)).collect();
            let text =
                format!("recovery #{}: {} written", body.recovery.0, count(written, "object"));
            if errors.is_empty() {
                return Described::new(text).noise();
            }
            let errors = clip(&errors.join("; "), ERROR_CHARS_MAX);
            Described::new(format!("{text}, {} not: {errors}", body.results.len() - written))
                .tone(Tone::Bad)
        }
        Event::RecoveryFinished(body) => finished(body),
        other => Described::new(other.name()),
    }
}

fn error(result: &RecoveryResult) -> Option<String> {
    match result {
        RecoveryResult::Written(_) => None,
        RecoveryResult::Refused(why) | RecoveryResult::Left(why) => Some(why.clone()),
        RecoveryResult::Failed(why, tries) => Some(format!("{why} ({tries} tries)")),
    }
}

fn begun(body: &RecoveryBegunV1, by: &str) -> Described {
    let what = if body.live { "as observed" } else { "as wanted" };
    let lost = match body.lost.len() {
        0 => String::new(),
        lost => format!(
            "; {} not come back",
            if lost == 1 { "1 thing does".to_owned() } else { format!("{lost} things do") }
        ),
    };
    let text = format!(
        "RECOVERY onto {} ({}) begun by {by}: {} {what} at #{}{lost}",
        clip(&body.server, 100),
        clip(&body.version, 40),
        count(body.objects as usize, "object"),
        body.to.0
    );
    Described::new(text).tone(Tone::Warn)
}

fn finished(body: &RecoveryFinishedV1) -> Described {
    let (id, written) = (body.recovery.0, count(body.written as usize, "object"));
    if body.verified {
        let text = format!("recovery #{id} VERIFIED: {written} are there as they were written");
        return Described::new(text).tone(Tone::Good);
    }
    let named = |found: &[(crate::model::ObjectKey, String)]| {
        let shown =
            found.iter().map(|(key, why)| format!("{}: {}", clean_key(key), clip(why, 100)));
        list(shown, NAMED_MAX)
    };
    let text = format!(
        "recovery #{id} ended NOT VERIFIED: {written} are there; not written: {}; otherwise than \
         written: {}",
        named(&body.failed),
        named(&body.differs)
    );
    Described::new(text).tone(Tone::Bad)
}
