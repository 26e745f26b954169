//! What a replay has recorded through the daemon, and what the daemon does not record.

use serde_json::json;

use super::dto::{self, RecoveryRecord};
use crate::http::tests::Daemon;
use crate::http::{ClientError, ClientError::Api};
use crate::ledger::event::{
    ClusterIdentifiedV1, ClusterReplacedV1, Event, Recovered, RecoveryAbandonedV1, RecoveryBegunV1,
    RecoveryFinishedV1, RecoveryIntentV1, RecoveryOutcomeV1, RecoveryResult, RecoveryWrite,
};
use crate::ledger::samples::sample_events;
use crate::model::{Digest, ObjectKey, Seq};
use crate::query::fixture::Story;

fn begun(uid: &str) -> RecoveryRecord {
    let begun = sample_events().into_iter().find_map(|event| match event {
        Event::RecoveryBegun(body) => Some(body),
        _ => None,
    });
    RecoveryRecord::Begun(RecoveryBegunV1 { uid: uid.into(), ..begun.unwrap() })
}

fn intent(recovery: u64) -> RecoveryRecord {
    let write = RecoveryWrite {
        key: ObjectKey::new("", "ConfigMap", "prod", "a"),
        version: "v1".into(),
        app: "web".into(),
        digest: Digest([3; 32]),
        render: None,
        former: String::new(),
        again: String::new(),
    };
    RecoveryRecord::Intent(RecoveryIntentV1 { recovery: Seq(recovery), writes: vec![write] })
}

fn outcome(recovery: u64, intent: u64, index: u32) -> RecoveryRecord {
    let written = RecoveryResult::Written(Recovered {
        uid: "new".into(),
        resource_version: "1".into(),
        applied: None,
        found: false,
        tries: 1,
        admitted: Vec::new(),
    });
    let (recovery, intent, results) = (Seq(recovery), Seq(intent), vec![(index, written)]);
    RecoveryRecord::Outcome(RecoveryOutcomeV1 { recovery, intent, results })
}

fn finished(recovery: u64, verified: bool) -> RecoveryRecord {
    RecoveryRecord::Finished(RecoveryFinishedV1 {
        recovery: Seq(recovery),
        uid: "c-2".into(),
        written: 1,
        failed: Vec::new(),
        differs: Vec::new(),
        verified,
        milliseconds: 0,
    })
}

async fn post(daemon: &Daemon, record: &RecoveryRecord) -> Result<u64, ClientError> {
    let recorded: dto::Recorded = daemon.client.post("recovery", record).await?;
    Ok(recorded.seq)
}

