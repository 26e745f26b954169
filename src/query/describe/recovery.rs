//! Sentences about what is replayed onto another cluster.

use super::{Described, ERROR_CHARS_MAX, NAMED_MAX, Tone, clean_key};
use crate::ledger::event::{
    Event, RecoveryAbandonedV1, RecoveryBegunV1, RecoveryFinishedV1, RecoveryIntentV1,
    RecoveryResult,
};
use crate::query::text::{clip, count, list, seconds};

pub(super) fn of_recovery(event: &Event, by: &str) -> Described {
    match event {
        Event::RecoveryBegun(body) => begun(body, by),
        Event::RecoveryIntent(body) => intended(body),
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
        Event::RecoveryAbandoned(body) => abandoned(body, by),
        other => Described::new(other.name()),
    }
}

fn intended(body: &RecoveryIntentV1) -> Described {
    let named = |again: bool| {
        let writes = body.writes.iter().filter(move |write| write.again.is_empty() != again);
        list(writes.map(|write| clean_key(&write.key)), NAMED_MAX)
    };
    let (first, again) = (named(false), named(true));
    let id = body.recovery.0;
    if body.writes.iter().all(|write| write.again.is_empty()) {
        return Described::new(format!("recovery #{id}: about to write {first}")).noise();
    }
    let first = if first.is_empty() { first } else { format!("{first}, and ") };
    let text = format!("recovery #{id}: about to write {first}again, because gone: {again}");
    Described::new(text).tone(Tone::Warn)
}

fn abandoned(body: &RecoveryAbandonedV1, by: &str) -> Described {
    let written = count(body.written as usize, "object");
    let reason = match body.reason.as_str() {
        "" => String::new(),
        reason => format!(": {}", clip(reason, ERROR_CHARS_MAX)),
    };
    let text = format!(
        "recovery #{} ABANDONED by {by}, who ended it{reason}; {written} that it wrote stay there",
        body.recovery.0
    );
    Described::new(text).tone(Tone::Warn)
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
        let took = match body.milliseconds {
            0 => String::new(),
            milliseconds => format!("; the last was written after {}", seconds(milliseconds)),
        };
        let text =
            format!("recovery #{id} VERIFIED: {written} are there as they were written{took}");
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
