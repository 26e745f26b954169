//! Who made a change: as is known now, or as was known at an earlier event.
//!
//! The API server's audit knows best (`attribution.resolved`), unless it could not tell. greffier's
//! own writes are known by their outcomes, and lead on to the commit; who wrote a commit, who committed it, who signed
//! and who pushed it are four answers. What is left is what the object says of itself.

mod contest;
mod deletion;
mod drift;
mod own;

pub use contest::rival;
pub(super) use deletion::{by as deleted_by, told};
pub(super) use drift::changed_in;

use super::book::{Book, as_intent};
use super::describe::{self, Described, describe};
use super::instant::backwards;
use super::signer::Signer;
use crate::ledger::event::{
    ActorClaim, AttributionResolvedV1, DriftDetectedV1, DriftKind, Event, FieldRemark, Verdict,
};
use crate::ledger::store::SubjectKey;
use crate::ledger::subjects::Topic;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, CommitId, ObjectKey, Scheme, Seq};

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The observation that shows the change.
    pub observation: Seq,
    /// How well it is known.
    pub verdict: Verdict,
    /// Who, strongest first.
    pub claims: Vec<ActorClaim>,
    /// How many more can have made it who are not named.
    pub more: u32,
    /// The `attribution.resolved` that says so, if one does.
    pub attribution: Option<Seq>,
    /// The changed fields and where they come from, where that is known.
    pub fields: Vec<FieldRemark>,
    /// What brought it about in turn.
    pub causes: Vec<Seq>,
    /// Why it is not known better.
    pub why: String,
    /// The `audit.gap-suspected` about it.
    pub gap: Option<Seq>,
    /// greffier's own write, if it was one.
    pub own: Option<OwnWrite>,
}

/// A write of greffier, and what it goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnWrite {
    /// The application; `None` = none: a person restored it.
    pub app: Option<AppName>,
    /// The intent.
    pub intent: Seq,
    /// The outcome that names the version.
    pub outcome: Seq,
    /// Why it was written.
    pub reason: String,
    /// The commit that was applied.
    pub commit: Option<CommitId>,
    /// Who the commit says wrote it: a claim. Empty when the commit is not in the ledger.
    pub author: String,
    /// Who the commit says committed it: a claim.
    pub committer: String,
    /// Who signed it.
    pub signer: Signer,
}

/// Who made the change that the event `seq` shows, as known at `as_of`; `None` = the event shows
/// no change of an object.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn who(book: &dyn Book, seq: Seq, as_of: Option<Seq>) -> Result<Option<Who>, ledger::Error> {
    let Some(recorded) = book.get(seq)? else { return Ok(None) };
    let Some(event) = &recorded.event else { return Ok(None) };
    let Some((key, observation)) = shown(event, seq) else { return Ok(None) };
    let changed = match event {
        Event::DriftDetected(body) => drift::changed_in(book, body)?,
        _ => Some(observation),
    };
    let observation = match (changed, event) {
        (Some(changed), _) => changed,
        // What a deletion names is what had been recorded last, whatever it is about.
        (None, Event::DriftDetected(body)) if body.kind == DriftKind::Deleted => seq,
        (None, _) => observation,
    };
    let known = match changed {
        Some(changed) => in_force(book, changed, as_of)?,
        None => Known::default(),
    };
    let mut who = Who {
        observation,
        verdict: Verdict::Unknown,
        claims: Vec::new(),
        more: 0,
        attribution: None,
        fields: Vec::new(),
        causes: Vec::new(),
        why: "no audit record tells, and nothing else does".to_owned(),
        gap: known.gap,
        own: None,
    };
    if let Some((at, body)) = known.resolved {
        who.attribution = Some(at);
        (who.causes, who.why) = (body.causes, body.why);
        if body.verdict != Verdict::Unknown {
            (who.verdict, who.claims, who.more) = (body.verdict, body.claims, body.more);
            who.fields = body.fields;
        }
        // What a record tells is better than any answer; what the object says of itself is not.
        if !matches!(body.verdict, Verdict::Unknown | Verdict::FieldManager) {
            who.own = replayed(book, (&key, observation), &who.claims, as_of)?;
            return Ok(Some(who));
        }
    }
    if changed.is_none() {
        who.why = "no single change that was seen made it".to_owned();
        return Ok(Some(who));
    }
    let observed = book.get(observation)?;
    let Some(observed) = observed else { return Ok(Some(who)) };
    let as_of = as_of.unwrap_or_else(|| book.head());
    let subject = |uid| own::Subject { key: &key, uid, observation, as_of };
    who.own = match &observed.event {
        Some(Event::ObjectObserved(body)) => subject(&body.uid).version(book, body)?,
        Some(Event::ObjectGone(body)) => subject(&body.uid).deletion(book)?,
        _ => None,
    };
    if who.own.is_some() {
        who.verdict = Verdict::Exact;
        let strength = Verdict::Exact.strength();
        who.claims = vec![ActorClaim { who: "greffier".into(), strength, ..ActorClaim::default() }];
        who.more = 0;
        who.why = String::new();
        return Ok(Some(who));
    }
    if who.verdict == Verdict::Unknown {
        claimed(&mut who, &observed);
    }
    Ok(Some(who))
}

