//! Deletions that are told although nobody asked for exactly them.
//!
//! Observations are not told by themselves: what they mean for an application is. Two of them
//! have a meaning of their own: a namespace that goes takes with it what applications have in it;
//! and of an object that no application has, nothing but the observation says who deleted it.

use super::super::book::{Book, as_intent};
use super::super::describe::{Described, Tone};
use super::super::instant::{backwards, forwards};
use super::{in_force, went};
use crate::ledger::event::{
    ActorClaim, AttributionResolvedV1, DriftKind, Event, Verb, Verdict, Write, WriteResult,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Ends, Recorded};
use crate::model::{ObjectKey, Seq};

/// The object whose deletion an event shows first, and its uid: the request for it, or its end
/// where no request was seen.
fn begun(
    book: &dyn Book,
    recorded: &Recorded,
) -> Result<Option<(ObjectKey, String)>, ledger::Error> {
    let (key, uid) = match &recorded.event {
        Some(Event::ObjectObserved(body)) if body.deleting => (&body.key, &body.uid),
        Some(Event::ObjectGone(body)) => (&body.key, &body.uid),
        _ => return Ok(None),
    };
    let about = SubjectKey::object(key);
    let asked = backwards(book, about, recorded.seq(), |earlier| match &earlier.event {
        Some(Event::ObjectObserved(body)) if body.key == *key => {
            Some(body.deleting && body.uid == *uid)
        }
        Some(Event::ObjectGone(body)) if body.key == *key => Some(false),
        _ => None,
    })?;
    Ok((asked != Some(true)).then(|| (key.clone(), uid.clone())))
}

/// The namespace whose deletion an event shows first, if applications have objects in it and
/// greffier did not delete it: what greffier does is told by its outcome.
fn namespace(book: &dyn Book, recorded: &Recorded) -> Result<Option<ObjectKey>, ledger::Error> {
    let is_namespace = match &recorded.event {
        Some(Event::ObjectObserved(body)) => body.deleting && body.key.is_namespace(),
        Some(Event::ObjectGone(body)) => body.key.is_namespace(),
        _ => false,
    };
    if !is_namespace {
        return Ok(None);
    }
    let Some((key, uid)) = begun(book, recorded)? else { return Ok(None) };
    let within = SubjectKey::topic(&Topic::WrittenIn(key.name().to_owned()));
    let is_used = !book.find_before(within, recorded.seq(), 1).is_empty();
    Ok((is_used && !is_own(book, &key, &uid, recorded.seq())?).then_some(key))
}

/// Whether greffier deleted an object, or meant to and was not answered yet.
fn is_own(book: &dyn Book, key: &ObjectKey, uid: &str, at: Seq) -> Result<bool, ledger::Error> {
    let written = SubjectKey::topic(&Topic::Written(key.clone()));
    let Some(seq) = book.find_before(written, at, 1).pop() else { return Ok(false) };
    let recorded = book.get(seq)?;
    let Some(intent) = recorded.as_deref().and_then(as_intent) else { return Ok(false) };
    let deletes = |write: &Write| {
        let is_bound = write.precondition.as_ref().is_some_and(|(bound, _)| bound == uid);
        is_bound && matches!(write.verb, Verb::Prune | Verb::Recreate)
    };
    if !intent.writes.iter().any(|write| write.key == *key && deletes(write)) {
        return Ok(false);
    }
    let ends = book.ends_of(seq)?;
    let ended = ends.iter().filter_map(|end| Ends::in_event(end));
    let mut ended = ended.flat_map(|ends| ends.about(intent, key)).peekable();
    Ok(ended.peek().is_none() || ended.any(|(_, result)| *result == WriteResult::Deleted))
}

/// Tells of an event what is of interest to everybody: that a namespace goes in which applications
/// have objects, and who was found out to have deleted it.
pub(in crate::query) fn told(
    book: &dyn Book,
    recorded: &Recorded,
    described: Described,
) -> Described {
    let observed = match &recorded.event {
        // What cannot be read is told when it is asked for by itself.
        Some(Event::AttributionResolved(body)) if body.key.is_namespace() => {
            book.get(body.observation).unwrap_or_default()
        }
        _ => None,
    };
    let Ok(Some(key)) = namespace(book, observed.as_deref().unwrap_or(recorded)) else {
        return described;
    };
    let described = Described { noise: false, tone: Tone::Warn, ..described };
    match observed {
        Some(_) => Described { tone: Tone::Plain, ..described },
        None => {
            let summary = format!(
                "NAMESPACE DELETED {}, in which applications have objects",
                super::super::text::clip(key.name(), 253)
            );
            Described { by: Vec::new(), summary, ..described }
        }
    }
}

