//! What the ledger adds to the overview.

use super::dto;
use crate::ledger;
use crate::model::Seq;
use crate::query::overview::{lost_since, unfinished};
use crate::query::{Book, who};
use crate::replay::RIVAL_UNKNOWN;

/// Adds since when the API server is away, by whom drift is, and which replays have not ended.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn completed(mut status: dto::Status, book: &dyn Book) -> Result<dto::Status, ledger::Error> {
    if status.cluster.lost.is_some() {
        status.cluster.lost_since = lost_since(book)?.map(|(_, at)| at.to_string());
    }
    for drift in &mut status.drifts {
        drift.whom = who::of_drift(book, Seq(drift.seq))?;
    }
    for contest in status.contests.iter_mut().filter(|contest| contest.manager.is_empty()) {
        let Some(named) = contest.seq else { continue };
        if let Some(rival) = who::rival(book, Seq(named))? {
            contest.what = contest.what.replacen(RIVAL_UNKNOWN, &rival, 1);
        }
    }
    let replays = unfinished(book)?.into_iter().map(|replay| dto::Replay {
        seq: replay.seq.0,
        begun: replay.begun.to_string(),
        server: replay.server,
        objects: replay.objects,
        ended: replay.ended,
    });
    status.replays = replays.collect();
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{
        ActorClaim, AttributionResolvedV1, ContestNamedV1, DriftDetectedV1, DriftKind, Event,
        Learned, ObjectGoneV1, Verdict,
    };
    use crate::model::Timestamp;
    use crate::query::fixture::{Story, key};
    use crate::query::{self, why};

    /// What `status`, `why` and `log` say of the drift of the Deployment.
    fn told(story: &Story) -> [String; 3] {
        let web = key("Deployment.apps/prod/web");
        let views = query::apps(&story.world, &story.compared, &story.limits);
        let status = completed(crate::http::status_dto(&story.world, &views), &story.ledger);
        let drift = status.unwrap().drifts.remove(0);
        let subject = why::Subject::parse(&web.to_string(), None).unwrap();
        let pending = why::gather(&story.world, &story.compared, &story.limits, &subject).unwrap();
        let why = pending.read(&story.ledger, &crate::source::Options::new("/nowhere"));
        let reasons = why.unwrap().reasons;
        let reason = reasons.into_iter().find(|reason| reason.code == "changed_by").unwrap();
        let recorded = story.ledger.get(Seq(drift.seq)).unwrap().unwrap();
        [drift.whom, reason.text, who::described(&story.ledger, &recorded).summary]
    }

    /// Goal: whoever deletes again and again what greffier puts back is named where the audit tells,
    /// although it tells late and the contest is named at once.
    #[test]
    fn with_whom_a_contest_is_is_told_as_is_known_by_now() {
        let mut story = Story::told();
        let web = key("Deployment.apps/prod/web");
        let sample = |name: &str| {
            crate::ledger::samples::sample_events().into_iter().find(|event| event.name() == name)
        };
        let Some(Event::DriftDetected(drift)) = sample("drift.detected") else { panic!() };
        let Some(Event::AttributionResolved(found)) = sample("attribution.resolved") else {
            panic!()
        };
        let app = query::fixture::name("web");
        let mut gone = Seq::ZERO;
        for _ in 0..4 {
            let (key, uid) = (web.clone(), "u".to_owned());
            let found = |kind, observation| DriftDetectedV1 {
                app: app.clone(),
                key: web.clone(),
                kind,
                fields: Vec::new(),
                managers: Vec::new(),
                later: None,
                observation,
                ..drift.clone()
            };
            story.event(found(DriftKind::None, gone));
            gone = story.event(ObjectGoneV1 { key, uid, learned: Learned::Watched });
            story.event(found(DriftKind::Deleted, gone));
        }
        let path = crate::replay::WHOLE_OBJECT.to_owned();
        let (key, manager) = (web.clone(), String::new());
        let named = story.event(ContestNamedV1 { app, key, path, manager, wait_ms: 2_000 });
        let told = |story: &Story| {
            let views = query::apps(&story.world, &story.compared, &story.limits);
            let status = completed(crate::http::status_dto(&story.world, &views), &story.ledger);
            let contest = status.unwrap().contests.remove(0);
            let subject = why::Subject::parse(&web.to_string(), None).unwrap();
            let why = why::gather(&story.world, &story.compared, &story.limits, &subject).unwrap();
            let why = why.read(&story.ledger, &crate::source::Options::new("/nowhere")).unwrap();
            let reason = why.reasons.into_iter().find(|reason| reason.code == "contest").unwrap();
            let recorded = story.ledger.get(named).unwrap().unwrap();
            [contest.what, reason.text, who::described(&story.ledger, &recorded).summary]
        };
        for text in told(&story) {
            assert!(text.contains(": somebody unknown and greffier change it"), "{text}");
        }
        let claims = vec![ActorClaim { who: "alice".into(), ..ActorClaim::default() }];
        let verdict = Verdict::Exact;
        story.event(AttributionResolvedV1 {
            observation: gone,
            key: web.clone(),
            verdict,
            claims,
            ..found
        });
        for text in told(&story) {
            assert!(text.contains(": alice (audit, exact) and greffier change it"), "{text}");
        }
        story.ledger.shutdown();
    }

    /// Goal: by whom a drift is has one answer, also where it is a later write of greffier that an
    /// old copy of the ledger does not know of.
    #[test]
    fn by_whom_a_drift_is_has_one_answer() {
        let mut story = Story::told();
        let [whom, reason, summary] = told(&story);
        assert_eq!(whom, "kubectl-scale (field manager, claimed)");
        assert!(reason.ends_with(&format!(" by {whom}")), "{reason}");
        assert!(summary.ends_with(&format!(" by {whom}")), "{summary}");

        let drift = story.world.apps[&query::fixture::name("web")].drift.values().next().unwrap();
        let recorded = story.ledger.get(drift.seq).unwrap().unwrap();
        let Some(Event::DriftDetected(body)) = recorded.event.clone() else { panic!() };
        let (managers, later) = (Vec::new(), Some(Timestamp::from_seconds(1_700_000_000)));
        story.event(DriftDetectedV1 { kind: DriftKind::Drift, managers, later, ..body });
        let [whom, reason, summary] = told(&story);
        assert!(whom.contains("which this ledger does not know of"), "{whom}");
        assert!(reason.ends_with(&format!(" by {whom}")), "{reason}");
        assert!(summary.ends_with(&format!(" by {whom}")), "{summary}");
        story.ledger.shutdown();
    }
}
