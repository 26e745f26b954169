//! What can happen: every event of the ledger, in the past tense.
//!
//! Each variant carries one frozen struct `…V1`. A shipped struct is never edited: a change is a
//! new schema number, a new struct and an upcaster (docs/ledger-format.md). The structs hold
//! numbers, strings, byte strings, lists and plain enums only, because their encoding is
//! positional: no serde attributes, no maps of JSON values, no Kubernetes types. JSON travels as
//! canonical bytes (RFC 8785).

mod application;
mod attribution;
mod audit;
mod cluster;
mod contest;
mod daemon;
mod git;
mod hold;
mod identity;
mod ignore;
mod operator;
mod recovery;
mod restore;
mod write;

use serde::Serialize;

pub use application::{
    AppDeclaredV1, AppHealthChangedV1, AppRefusedV1, AppRemovedV1, CREATE_NAMESPACE, DesiredObject,
    Health, KUBERNETES, ObjectHealthChangedV1, ObjectHold, ObjectOptions, Origin, ProgramsFoundV1,
    RenderFailedV1, RenderSucceededV1, RenderVariedV1, RevisionAdvancedV1, RevisionRef,
};
pub use attribution::{
    ActorClaim, AttributionResolvedV1, AuditGapSuspectedV1, FieldRemark, FieldSource, Verdict,
};
pub use audit::{
    AuditLevel, AuditReach, AuditReadV1, AuditReceivedV1, AuditTrouble, AuditTroubledV1, AuditUser,
};
pub use cluster::{
    ClusterFoundV1, ClusterIdentifiedV1, ClusterLostV1, KindListedV1, KindsServedV1, Learned,
    ManagerStamp, ObjectGoneV1, ObjectObservedV1, PulledImage, ServedKind, WatchGapV1,
};
pub use contest::{ContestEndedV1, ContestNamedV1, ReplicasLeftV1};
pub use daemon::{
    ConfigLoadedV1, DaemonStartedV1, DaemonStoppedV1, LedgerCreatedV1, LedgerRepairedV1,
};
pub use git::{
    CHANGED_PATHS_MAX, CommitRecordedV1, CommitSignature, FetchFailedV1, FetchRecoveredV1,
    FetchUnchangedV1, HistoryImportedV1, HistoryRewrittenV1, PathBack, PushEndedV1, PushIntendedV1,
    PushResult, RefMovedV1, Signature, SignatureForm, SignatureVerdict,
};
pub use hold::{
    AppHeldV1, AppHoldEndedV1, AutoRollback, AutoRollbackRefusedV1, BackTo, HeldApproval,
    HeldFields, HeldImage, HeldObject, HeldRender, HoldBegunV1, HoldEnd, HoldEndedV1, HoldOf,
    RollbackCause,
};
pub use identity::{ClusterAcceptedV1, ClusterReplacedV1, ClusterRevertedV1};
pub use ignore::{IgnoreCheckedV1, IgnoreFailedV1};
pub use operator::{
    DeadlineReachedV1, FrozenV1, MarkedV1, PausedV1, ResumedV1, SyncRequestedV1, UnfrozenV1,
};
pub use recovery::{
    Recovered, RecoveryAbandonedV1, RecoveryBegunV1, RecoveryFinishedV1, RecoveryIntentV1,
    RecoveryOutcomeV1, RecoveryResult, RecoveryWrite,
};
pub use restore::{RestoreEndedV1, RestoreIntendedV1, RestoreResult, RestoreWrite};
pub use write::{
    Applied, ApplyNotes, DriftDetectedV1, DriftKind, FieldChange, GateLapsedV1, GateReason,
    IntentRecordedV1, IntentSettledV1, Method, ObjectPreviewedV1, OutcomeRecordedV1,
    PlanApprovedV1, PlanGatedV1, Preview, RemovalAwaitedV1, SyncFinishedV1, Verb, Write,
    WriteResult, WritesSuspendedV1,
};

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($body:ident) = $code:literal, $name:literal;)*) => {
        /// An immutable fact, in the past tense.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Event {
            $($(#[$doc])* $variant($body),)*
        }

        impl Event {
            /// The kind's code in the ledger, for ever.
            #[must_use]
            pub fn code(&self) -> u16 {
                match self { $(Self::$variant(_) => $code,)* }
            }

            /// The kind's name for people and filters.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Every kind: code, name and the name of its struct.
            pub const KINDS: &'static [(u16, &'static str, &'static str)] =
                &[$(($code, $name, stringify!($body)),)*];

            /// Encodes the body with `encode`, whatever its type is.
            ///
            /// # Errors
            /// What `encode` returns.
            pub fn encode_with<E: BodyEncoder>(&self, encoder: &mut E) -> Result<(), E::Error> {
                match self { $(Self::$variant(body) => encoder.encode(body),)* }
            }

            /// Decodes the body of kind `code`, schema 1; `None` for unknown kinds.
            ///
            /// # Errors
            /// What the decoder returns.
            pub fn decode_with<D: BodyDecoder>(
                code: u16,
                decoder: &D,
            ) -> Result<Option<Self>, D::Error> {
                Ok(Some(match code {
                    $($code => Self::$variant(decoder.decode::<$body>()?),)*
                    _ => return Ok(None),
                }))
            }
        }

        $(impl From<$body> for Event {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        })*
    };
}