/// Who deleted what an event shows to be deleted, where the audit tells and no drift does.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub(in crate::query) fn by(
    book: &dyn Book,
    recorded: &Recorded,
) -> Result<Option<(Verdict, Vec<ActorClaim>)>, ledger::Error> {
    let Some((key, _)) = begun(book, recorded)? else { return Ok(None) };
    let Some((_, body)) = in_force(book, recorded.seq(), None)?.resolved else { return Ok(None) };
    let AttributionResolvedV1 { verdict, claims, .. } = body;
    let is_known = !matches!(verdict, Verdict::FieldManager | Verdict::Unknown);
    let is_told = !is_known || has_drift(book, &key, recorded.seq())?;
    Ok((!is_told).then_some((verdict, claims)))
}

/// Whether an application's drift tells that an object went with this event.
fn has_drift(book: &dyn Book, key: &ObjectKey, gone: Seq) -> Result<bool, ledger::Error> {
    let found = forwards(book, SubjectKey::object(key), gone, |later| match &later.event {
        Some(Event::DriftDetected(body)) if body.kind == DriftKind::Deleted => {
            Some(went(book, body).ok().flatten() == Some(gone))
        }
        Some(Event::ObjectObserved(_)) => Some(false),
        _ => None,
    })?;
    Ok(found == Some(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::*;
    use super::*;
    use crate::ledger::event::{
        IntentRecordedV1, Learned, ObjectGoneV1, ObjectObservedV1, OutcomeRecordedV1,
    };
    use crate::ledger::samples::sample_events;
    use crate::query::fixture::{Story, key, name};
    use crate::query::search::{Filter, newest};

    /// Who made what an observation shows is found out.
    fn by(
        story: &mut Story,
        observation: Seq,
        key: &ObjectKey,
        verdict: Verdict,
        who: &str,
    ) -> Seq {
        let sample = sample_events().into_iter().find_map(|event| match event {
            Event::AttributionResolved(body) => Some(body),
            _ => None,
        });
        let claims = vec![ActorClaim { who: who.into(), ..ActorClaim::default() }];
        let key = key.clone();
        let drift = None;
        story.event(AttributionResolvedV1 {
            key,
            observation,
            verdict,
            claims,
            drift,
            causes: Vec::new(),
            replaces: None,
            ..sample.unwrap()
        })
    }

    fn deleting(story: &mut Story, key: &ObjectKey, version: &str) -> Seq {
        let deleting = true;
        story.event(ObjectObservedV1 {
            deleting,
            ..ObjectObservedV1::plain(key.clone(), "ns", version)
        })
    }

    fn gone(story: &mut Story, key: &ObjectKey, uid: &str) -> Seq {
        let learned = Learned::Watched;
        story.event(ObjectGoneV1 { key: key.clone(), uid: uid.into(), learned })
    }

    /// What is told from an event on.
    fn lines(story: &Story, after: Seq, actor: Option<&str>) -> Vec<(Seq, String)> {
        let actor = actor.map(str::to_owned);
        let filter = Filter { after, actor, ..Filter::default() };
        let found = newest(&story.ledger, &filter, 100).unwrap();
        found.into_iter().map(|found| (found.recorded.seq(), found.described.summary)).collect()
    }

    /// Goal: that a namespace goes with what applications have in it is told to everybody, once,
    /// with whoever asked for it; who merely removed a finalizer is not named for it.
    #[test]
    fn a_namespace_with_objects_of_applications_is_told_when_it_goes() {
        let mut story = Story::told();
        let (prod, head) = (key("Namespace/prod"), story.ledger.head());
        let asked = deleting(&mut story, &prod, "30");
        let words = "NAMESPACE DELETED prod, in which applications have objects, by ";
        assert_eq!(lines(&story, head, None), [(asked, format!("{words}unknown"))]);
        let late = by(&mut story, asked, &prod, Verdict::Exact, "alice");
        deleting(&mut story, &prod, "31");
        let end = gone(&mut story, &prod, "ns");
        by(&mut story, end, &prod, Verdict::Unique, "namespace-controller");
        let told = format!("#{asked} of Namespace/prod was by alice (audit, exact)");
        let expected = [(asked, format!("{words}alice (audit, exact)")), (late, told)];
        assert_eq!(lines(&story, head, None), expected);
        assert_eq!(lines(&story, head, Some("Alice")), expected);
        let recorded = |seq| story.ledger.get(seq).unwrap().unwrap();
        for seq in [asked, late] {
            assert!(told_late(&story.ledger, &recorded(seq)).is_some(), "as it happens, too");
        }
        assert!(told_late(&story.ledger, &recorded(end)).is_none());
    }

    /// Goal: a namespace in which greffier wrote nothing is nobody's concern.
    #[test]
    fn another_namespace_goes_untold() {
        let mut story = Story::told();
        let (other, head) = (key("Namespace/other"), story.ledger.head());
        let end = gone(&mut story, &other, "ns");
        by(&mut story, end, &other, Verdict::Exact, "alice");
        assert_eq!(lines(&story, head, None), []);
        let told = "Namespace/other is gone, by alice (audit, exact)";
        assert_eq!(lines(&story, head, Some("alice")), [(end, told.to_owned())]);
    }

    /// Goal: what greffier deletes is told by its outcome; what it could not delete and somebody
    /// else did is theirs.
    #[test]
    fn a_namespace_that_greffier_deletes_is_told_once() {
        let results = [
            (None, true),
            (Some(WriteResult::Deleted), true),
            (Some(WriteResult::Refused("no".into())), false),
        ];
        for (result, own) in results {
            let mut story = Story::told();
            let prod = key("Namespace/prod");
            let precondition = Some(("ns".to_owned(), "20".to_owned()));
            let write =
                Write { precondition, ..Write::plain(Verb::Prune, prod.clone(), "v1", "left") };
            let (app, writes) = (name("web"), vec![write]);
            let body = IntentRecordedV1 { app: app.clone(), writes, commit: None, timeout_ms: 9 };
            let intent = story.event(body);
            if let Some(result) = result.clone() {
                story.event(OutcomeRecordedV1 { app, intent, results: vec![(0, result)] });
            }
            let head = story.ledger.head();
            deleting(&mut story, &prod, "30");
            assert_eq!(lines(&story, head, None).is_empty(), own, "{result:?}");
        }
    }

    /// Goal: whoever is asked about is found with what they deleted, where no drift tells it.
    #[test]
    fn a_deletion_of_what_nobody_has_is_found_by_who_did_it() {
        let mut story = Story::told();
        let (own, other) = (key("Deployment.apps/prod/web"), key("ConfigMap/prod/theirs"));
        let head = story.ledger.head();
        story.observed(&other, &json!({"kind": "ConfigMap"}), "other", "");
        let seen = gone(&mut story, &other, "other");
        assert_eq!(lines(&story, head, Some("alice")), []);
        by(&mut story, seen, &other, Verdict::FieldManager, "alice");
        assert_eq!(lines(&story, head, Some("alice")), [], "anybody can call themselves so");
        by(&mut story, seen, &other, Verdict::Exact, "alice");
        let told = "ConfigMap/prod/theirs is gone, by alice (audit, exact)";
        assert_eq!(lines(&story, head, Some("alice")), [(seen, told.to_owned())]);
        assert_eq!(lines(&story, head, Some("bob")), []);
        assert_eq!(lines(&story, head, None), [], "nobody else needs it");

        let head = story.ledger.head();
        let drift = sample_events().into_iter().find_map(|event| match event {
            Event::DriftDetected(body) => Some(body),
            _ => None,
        });
        story.observed(&own, &json!({"kind": "Deployment"}), "own", "");
        let seen = gone(&mut story, &own, "own");
        by(&mut story, seen, &own, Verdict::Exact, "alice");
        let body = DriftDetectedV1 {
            key: own,
            kind: DriftKind::Deleted,
            observation: seen,
            ..drift.unwrap()
        };
        let drift = story.event(body);
        let found = lines(&story, head, Some("alice"));
        assert_eq!(found.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [drift]);
    }
}