/// The write of a replay or a restore that the records tell of which name somebody.
fn replayed(
    book: &dyn Book,
    (key, observation): (&ObjectKey, Seq),
    claims: &[ActorClaim],
    as_of: Option<Seq>,
) -> Result<Option<OwnWrite>, ledger::Error> {
    let observed = book.get(observation)?;
    let Some(Event::ObjectObserved(body)) = observed.as_ref().and_then(|r| r.event.as_ref()) else {
        return Ok(None);
    };
    let as_of = as_of.unwrap_or_else(|| book.head());
    own::Subject { key, uid: &body.uid, observation, as_of }.told_by(book, body, claims)
}

/// What the object says of itself.
fn claimed(who: &mut Who, observed: &Recorded) {
    let managers = observed.actor.claims.iter().filter(|c| c.scheme == Scheme::FieldManager);
    who.claims = managers
        .map(|claim| ActorClaim {
            who: claim.value.clone(),
            strength: Verdict::FieldManager.strength(),
            ..ActorClaim::default()
        })
        .collect();
    if !who.claims.is_empty() {
        who.verdict = Verdict::FieldManager;
        let claimed = "what the object says of itself: any client can set it";
        who.why = match who.attribution {
            Some(_) => format!("{}; the names are {claimed}", who.why),
            None => claimed.to_owned(),
        };
    }
}

/// The object and the observation that an event is about.
fn shown(event: &Event, seq: Seq) -> Option<(ObjectKey, Seq)> {
    match event {
        Event::ObjectObserved(body) => Some((body.key.clone(), seq)),
        Event::ObjectGone(body) => Some((body.key.clone(), seq)),
        Event::DriftDetected(body) => Some((body.key.clone(), body.observation)),
        Event::AttributionResolved(body) => Some((body.key.clone(), body.observation)),
        Event::AuditGapSuspected(body) => Some((body.key.clone(), body.observation)),
        _ => None,
    }
}

/// What was said about an observation.
#[derive(Default)]
struct Known {
    resolved: Option<(Seq, AttributionResolvedV1)>,
    gap: Option<Seq>,
}

/// The event that shows the end of an object whose deletion was found; `None` = no single one
/// does: a list did not show it any more.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub(super) fn went(book: &dyn Book, body: &DriftDetectedV1) -> Result<Option<Seq>, ledger::Error> {
    let about = SubjectKey::object(&body.key);
    let found = backwards(book, about, body.observation.next(), |recorded| match &recorded.event {
        Some(Event::ObjectGone(gone)) if gone.key == body.key => Some(Some(recorded.seq())),
        Some(Event::ObjectObserved(seen)) if seen.key == body.key => Some(None),
        _ => None,
    });
    Ok(found?.flatten())
}

/// What is in force about an observation: the last word up to `as_of`.
fn in_force(book: &dyn Book, observation: Seq, as_of: Option<Seq>) -> Result<Known, ledger::Error> {
    let mut known = Known::default();
    let about = SubjectKey::topic(&Topic::Shown(observation));
    let seqs = book.find(about, observation, usize::MAX).into_iter();
    for seq in seqs.take_while(|seq| as_of.is_none_or(|as_of| *seq <= as_of)) {
        let Some(recorded) = book.get(seq)? else { continue };
        match &recorded.event {
            Some(Event::AttributionResolved(body)) if body.observation == observation => {
                known.resolved = Some((seq, body.clone()));
            }
            Some(Event::AuditGapSuspected(body)) if body.observation == observation => {
                known.gap = Some(seq);
            }
            _ => {}
        }
    }
    Ok(known)
}

