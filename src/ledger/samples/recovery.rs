//! What is replayed onto another cluster.

use super::super::event::*;
use super::{app, object};
use crate::model::{Digest, Seq, Timestamp};

pub(super) fn recoveries() -> Vec<Event> {
    vec![
        RecoveryBegunV1 {
            uid: "c-2".into(),
            server: "https://10.0.0.2:6443".into(),
            version: "v1.36.3".into(),
            to: Seq(40),
            at: Timestamp::from_seconds(1_700_000_000),
            apps: vec![app()],
            live: false,
            unowned: false,
            partial: true,
            objects: 1,
            plan: Digest([5; 32]),
            lost: vec![("volume-data".into(), "PersistentVolumeClaim/prod/data".into())],
        }
        .into(),
        RecoveryIntentV1 {
            recovery: Seq(41),
            writes: vec![RecoveryWrite {
                key: object(),
                version: "v1".into(),
                app: "web".into(),
                digest: Digest([6; 32]),
                render: Some(Seq(9)),
                former: "old".into(),
                again: "gone".into(),
            }],
        }
        .into(),
        RecoveryOutcomeV1 {
            recovery: Seq(41),
            intent: Seq(42),
            results: vec![
                (0, RecoveryResult::Written(recovered())),
                (1, RecoveryResult::Refused("no".into())),
                (2, RecoveryResult::Failed("later".into(), 5)),
                (3, RecoveryResult::Left("somebody else's".into())),
            ],
        }
        .into(),
        RecoveryFinishedV1 {
            recovery: Seq(41),
            uid: "c-2".into(),
            written: 1,
            failed: vec![(object(), "no".into())],
            differs: vec![(object(), ".spec.replicas 2 → 3".into())],
            verified: false,
            milliseconds: 12_345,
        }
        .into(),
        RecoveryAbandonedV1 {
            recovery: Seq(41),
            uid: "c-2".into(),
            written: 1,
            reason: "the wrong instant".into(),
        }
        .into(),
    ]
}

fn recovered() -> Recovered {
    Recovered {
        uid: "new".into(),
        resource_version: "7".into(),
        applied: Some((Timestamp::from_seconds(1_700_000_100), Digest([7; 32]))),
        found: true,
        tries: 2,
        admitted: vec![FieldChange {
            path: ".spec.replicas".into(),
            was: "2".into(),
            now: "3".into(),
        }],
    }
}
