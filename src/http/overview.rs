//! What the ledger adds to the overview.

use super::dto;
use crate::ledger;
use crate::model::Seq;
use crate::query::overview::{lost_since, unfinished};
use crate::query::{Book, who};

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
    use crate::ledger::event::{DriftDetectedV1, DriftKind, Event};
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