/// Whether something was said about who made what an observation shows.
pub(super) fn is_told(book: &dyn Book, observation: Seq) -> Result<bool, ledger::Error> {
    let known = in_force(book, observation, None)?;
    Ok(known.resolved.is_some() || known.gap.is_some())
}

/// Describes an event, with who made the change that it shows, where that is known better than
/// the event itself says.
#[must_use]
pub fn described(book: &dyn Book, recorded: &Recorded) -> Described {
    let intent = recorded.event.as_ref().and_then(|event| book.intent_of(event));
    let described = describe(recorded, intent.as_deref().and_then(as_intent));
    attributed(book, recorded, told(book, recorded, described))
}

/// The same for an event that was described.
#[must_use]
pub fn attributed(book: &dyn Book, recorded: &Recorded, described: Described) -> Described {
    if let Some(Event::ContestNamed(body)) = &recorded.event {
        return contest::named(book, recorded.seq(), body, described);
    }
    let Some(event @ (Event::DriftDetected(_) | Event::ObjectObserved(_) | Event::ObjectGone(_))) =
        &recorded.event
    else {
        return described;
    };
    let Some((_, observation)) = shown(event, recorded.seq()) else { return described };
    let changed = match event {
        Event::DriftDetected(body) => drift::changed_in(book, body).unwrap_or_default(),
        _ => Some(observation),
    };
    let Some(observation) = changed else { return drift::of_several(book, event, described) };
    // What cannot be read is told when it is asked for by itself.
    let known = in_force(book, observation, None).unwrap_or_default();
    match known.resolved {
        Some((_, body)) if !body.claims.is_empty() => describe::by_whom(described, event, &body),
        // A deletion that is told is told with whoever did it.
        _ if !described.noise && !matches!(event, Event::DriftDetected(_)) => {
            Described { summary: format!("{}, by unknown", described.summary), ..described }
        }
        _ => described,
    }
}

/// By whom a drift is, in words: the one answer of `log`, `status` and `why`.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn of_drift(book: &dyn Book, seq: Seq) -> Result<String, ledger::Error> {
    let whom = book.get(seq)?.map(|recorded| described(book, &recorded).whom);
    Ok(whom.filter(|whom| !whom.is_empty()).unwrap_or_else(|| "unknown".to_owned()))
}

