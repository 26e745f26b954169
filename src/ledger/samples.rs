//! One event of every kind, for tests. A kind without a sample fails the test at the end.

mod contests;
mod holds;
mod identity;
mod pushes;
mod recovery;

use super::event::*;
use crate::model::{
    AppName, BlobAddr, CommitId, Digest, GroupKind, Mask, ObjectKey, PlanHash, Protection, Scope,
    Seq, Stance, Timestamp,
};

pub(crate) fn app() -> AppName {
    "web".parse().unwrap()
}

pub(crate) fn commit(digit: char) -> CommitId {
    String::from(digit).repeat(40).parse().unwrap()
}

pub(crate) fn object() -> ObjectKey {
    ObjectKey::new("apps", "Deployment", "prod", "web")
}

fn signature() -> Signature {
    Signature {
        name: "Alice".into(),
        email: "alice@example.org".into(),
        time: Timestamp::from_seconds(1_700_000_000),
    }
}

fn revision() -> RevisionRef {
    RevisionRef { repo: "/srv/infra".into(), commit: commit('a'), tree: commit('b') }
}

fn write() -> Write {
    Write {
        verb: Verb::Heal,
        key: object(),
        version: "v1".into(),
        manifest: Some(BlobAddr([1; 32])),
        digest: Digest([2; 32]),
        method: Method::Apply,
        validate: true,
        precondition: Some(("uid".into(), "41".into())),
        respect: Mask {
            pointers: vec!["/spec/replicas".into()],
            jq: vec![".a[]".into()],
            managers: vec!["vpa".into()],
        },
        strict: true,
        failed_before: "quota".into(),
        holds: vec![Seq(12)],
        reason: "replicas differ".into(),
    }
}

fn stamp() -> ManagerStamp {
    ManagerStamp {
        manager: "kubectl-edit".into(),
        operation: "Update".into(),
        subresource: String::new(),
        time: Some(Timestamp::from_seconds(1_700_000_001)),
        fields: Digest([3; 32]),
    }
}

fn notes() -> ApplyNotes {
    let (path, was, now) = (".spec.size".to_owned(), "1".to_owned(), "2".to_owned());
    ApplyNotes {
        admitted: vec![FieldChange { path, was, now }],
        co_owners: vec!["kubectl-client-side-apply".into()],
        surplus: true,
        left: vec![(".data.a".into(), vec!["helm".into()])],
        by_hand: vec![(".data.b".into(), vec!["kubectl-edit".into()])],
        written: Some(Timestamp(9)),
    }
}

fn protection() -> Protection {
    Protection {
        prune: Stance::Asks,
        delete: Stance::Stays,
        keep: true,
        extraneous: true,
        wave: -2,
    }
}

fn results() -> Vec<(u32, WriteResult)> {
    vec![
        (
            0,
            WriteResult::Applied(Applied {
                uid: "u".into(),
                resource_version: "42".into(),
                baseline: Digest([4; 32]),
                object: BlobAddr([5; 32]),
                changed: true,
                digest: Digest([6; 32]),
                managers: Digest([7; 32]),
                health: Health::Healthy,
                health_message: String::new(),
                protection: protection(),
                notes: Box::new(notes()),
            }),
        ),
        (1, WriteResult::Deleted),
        (2, WriteResult::AlreadyGone),
        (3, WriteResult::Refused("immutable".into())),
        (4, WriteResult::Failed("timeout".into())),
        (5, WriteResult::Unknown("connection reset".into())),
        (6, WriteResult::NotSent("stopping".into())),
        (7, WriteResult::Unsupported("no apply".into())),
        (8, WriteResult::Gone("it is another object".into())),
        (9, WriteResult::Another(Timestamp::from_seconds(1_700_000_003))),
    ]
}

pub(crate) fn observed() -> ObjectObservedV1 {
    ObjectObservedV1 {
        key: object(),
        version: "v1".into(),
        uid: "5d0b6f6c-0000-4000-8000-000000000000".into(),
        resource_version: "1234".into(),
        generation: 3,
        added: false,
        learned: Learned::Watched,
        digest: Digest([6; 32]),
        owned: Some(Digest([7; 32])),
        object: BlobAddr([8; 32]),
        status: Some(BlobAddr([9; 32])),
        images: vec![PulledImage {
            container: "main".into(),
            image: "shop:v1".into(),
            id: "shop@sha256:aa".into(),
        }],
        managers: vec![stamp()],
        controller: Some((GroupKind::new("apps", "ReplicaSet"), "web-1".into(), "u".into())),
        health: Health::Progressing,
        health_message: "1 of 2 ready".into(),
        health_rules: 1,
        deleting: false,
        claimed_by: "web".into(),
        protection: protection(),
        managed_by: "Argo CD (application web)".into(),
        scales: Some(Box::new(object())),
    }
}