async fn refused(daemon: &Daemon, record: &RecoveryRecord) -> dto::Error {
    match post(daemon, record).await {
        Err(Api(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_replay_is_recorded_step_by_step_with_who_replays() {
    let daemon = Daemon::start(Story::told()).await;
    let recovery = post(&daemon, &begun("c-2")).await.unwrap();
    let meant = post(&daemon, &intent(recovery)).await.unwrap();
    let ended = post(&daemon, &outcome(recovery, meant, 0)).await.unwrap();
    let whole = post(&daemon, &finished(recovery, true)).await.unwrap();
    for (seq, kind, cause) in [
        (recovery, "recovery.begun", None),
        (meant, "recovery.intent", Some(recovery)),
        (ended, "recovery.outcome", Some(meant)),
        (whole, "recovery.finished", Some(recovery)),
    ] {
        let event: dto::Event = daemon.client.get(&format!("events/{seq}"), "").await.unwrap();
        assert_eq!((event.kind.as_str(), event.causes.first().copied()), (kind, cause));
        assert!(event.actor.starts_with("os-user:"), "{}", event.actor);
    }
    // What goes over the wire is what is recorded.
    let event: dto::Event = daemon.client.get(&format!("events/{meant}"), "").await.unwrap();
    assert_eq!(event.detail.unwrap()["writes"][0]["key"]["name"], "a");
}

#[tokio::test]
async fn what_belongs_to_no_replay_that_goes_on_is_not_recorded() {
    let daemon = Daemon::start(Story::told()).await;
    let recovery = post(&daemon, &begun("c-2")).await.unwrap();
    let meant = post(&daemon, &intent(recovery)).await.unwrap();
    let other = post(&daemon, &begun("c-3")).await.unwrap();
    let head = daemon.client.get::<dto::Status>("status", "").await.unwrap().ledger.seq;

    let again = refused(&daemon, &begun("c-2")).await;
    assert_eq!(again.code, "replay_refused");
    assert!(again.message.contains("has not ended") && again.hint.contains("--resume"));
    for (record, what) in [
        (intent(1), "is no replay"),
        (outcome(recovery, meant, 1), "intended no such write"),
        (outcome(other, meant, 0), "intended no such write"),
        (outcome(recovery, recovery, 0), "intended no such write"),
        (finished(meant, true), "is no replay"),
    ] {
        let error = refused(&daemon, &record).await;
        assert!(error.message.contains(what), "{record:?}: {}", error.message);
    }
    let nothing: Result<dto::Recorded, _> = daemon.client.post("recovery", &json!({})).await;
    assert!(nothing.is_err());
    let status: dto::Status = daemon.client.get("status", "").await.unwrap();
    assert_eq!(status.ledger.seq, head, "nothing of it was recorded");

    // One that is not verified goes on; one that is has ended.
    post(&daemon, &finished(recovery, false)).await.unwrap();
    post(&daemon, &finished(recovery, true)).await.unwrap();
    let error = refused(&daemon, &intent(recovery)).await;
    assert!(error.message.contains("has ended"), "{}", error.message);
    post(&daemon, &begun("c-2")).await.unwrap();
}

#[tokio::test]
async fn a_replay_that_a_person_ended_goes_on_no_more() {
    let daemon = Daemon::start(Story::told()).await;
    let recovery = post(&daemon, &begun("c-2")).await.unwrap();
    let abandoned = |reason: String| {
        let (recovery, uid) = (Seq(recovery), "c-2".into());
        RecoveryRecord::Abandoned(RecoveryAbandonedV1 { recovery, uid, written: 0, reason })
    };
    let error = refused(&daemon, &abandoned("x".repeat(2_001))).await;
    assert!(error.message.contains("2000 bytes"), "{}", error.message);
    let ended = post(&daemon, &abandoned("the wrong instant".into())).await.unwrap();
    let event: dto::Event = daemon.client.get(&format!("events/{ended}"), "").await.unwrap();
    assert_eq!((event.kind.as_str(), event.causes), ("recovery.abandoned", vec![recovery]));
    assert!(event.actor.starts_with("os-user:"), "{}", event.actor);
    assert!(event.summary.contains("ABANDONED") && event.summary.contains("the wrong instant"));
    for record in [intent(recovery), finished(recovery, true), abandoned(String::new())] {
        let error = refused(&daemon, &record).await;
        assert!(error.message.contains("has ended"), "{record:?}: {}", error.message);
    }
    post(&daemon, &begun("c-2")).await.unwrap();
}

#[tokio::test]
async fn the_cluster_that_the_daemon_writes_to_is_no_target() {
    let story = Story::told();
    let kept = story.world.cluster.uid.clone();
    let daemon = Daemon::start(story).await;
    let identified = |uid: &str| ClusterIdentifiedV1 {
        uid: uid.into(),
        version: "v1.36.0".into(),
        server: "https://127.0.0.1".into(),
    };
    let uid = if kept.is_empty() { "c-1".to_owned() } else { kept };
    daemon.told.0.lock().unwrap().event(identified(&uid));
    let error = refused(&daemon, &begun(&uid)).await;
    assert_eq!(error.code, "replay_refused");
    assert!(error.message.contains("puts back what is missing"), "{}", error.message);
    // Of one in doubt it puts nothing back, and does not say so.
    let replaced = ClusterReplacedV1 {
        kept: uid.clone(),
        uid: "c-9".into(),
        version: "v1.36.0".into(),
        server: "https://127.0.0.1".into(),
    };
    let doubt = daemon.told.0.lock().unwrap().event(replaced);
    let error = refused(&daemon, &begun("c-9")).await;
    let text = &error.message;
    assert!(text.contains("DOUBT") && text.contains(&format!("#{doubt}")), "{text}");
    assert!(!text.contains("by itself"), "{text}");
    assert!(error.hint.contains("greffier cluster accept --plan"), "{}", error.hint);
}