/// Describes what is told although the event by itself says nothing to everybody: that a namespace
/// goes, and an `attribution.resolved` that does not name its drift, although the drift had been
/// recorded by then: who did it and that it is drift are found out side by side. `None` for every
/// other event.
#[must_use]
pub fn told_late(book: &dyn Book, recorded: &Recorded) -> Option<Described> {
    let described = describe(recorded, None);
    if described.noise {
        let told = told(book, recorded, described);
        if !told.noise {
            return Some(told);
        }
    }
    let Some(Event::AttributionResolved(body)) = &recorded.event else { return None };
    if body.drift.is_some() {
        return None;
    }
    let about = SubjectKey::object(&body.key);
    let found = backwards(book, about, recorded.seq(), |earlier| match &earlier.event {
        _ if earlier.seq() <= body.observation => Some(None),
        Some(Event::DriftDetected(drift)) if drift.key == body.key => {
            let changed = drift::changed_in(book, drift).unwrap_or_default();
            (changed == Some(body.observation)).then_some(Some(earlier.seq()))
        }
        _ => None,
    });
    // What cannot be read is told when it is asked for by itself.
    let drift = found.ok().flatten().flatten()?;
    let event = AttributionResolvedV1 { drift: Some(drift), ..body.clone() }.into();
    Some(describe::of_event(&event, &recorded.actor, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::DriftDetectedV1;
    use crate::ledger::samples::sample_events;
    use crate::ledger::{Draft, Ledger};
    use crate::query::search::Filter;

    fn sample(name: &str) -> Event {
        sample_events().into_iter().find(|event| event.name() == name).unwrap()
    }

    fn said(observation: Seq, verdict: Verdict, names: &[&str]) -> Event {
        let Event::AttributionResolved(body) = sample("attribution.resolved") else { panic!() };
        let claim = |name: &&str| ActorClaim { who: (*name).into(), ..ActorClaim::default() };
        let claims = names.iter().map(claim).collect();
        AttributionResolvedV1 { observation, verdict, claims, ..body }.into()
    }

    /// Goal: whoever was found out beside the drift, and recorded after it without naming it, is
    /// told of; who was found out before it is named with the drift itself.
    #[test]
    fn who_was_found_out_beside_the_drift_is_told_after_it() {
        let ledger = Ledger::in_memory();
        let append = |event: Event| ledger.append_blocking(Draft::new(event)).unwrap()[0];
        let told = |seq| told_late(&ledger, &ledger.get(seq).unwrap().unwrap());
        let Event::ObjectObserved(mut body) = sample("object.observed") else { panic!() };
        let Event::DriftDetected(drift) = sample("drift.detected") else { panic!() };
        let Event::AttributionResolved(found) = said(Seq(0), Verdict::Exact, &["alice"]) else {
            panic!()
        };
        body.key = drift.key.clone();
        let observation = append(body.into());
        let key = drift.key.clone();
        let found = AttributionResolvedV1 { observation, key, drift: None, ..found };
        let before = append(found.clone().into());
        let drift = append(DriftDetectedV1 { observation, ..drift }.into());
        let beside = append(found.clone().into());
        let after = append(AttributionResolvedV1 { drift: Some(drift), ..found.clone() }.into());
        let of_another = append(AttributionResolvedV1 { observation: drift, ..found }.into());

        assert!(told(before).is_none());
        let summary = told(beside).unwrap().summary;
        let expected = format!("before #{drift} was by alice (audit, exact)");
        assert!(summary.contains(&expected), "{summary}");
        assert!(told(after).is_none() && told(of_another).is_none() && told(drift).is_none());
    }

    /// Goal: what was believed then and what is known now are both answers, and lists name who is
    /// known now.
    #[test]
    fn as_known_then_and_as_known_now() {
        let ledger = Ledger::in_memory();
        let append = |event: Event| ledger.append_blocking(Draft::new(event)).unwrap()[0];
        let Event::ObjectObserved(mut body) = sample("object.observed") else { panic!() };
        let Event::DriftDetected(drift) = sample("drift.detected") else { panic!() };
        body.key = drift.key.clone();
        let observation = append(body.into());
        let drift = append(DriftDetectedV1 { observation, ..drift }.into());
        let first = append(said(observation, Verdict::Ambiguous, &["alice", "bob"]));
        let second = append(said(observation, Verdict::Exact, &["alice"]));
        append(said(Seq(99), Verdict::Exact, &["mallory"]));

        let names = |as_of| {
            let who = who(&ledger, drift, as_of).unwrap().unwrap();
            let names: Vec<_> = who.claims.iter().map(|claim| claim.who.clone()).collect();
            (who.verdict, who.attribution, names.join(" "))
        };
        assert_eq!(names(None), (Verdict::Exact, Some(second), "alice".into()));
        assert_eq!(names(Some(first)), (Verdict::Ambiguous, Some(first), "alice bob".into()));
        assert_eq!(names(Some(drift)).1, None);
        assert_eq!(who(&ledger, Seq(1), None).unwrap(), None, "a start shows no change");

        let recorded = ledger.get(drift).unwrap().unwrap();
        let told = described(&ledger, &recorded);
        assert!(told.summary.ends_with(" by alice (audit, exact)"), "{}", told.summary);
        assert_eq!(told.by[0], "alice");
        assert_eq!(of_drift(&ledger, drift).unwrap(), "alice (audit, exact)");
        let by = Filter { actor: Some("alice".into()), ..Filter::default() };
        assert!(by.take(&ledger, recorded.clone()).is_some());
        let by = Filter { actor: Some("mallory".into()), ..Filter::default() };
        assert!(by.take(&ledger, recorded).is_none());
    }
}