fn lifecycle() -> Vec<Event> {
    vec![
        LedgerCreatedV1 { version: "0.1.0".into() }.into(),
        DaemonStartedV1 { version: "0.1.0".into(), observe: true, pid: 7 }.into(),
        DaemonStoppedV1 { reason: "signal".into() }.into(),
        LedgerRepairedV1 {
            what: "torn".into(),
            kept: "aside/x".into(),
            possibly_acknowledged: true,
        }
        .into(),
        ConfigLoadedV1 { toml: "data_dir = \"/var/lib/greffier\"\n".repeat(20) }.into(),
        DeadlineReachedV1 { deadline: Timestamp(-5) }.into(),
    ]
}

fn git() -> Vec<Event> {
    vec![
        CommitRecordedV1 {
            repo: "/srv/infra".into(),
            commit: commit('a'),
            tree: commit('b'),
            parents: vec![commit('c'), commit('d')],
            author: signature(),
            committer: signature(),
            message: "scale web\n\nBecause of the sale. ✓".into(),
            changed: vec!["apps/web.yaml".into()],
            changed_total: 1,
            signature: Some(CommitSignature {
                form: SignatureForm::Ssh,
                verdict: SignatureVerdict::Valid,
                key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".into(),
                principal: "alice@example.org".into(),
                note: String::new(),
            }),
        }
        .into(),
        RefMovedV1 {
            repo: "/srv/infra".into(),
            name: "refs/heads/main".into(),
            old: None,
            new: Some(commit('a')),
        }
        .into(),
        HistoryRewrittenV1 {
            repo: "/srv/infra".into(),
            name: "refs/heads/main".into(),
            old: commit('a'),
            new: commit('b'),
            dropped: vec![commit('a')],
            same_tree: false,
            follow: false,
        }
        .into(),
        HistoryImportedV1 {
            repo: "/srv/infra".into(),
            name: "refs/heads/main".into(),
            commits: 1000,
            begins_at: vec![commit('e')],
        }
        .into(),
        FetchFailedV1 { repo: "/srv/infra".into(), error: "not a repository".into() }.into(),
        FetchRecoveredV1 { repo: "/srv/infra".into() }.into(),
        FetchUnchangedV1 { repo: "/srv/infra".into() }.into(),
    ]
}

fn apps() -> Vec<Event> {
    vec![
        AppDeclaredV1 {
            app: app(),
            manifest: b"{\"kind\":\"Application\"}".to_vec(),
            origin: Origin::Parent("root".parse().unwrap()),
        }
        .into(),
        AppRemovedV1 {
            app: app(),
            cascade: false,
            origin: Origin::Operator,
            declared: Some(Seq(3)),
            orphans: vec![object()],
        }
        .into(),
        AppRefusedV1 {
            app: "Not A Name".into(),
            error: "no source".into(),
            origin: Origin::Config,
        }
        .into(),
        AppHealthChangedV1 {
            app: app(),
            was: Health::Missing,
            now: Health::Healthy,
            message: String::new(),
        }
        .into(),
        ObjectHealthChangedV1 {
            app: app(),
            key: object(),
            was: Health::Healthy,
            now: Health::Degraded,
            message: "too late".into(),
        }
        .into(),
    ]
}

fn renders() -> Vec<Event> {
    vec![
        RenderSucceededV1 {
            app: app(),
            declared: Seq(7),
            revision: revision(),
            revisions: vec![revision()],
            inputs: Digest([9; 32]),
            sources: Digest([8; 32]),
            tool: "directory".into(),
            made_with: vec![("helm".into(), "v4.0.1".into())],
            restores: vec![commit('a')],
            objects: vec![DesiredObject {
                key: object(),
                version: "v1".into(),
                manifest: BlobAddr([1; 32]),
                digest: Digest([2; 32]),
                wave: -1,
                replicas: Some(2),
                origin: "apps/web.yaml#1".into(),
                holds: vec![ObjectHold {
                    what: "Prune=false".into(),
                    create: false,
                    update: false,
                    prune: true,
                }],
                options: ObjectOptions { replace: Some(true), force: None, validate: Some(false) },
                application: Some(b"{}".to_vec()),
            }],
            warnings: vec!["empty document".into()],
            unknown_kinds: vec![GroupKind::new("example.org", "Widget")],
            reused: Some(Seq(5)),
        }
        .into(),
        RevisionAdvancedV1 {
            app: app(),
            declared: Seq(7),
            revision: revision(),
            revisions: vec![revision()],
            inputs: Digest([9; 32]),
            made_with: vec![("helm".into(), "v4.0.1".into())],
        }
        .into(),
        ProgramsFoundV1 { versions: vec![("helm".into(), "v4.1.0".into())] }.into(),
        RenderFailedV1 {
            app: app(),
            declared: Seq(7),
            commit: None,
            commits: vec![None, Some(commit('a'))],
            transient: true,
            error: "apps/web.yaml:3: tab".into(),
        }
        .into(),
        RenderVariedV1 {
            app: app(),
            declared: Seq(7),
            inputs: Digest([8; 32]),
            fields: vec![(object(), ".data.password".into())],
        }
        .into(),
    ]
}