/// Writes one body; implemented by the codec.
pub trait BodyEncoder {
    /// Why it could not.
    type Error;
    /// Encodes `body`.
    ///
    /// # Errors
    /// When the body cannot be encoded.
    fn encode<T: Serialize>(&mut self, body: &T) -> Result<(), Self::Error>;
}

/// Reads one body; implemented by the codec.
pub trait BodyDecoder {
    /// Why it could not.
    type Error;
    /// Decodes the body.
    ///
    /// # Errors
    /// When the bytes are not a body of this type.
    fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, Self::Error>;
}

events! {
    /// See [`LedgerCreatedV1`].
    LedgerCreated(LedgerCreatedV1) = 0x0101, "ledger.created";
    /// See [`DaemonStartedV1`].
    DaemonStarted(DaemonStartedV1) = 0x0102, "daemon.started";
    /// See [`DaemonStoppedV1`].
    DaemonStopped(DaemonStoppedV1) = 0x0103, "daemon.stopped";
    /// See [`LedgerRepairedV1`].
    LedgerRepaired(LedgerRepairedV1) = 0x0104, "ledger.repaired";
    /// See [`ConfigLoadedV1`].
    ConfigLoaded(ConfigLoadedV1) = 0x0105, "config.loaded";
    /// See [`CommitRecordedV1`].
    CommitRecorded(CommitRecordedV1) = 0x0201, "git.commit";
    /// See [`RefMovedV1`].
    RefMoved(RefMovedV1) = 0x0202, "git.ref-moved";
    /// See [`HistoryRewrittenV1`].
    HistoryRewritten(HistoryRewrittenV1) = 0x0203, "git.history-rewritten";
    /// See [`HistoryImportedV1`].
    HistoryImported(HistoryImportedV1) = 0x0204, "git.history-imported";
    /// See [`FetchFailedV1`].
    FetchFailed(FetchFailedV1) = 0x0205, "git.fetch-failed";
    /// See [`FetchRecoveredV1`].
    FetchRecovered(FetchRecoveredV1) = 0x0206, "git.fetch-recovered";
    /// See [`FetchUnchangedV1`].
    FetchUnchanged(FetchUnchangedV1) = 0x0207, "git.fetch-unchanged";
    /// See [`PushIntendedV1`].
    PushIntended(PushIntendedV1) = 0x0208, "git.push-intended";
    /// See [`PushEndedV1`].
    PushEnded(PushEndedV1) = 0x0209, "git.push-ended";
    /// See [`AppDeclaredV1`].
    AppDeclared(AppDeclaredV1) = 0x0301, "app.declared";
    /// See [`AppRemovedV1`].
    AppRemoved(AppRemovedV1) = 0x0302, "app.removed";
    /// See [`AppRefusedV1`].
    AppRefused(AppRefusedV1) = 0x0303, "app.refused";
    /// See [`RenderSucceededV1`].
    RenderSucceeded(RenderSucceededV1) = 0x0310, "render.succeeded";
    /// See [`RevisionAdvancedV1`].
    RevisionAdvanced(RevisionAdvancedV1) = 0x0311, "render.unchanged";
    /// See [`RenderFailedV1`].
    RenderFailed(RenderFailedV1) = 0x0312, "render.failed";
    /// See [`RenderVariedV1`].
    RenderVaried(RenderVariedV1) = 0x0313, "render.varied";
    /// See [`AppHealthChangedV1`].
    AppHealthChanged(AppHealthChangedV1) = 0x0320, "app.health";
    /// See [`ObjectHealthChangedV1`].
    ObjectHealthChanged(ObjectHealthChangedV1) = 0x0321, "object.health";
    /// See [`PlanGatedV1`].
    PlanGated(PlanGatedV1) = 0x0401, "plan.gated";
    /// See [`GateLapsedV1`].
    GateLapsed(GateLapsedV1) = 0x0402, "plan.lapsed";
    /// See [`PlanApprovedV1`].
    PlanApproved(PlanApprovedV1) = 0x0403, "plan.approved";
    /// See [`WritesSuspendedV1`].
    WritesSuspended(WritesSuspendedV1) = 0x0404, "plan.suspended";
    /// See [`DriftDetectedV1`].
    DriftDetected(DriftDetectedV1) = 0x0410, "drift.detected";
    /// See [`ObjectPreviewedV1`].
    ObjectPreviewed(ObjectPreviewedV1) = 0x0411, "object.previewed";
    /// See [`IntentRecordedV1`].
    IntentRecorded(IntentRecordedV1) = 0x0420, "apply.intent";
    /// See [`OutcomeRecordedV1`].
    OutcomeRecorded(OutcomeRecordedV1) = 0x0421, "apply.outcome";
    /// See [`IntentSettledV1`].
    IntentSettled(IntentSettledV1) = 0x0422, "apply.settled";
    /// See [`SyncFinishedV1`].
    SyncFinished(SyncFinishedV1) = 0x0423, "sync.finished";
    /// See [`ContestNamedV1`].
    ContestNamed(ContestNamedV1) = 0x0440, "contest.named";
    /// See [`ContestEndedV1`].
    ContestEnded(ContestEndedV1) = 0x0441, "contest.ended";
    /// See [`ReplicasLeftV1`].
    ReplicasLeft(ReplicasLeftV1) = 0x0442, "replicas.left";
    /// See [`RemovalAwaitedV1`].
    RemovalAwaited(RemovalAwaitedV1) = 0x0450, "removal.awaited";
    /// See [`IgnoreCheckedV1`].
    IgnoreChecked(IgnoreCheckedV1) = 0x0430, "ignore.checked";
    /// See [`IgnoreFailedV1`].
    IgnoreFailed(IgnoreFailedV1) = 0x0431, "ignore.failed";
    /// See [`ProgramsFoundV1`].
    ProgramsFound(ProgramsFoundV1) = 0x0460, "render.programs";
    /// See [`ClusterIdentifiedV1`].
    ClusterIdentified(ClusterIdentifiedV1) = 0x0501, "cluster.identified";
    /// See [`ClusterLostV1`].
    ClusterLost(ClusterLostV1) = 0x0502, "cluster.lost";
    /// See [`ClusterFoundV1`].
    ClusterFound(ClusterFoundV1) = 0x0503, "cluster.found";
    /// See [`KindsServedV1`].
    KindsServed(KindsServedV1) = 0x0504, "cluster.kinds";
    /// See [`ClusterReplacedV1`].
    ClusterReplaced(ClusterReplacedV1) = 0x0505, "cluster.replaced";
    /// See [`ClusterRevertedV1`].
    ClusterReverted(ClusterRevertedV1) = 0x0506, "cluster.reverted";
    /// See [`ClusterAcceptedV1`].
    ClusterAccepted(ClusterAcceptedV1) = 0x0507, "cluster.accepted";
    /// See [`ObjectObservedV1`].
    ObjectObserved(ObjectObservedV1) = 0x0510, "object.observed";
    /// See [`ObjectGoneV1`].
    ObjectGone(ObjectGoneV1) = 0x0511, "object.gone";
    /// See [`KindListedV1`].
    KindListed(KindListedV1) = 0x0512, "cluster.listed";
    /// See [`WatchGapV1`].
    WatchGap(WatchGapV1) = 0x0513, "watch.gap";
    /// See [`AuditReceivedV1`].
    AuditReceived(AuditReceivedV1) = 0x0520, "audit.received";
    /// See [`AuditReadV1`].
    AuditRead(AuditReadV1) = 0x0521, "audit.read";
    /// See [`AuditTroubledV1`].
    AuditTroubled(AuditTroubledV1) = 0x0522, "audit.troubled";
    /// See [`AttributionResolvedV1`].
    AttributionResolved(AttributionResolvedV1) = 0x0530, "attribution.resolved";
    /// See [`AuditGapSuspectedV1`].
    AuditGapSuspected(AuditGapSuspectedV1) = 0x0531, "audit.gap-suspected";
    /// See [`DeadlineReachedV1`].
    DeadlineReached(DeadlineReachedV1) = 0x0601, "deadline.reached";
    /// See [`SyncRequestedV1`].
    SyncRequested(SyncRequestedV1) = 0x0701, "operator.sync";
    /// See [`PausedV1`].
    Paused(PausedV1) = 0x0702, "operator.pause";
    /// See [`ResumedV1`].
    Resumed(ResumedV1) = 0x0703, "operator.resume";
    /// See [`FrozenV1`].
    Frozen(FrozenV1) = 0x0710, "operator.freeze";
    /// See [`UnfrozenV1`].
    Unfrozen(UnfrozenV1) = 0x0711, "operator.unfreeze";
    /// See [`HoldBegunV1`].
    HoldBegun(HoldBegunV1) = 0x0712, "hold.begun";
    /// See [`HoldEndedV1`].
    HoldEnded(HoldEndedV1) = 0x0713, "hold.ended";
    /// See [`AppHeldV1`].
    AppHeld(AppHeldV1) = 0x0714, "hold.app-begun";
    /// See [`AppHoldEndedV1`].
    AppHoldEnded(AppHoldEndedV1) = 0x0715, "hold.app-ended";
    /// See [`RestoreIntendedV1`].
    RestoreIntended(RestoreIntendedV1) = 0x0716, "restore.intended";
    /// See [`RestoreEndedV1`].
    RestoreEnded(RestoreEndedV1) = 0x0717, "restore.ended";
    /// See [`AutoRollbackRefusedV1`].
    AutoRollbackRefused(AutoRollbackRefusedV1) = 0x0718, "hold.app-refused";
    /// See [`MarkedV1`].
    Marked(MarkedV1) = 0x0720, "operator.mark";
    /// See [`RecoveryBegunV1`].
    RecoveryBegun(RecoveryBegunV1) = 0x0800, "recovery.begun";
    /// See [`RecoveryIntentV1`].
    RecoveryIntent(RecoveryIntentV1) = 0x0801, "recovery.intent";
    /// See [`RecoveryOutcomeV1`].
    RecoveryOutcome(RecoveryOutcomeV1) = 0x0802, "recovery.outcome";
    /// See [`RecoveryFinishedV1`].
    RecoveryFinished(RecoveryFinishedV1) = 0x0803, "recovery.finished";
    /// See [`RecoveryAbandonedV1`].
    RecoveryAbandoned(RecoveryAbandonedV1) = 0x0804, "recovery.abandoned";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique() {
        let mut codes: Vec<_> = Event::KINDS.iter().map(|(code, _, _)| code).collect();
        let mut names: Vec<_> = Event::KINDS.iter().map(|(_, name, _)| name).collect();
        codes.sort();
        codes.dedup();
        names.sort();
        names.dedup();
        assert_eq!((codes.len(), names.len()), (Event::KINDS.len(), Event::KINDS.len()));
    }
}
