//! What people hold.

use super::super::event::*;
use super::{app, commit, object, revision, write};
use crate::model::{BlobAddr, Digest, PlanHash, Seq, Timestamp};

fn held() -> HeldRender {
    HeldRender {
        seq: Seq(20),
        declared: Seq(3),
        revision: revision(),
        rendered: commit('c'),
        revisions: vec![revision()],
        inputs: Digest([6; 32]),
        sources: Digest([7; 32]),
        made_with: vec![("helm".into(), "v3.18.0".into())],
        objects: super::renders().iter().flat_map(objects_of).collect(),
        warnings: vec!["a warning".into()],
        unknown_kinds: Vec::new(),
    }
}

fn objects_of(event: &Event) -> Vec<DesiredObject> {
    match event {
        Event::RenderSucceeded(body) => body.objects.clone(),
        _ => Vec::new(),
    }
}

/// One of each kind of what is held.
fn parts() -> Vec<HoldOf> {
    let fields = HeldFields {
        key: object(),
        saved: BlobAddr([8; 32]),
        of_manifest: false,
        places: vec![vec!["f:spec".into(), "f:replicas".into()]],
        fields: vec![FieldChange {
            path: ".spec.replicas".into(),
            was: "2".into(),
            now: "5".into(),
        }],
    };
    let mut parts = vec![HoldOf::Fields(fields), HoldOf::Absence(object())];
    parts.extend(held().objects.into_iter().take(1).map(|object| {
        let seen = true;
        HoldOf::Object(Box::new(HeldObject { object, seen }))
    }));
    parts
}

fn app_held() -> Event {
    AppHeldV1 {
        app: app(),
        tree: Some(app()),
        to: Seq(21),
        at: Timestamp::from_seconds(1_700_000_000),
        said: "yesterday 14:00".into(),
        desired: held(),
        left: vec![object()],
        images: vec![HeldImage {
            key: object(),
            container: "main".into(),
            image: "shop:v1".into(),
            was: vec!["sha256:aa".into()],
            latest: "sha256:bb".into(),
            pinned: "shop:v1@sha256:aa".into(),
        }],
        approves: Some(HeldApproval {
            plan: PlanHash([9; 32]),
            writes: vec![write()],
            apps: vec![app()],
        }),
        until: Some(Timestamp(1)),
        reason: "incident 7".into(),
        automatic: Some(Box::new(from())),
    }
    .into()
}

pub(super) fn holds() -> Vec<Event> {
    vec![
        HoldBegunV1 {
            app: app(),
            of: parts(),
            from: BackTo::Drift(Seq(17)),
            until: Some(Timestamp(1)),
            reason: "sale".into(),
        }
        .into(),
        HoldEndedV1 {
            app: app(),
            objects: vec![object()],
            holds: vec![Seq(18)],
            end: HoldEnd::Expired,
        }
        .into(),
        app_held(),
        refused(),
        AppHoldEndedV1 { app: app(), hold: Seq(30), end: HoldEnd::SameAsGit, holds: vec![Seq(18)] }
            .into(),
        RestoreIntendedV1 {
            writes: vec![RestoreWrite {
                key: object(),
                version: "v1".into(),
                verb: Verb::Update,
                saved: Some(BlobAddr([8; 32])),
                of_manifest: false,
                places: vec![vec!["f:data".into(), "f:key".into()]],
                fields: vec![FieldChange {
                    path: ".data.key".into(),
                    was: "\"2\"".into(),
                    now: "\"1\"".into(),
                }],
                found: Some(("uid-1".into(), Digest([5; 32]))),
                beside: Some(Digest([6; 32])),
            }],
            from: BackTo::Undone(Seq(17)),
            timeout_ms: 10_000,
            reason: "a slip".into(),
        }
        .into(),
        RestoreEndedV1 {
            restore: Seq(32),
            objects: vec![object()],
            results: vec![(
                0,
                RestoreResult::Made { uid: "uid-1".into(), resource_version: "77".into() },
            )],
            settled: false,
        }
        .into(),
    ]
}

fn refused() -> Event {
    let reasons = vec!["nothing was well".into()];
    AutoRollbackRefusedV1 { app: app(), from: from(), reasons }.into()
}

fn from() -> AutoRollback {
    AutoRollback {
        why: RollbackCause::Degraded,
        render: Seq(20),
        commit: commit('b'),
        asked: Digest([7; 32]),
        health: Some(Seq(22)),
        message: "Deployment.apps/prod/web: it crashes".into(),
        after_ms: 12_345,
    }
}