fn plans() -> Vec<Event> {
    let plan = PlanHash([10; 32]);
    vec![
        PlanGatedV1 {
            app: app(),
            plan,
            reasons: vec![GateReason { what: "deletes 7 of 9".into() }],
            writes: vec![write()],
            apps: vec!["child".parse().unwrap()],
            render: Some(Digest([11; 32])),
            commit: Some(commit('a')),
        }
        .into(),
        GateLapsedV1 { app: app(), plan }.into(),
        RemovalAwaitedV1 { app: app(), objects: vec![object()] }.into(),
        PlanApprovedV1 { app: app(), plan, reason: "yes".into() }.into(),
        WritesSuspendedV1 { app: app(), reasons: vec!["hooks".into()] }.into(),
        DriftDetectedV1 {
            app: app(),
            key: object(),
            kind: DriftKind::Drift,
            fields: vec![FieldChange {
                path: ".spec.replicas".into(),
                was: "2".into(),
                now: "5".into(),
            }],
            places: vec![vec!["f:spec".into(), "f:replicas".into()]],
            managers: vec![stamp()],
            observation: Seq(17),
            mask: Digest([13; 32]),
            saved: Some(BlobAddr([8; 32])),
            later: Some(Timestamp::from_seconds(1_800_000_000)),
        }
        .into(),
        IgnoreCheckedV1 { app: app(), problems: vec![("|".into(), "cannot be read".into())] }
            .into(),
        IgnoreFailedV1 {
            app: app(),
            key: object(),
            mask: Digest([15; 32]),
            live: Digest([16; 32]),
            error: "stopped".into(),
            transient: true,
        }
        .into(),
        IntentRecordedV1 {
            app: app(),
            writes: vec![write()],
            commit: Some(commit('a')),
            timeout_ms: 10_000,
        }
        .into(),
        OutcomeRecordedV1 { app: app(), intent: Seq(3), results: results() }.into(),
        IntentSettledV1 { app: app(), intent: Seq(3), results: results() }.into(),
        SyncFinishedV1 {
            app: app(),
            commit: commit('a'),
            succeeded: true,
            message: "all applied".into(),
            counts: (1, 2, 3),
            request: Some(Seq(4)),
            approval: Some(Seq(5)),
        }
        .into(),
    ]
}

fn cluster() -> Vec<Event> {
    vec![
        ClusterIdentifiedV1 {
            uid: "u".into(),
            version: "v1.36.3".into(),
            server: "https://127.0.0.1:6443".into(),
        }
        .into(),
        ClusterLostV1 { error: "connection refused".into() }.into(),
        ClusterFoundV1 {}.into(),
        KindsServedV1 {
            kinds: vec![ServedKind {
                kind: GroupKind::new("apps", "Deployment"),
                version: "v1".into(),
                plural: "deployments".into(),
                scope: Scope::Namespaced,
                watched: true,
                watchable: true,
            }],
            broken_groups: vec!["metrics.k8s.io".into()],
        }
        .into(),
        observed().into(),
        ObjectGoneV1 { key: object(), uid: "u".into(), learned: Learned::Listed }.into(),
        KindListedV1 {
            kind: GroupKind::new("", "ConfigMap"),
            objects: 12,
            resource_version: "42".into(),
            named: vec![object()],
        }
        .into(),
        WatchGapV1 {
            kind: GroupKind::new("", "ConfigMap"),
            reason: "410 Gone".into(),
            refused: false,
        }
        .into(),
    ]
}

pub(crate) fn received() -> AuditReceivedV1 {
    let user = AuditUser {
        name: "alice".into(),
        uid: "uid-2".into(),
        groups: vec!["system:authenticated".into()],
        credential: "JTI=1".into(),
        pod: String::new(),
    };
    AuditReceivedV1 {
        audit_id: "8f1c".into(),
        level: AuditLevel::RequestResponse,
        verb: "patch".into(),
        key: object(),
        subresource: "scale".into(),
        impersonated: Some(Box::new(AuditUser { name: "bob".into(), ..AuditUser::default() })),
        user: Box::new(user),
        source_ip: "10.0.0.7".into(),
        user_agent: "kubectl/v1.36.3".into(),
        field_manager: "kubectl-edit".into(),
        code: 200,
        received: Timestamp::from_seconds(1_700_000_001),
        completed: Timestamp::from_seconds(1_700_000_002),
        uid: "u".into(),
        resource_version: "42".into(),
        reach: AuditReach::Fields(vec![".spec.replicas".into()]),
        webhooks: vec!["inject/sidecar".into()],
        propagation: String::new(),
    }
}

fn attributed() -> Vec<Event> {
    let claim = ActorClaim {
        who: "alice".into(),
        acting_as: "bob".into(),
        credential: "X509SHA256=ab".into(),
        pod: "prod/web".into(),
        verb: "patch".into(),
        subresource: "scale".into(),
        evidence: vec![Seq(12)],
        strength: 5,
    };
    let field = |path: &str, source| FieldRemark { path: path.into(), source };
    let webhooks = vec!["hooks/inject".to_owned()];
    let resolved = AttributionResolvedV1 {
        observation: Seq(11),
        key: object(),
        verdict: Verdict::Exact,
        claims: vec![claim],
        more: 1,
        fields: vec![
            field(".spec.replicas", FieldSource::Request),
            field(".metadata.labels.x", FieldSource::Admission(webhooks)),
        ],
        causes: vec![Seq(9)],
        drift: Some(Seq(13)),
        replaces: Some(Seq(14)),
        was: Some(Verdict::Unique),
        counts: true,
        waiting: true,
        why: "several".into(),
    };
    let why = "nothing was read".into();
    let gap = AuditGapSuspectedV1 { observation: Seq(11), key: object(), waited_ms: 600_000, why };
    vec![resolved.into(), gap.into()]
}

fn audits() -> Vec<Event> {
    let trouble = AuditTroubledV1 {
        source: "/var/log/audit.log".into(),
        trouble: AuditTrouble::Malformed,
        what: "not JSON".into(),
        count: 3,
    };
    vec![
        received().into(),
        AuditReadV1 {
            source: "/var/log/audit.log".into(),
            file: (1, 2),
            offset: 4096,
            records: 12,
            recorded: 3,
            duplicates: 1,
            status: 4,
            unknown: 2,
            newest: Some(Timestamp::from_seconds(1_700_000_002)),
            end: Some(Timestamp::from_seconds(1_700_000_003)),
        }
        .into(),
        trouble.into(),
    ]
}

fn operators() -> Vec<Event> {
    vec![
        SyncRequestedV1 { app: app(), prune: true, only: vec![object()], reason: "why not".into() }
            .into(),
        PausedV1 { app: app(), until: Some(Timestamp(1)), reason: "holiday".into() }.into(),
        ResumedV1 { app: app(), expired: true }.into(),
        FrozenV1 { until: Some(Timestamp(1)), reason: "audit".into() }.into(),
        UnfrozenV1 { expired: true }.into(),
        MarkedV1 {
            name: "before-upgrade".into(),
            seq: Seq(40),
            time: Timestamp::from_seconds(1_700_000_000),
            reason: "change 12".into(),
        }
        .into(),
    ]
}

/// At least one event of every kind.
pub(crate) fn sample_events() -> Vec<Event> {
    [
        lifecycle(),
        git(),
        apps(),
        renders(),
        plans(),
        contests::events(),
        cluster(),
        audits(),
        attributed(),
        operators(),
        holds::holds(),
        recovery::recoveries(),
        identity::identity(),
        pushes::pushes(),
    ]
    .concat()
}

#[test]
fn there_is_a_sample_of_every_kind() {
    let mut sampled: Vec<u16> = sample_events().iter().map(Event::code).collect();
    sampled.sort_unstable();
    sampled.dedup();
    let mut kinds: Vec<u16> = Event::KINDS.iter().map(|(code, _, _)| *code).collect();
    kinds.sort_unstable();
    assert_eq!(sampled, kinds);
}
