//! Events in one line for people: what changed, from what to what, by whom.
//!
//! The match over [`Event`] has no wildcard, so a new event cannot be forgotten here. Lines are
//! made from the event alone (and, for outcomes, the intent that they end), so a line reads the
//! same in `log`, in the event stream and on the terminal of `serve`.

mod applications;
mod attribution;
mod audit;
mod cluster;
mod contest;
mod daemon;
mod drift;
mod git;
mod health;
mod operator;
mod plans;
mod pushes;
mod recovery;
mod rollback;

use std::fmt;

use anstyle::{AnsiColor, Style};

pub use attribution::{by as attributed_by, by_whom, who as claimed};
pub use audit::trouble_text;
pub(super) use drift::found_by;
pub use drift::keep_commands;

use super::text::{clean, clip, count, list};
use crate::ledger::event::{
    ActorClaim, Event, FieldChange, IntentRecordedV1, ManagerStamp, Origin, PlanGatedV1,
    RenderSucceededV1, SyncFinishedV1, Verb, Verdict, Write, WriteResult,
};
use crate::ledger::frame::Recorded;
use crate::model::{Actor, CommitId, ObjectKey};

/// How many objects or fields a line names before it counts the rest.
const NAMED_MAX: usize = 3;
/// How long a field's value may be in a line, in characters.
const VALUE_CHARS_MAX: usize = 60;
/// How long an error or a reason may be in a line, in characters.
const ERROR_CHARS_MAX: usize = 300;

/// How an event is to be taken. Colour follows it; words say it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Something happened.
    #[default]
    Plain,
    /// Something ended well.
    Good,
    /// Somebody should look at it.
    Warn,
    /// Something failed.
    Bad,
}

/// An event as people are told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// The application it is about; empty when it is about none.
    pub app: String,
    /// The objects it is about.
    pub objects: Vec<ObjectKey>,
    /// The commit it is about.
    pub commit: Option<CommitId>,
    /// Who did it, as far as the event itself says: field managers, authors. Claims, not proof.
    pub by: Vec<String>,
    /// Of a drift: by whom, in words. Whoever tells of it says this.
    pub whom: String,
    /// Who did it, where that is known better than the event itself says.
    pub known: Option<(Verdict, Vec<ActorClaim>)>,
    /// One line, safe for a terminal.
    pub summary: String,
    /// How it is to be taken.
    pub tone: Tone,
    /// Whether it is only of use to somebody who looks for exactly this.
    pub noise: bool,
    /// The commands that would keep what somebody changed.
    pub keep: Vec<String>,
}

impl Described {
    fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), ..Self::default() }
    }

    fn of_app(app: &impl fmt::Display, summary: impl Into<String>) -> Self {
        Self { app: app.to_string(), ..Self::new(summary) }
    }

    fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    fn noise(self) -> Self {
        Self { noise: true, ..self }
    }

    fn object(mut self, key: &ObjectKey) -> Self {
        self.objects.push(key.clone());
        self
    }

    fn commit(self, commit: Option<&CommitId>) -> Self {
        Self { commit: commit.cloned(), ..self }
    }
}

/// Describes a recorded event. `intent` is the intent that an outcome ends, where it is at hand:
/// without it an outcome can count its objects but not name them.
#[must_use]
pub fn describe(recorded: &Recorded, intent: Option<&IntentRecordedV1>) -> Described {
    match &recorded.event {
        Some(event) => {
            let keep = drift::keep(event, recorded.envelope.seq);
            let described = of_event(event, &recorded.actor, intent);
            let causes = &recorded.envelope.causes;
            let described = pushes::made_for(described, event, causes);
            let described = applications::because(described, event, causes);
            Described { keep, ..described }
        }
        None => {
            let envelope = &recorded.envelope;
            let (kind, schema) = (envelope.kind, envelope.schema);
            Described::new(format!(
                "an event of kind {kind:#06x} schema {schema}, which this version does not know"
            ))
        }
    }
}

/// The line that `serve` prints for an event; `None` for what people need not see as it happens.
///
/// Commits are left out too: the ref that moves to them is announced.
#[must_use]
pub fn line(recorded: &Recorded, intent: Option<&IntentRecordedV1>, color: bool) -> Option<String> {
    line_of(recorded, &told(recorded, intent)?, color)
}

/// Describes an event that people are told of as it happens; `None` for the others.
#[must_use]
pub fn told(recorded: &Recorded, intent: Option<&IntentRecordedV1>) -> Option<Described> {
    if matches!(recorded.event, Some(Event::CommitRecorded(_))) {
        return None;
    }
    Some(describe(recorded, intent)).filter(|described| !described.noise)
}

/// The line for an event that was described.
#[must_use]
pub fn line_of(recorded: &Recorded, described: &Described, color: bool) -> Option<String> {
    if described.noise {
        return None;
    }
    let style = if color { style(described.tone) } else { Style::new() };
    let app = if described.app.is_empty() { "-" } else { &described.app };
    let mut line = format!(
        "{} #{} {} {style}{}{style:#}",
        recorded.envelope.recorded,
        recorded.envelope.seq,
        clean(app),
        described.summary,
    );
    if !described.keep.is_empty() {
        line.push_str(&format!("\n    to keep it: {}", described.keep.join(" or ")));
    }
    Some(line)
}

/// The style of a tone.
#[must_use]
pub fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Warn => AnsiColor::Yellow.on_default().bold(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
    }
}

/// Describes an event that `actor` brought about.
#[must_use]
pub fn of_event(event: &Event, actor: &Actor, intent: Option<&IntentRecordedV1>) -> Described {
    let by = clip(&actor.to_string(), 120);
    let mut described = sentence(event, &by, intent);
    if described.by.is_empty() {
        described.by.push(by);
    }
    described
}

fn sentence(event: &Event, by: &str, intent: Option<&IntentRecordedV1>) -> Described {
    match event {
        Event::LedgerCreated(_)
        | Event::DaemonStarted(_)
        | Event::DaemonStopped(_)
        | Event::LedgerRepaired(_)
        | Event::ConfigLoaded(_)
        | Event::DeadlineReached(_) => daemon::of_daemon(event),
        Event::CommitRecorded(_) | Event::RefMoved(_) => git::of_git(event),
        Event::HistoryRewritten(_) | Event::HistoryImported(_) => git::of_git(event),
        Event::FetchFailed(_) | Event::FetchRecovered(_) => git::of_git(event),
        Event::FetchUnchanged(_) => git::of_git(event),
        Event::AppDeclared(_)
        | Event::AppRemoved(_)
        | Event::AppRefused(_)
        | Event::RenderSucceeded(_)
        | Event::RevisionAdvanced(_)
        | Event::RenderFailed(_)
        | Event::ProgramsFound(_)
        | Event::RenderVaried(_) => of_app(event, by),
        Event::AppHealthChanged(_) | Event::ObjectHealthChanged(_) => health::of_health(event),
        Event::PlanGated(_)
        | Event::GateLapsed(_)
        | Event::PlanApproved(_)
        | Event::WritesSuspended(_)
        | Event::RemovalAwaited(_)
        | Event::DriftDetected(_)
        | Event::ObjectPreviewed(_)
        | Event::IgnoreChecked(_)
        | Event::IgnoreFailed(_)
        | Event::ContestNamed(_)
        | Event::ContestEnded(_)
        | Event::ReplicasLeft(_)
        | Event::IntentRecorded(_)
        | Event::OutcomeRecorded(_)
        | Event::IntentSettled(_)
        | Event::SyncFinished(_) => of_plan(event, by, intent),
        Event::ClusterIdentified(_)
        | Event::ClusterReplaced(_)
        | Event::ClusterReverted(_)
        | Event::ClusterAccepted(_)
        | Event::ClusterLost(_)
        | Event::ClusterFound(_)
        | Event::KindsServed(_)
        | Event::ObjectObserved(_)
        | Event::ObjectGone(_)
        | Event::KindListed(_)
        | Event::WatchGap(_) => cluster::of_cluster(event),
        Event::AuditReceived(body) => audit::received(body),
        Event::AuditRead(body) => audit::read(body),
        Event::AuditTroubled(body) => audit::troubled(body),
        Event::AttributionResolved(_) | Event::AuditGapSuspected(_) => attribution::told(event),
        Event::SyncRequested(_)
        | Event::Paused(_)
        | Event::Resumed(_)
        | Event::Frozen(_)
        | Event::Unfrozen(_)
        | Event::Marked(_)
        | Event::AppHeld(_)
        | Event::AppHoldEnded(_)
        | Event::AutoRollbackRefused(_) => operator::of_operator(event, by),
        Event::HoldBegun(_) | Event::HoldEnded(_) => operator::of_operator(event, by),
        Event::PushIntended(_) | Event::PushEnded(_) => pushes::of_push(event, by),
        Event::RestoreIntended(_) | Event::RestoreEnded(_) => operator::of_operator(event, by),
        Event::RecoveryBegun(_) | Event::RecoveryIntent(_) => recovery::of_recovery(event, by),
        Event::RecoveryOutcome(_) | Event::RecoveryFinished(_) => recovery::of_recovery(event, by),
        Event::RecoveryAbandoned(_) => recovery::of_recovery(event, by),
    }
}

fn origin(origin: &Origin, by: &str) -> String {
    match origin {
        Origin::Config => "by the configuration file".to_owned(),
        Origin::Operator => format!("by {by}"),
        Origin::Parent(app) => format!("by application {app}"),
        Origin::Unconfigured => "by nothing any more".to_owned(),
    }
}

fn of_app(event: &Event, by: &str) -> Described {
    match event {
        Event::AppDeclared(body) => applications::declared(body, by),
        Event::AppRemoved(body) => applications::removed(body, by),
        Event::AppRefused(body) => {
            let error = clip(&body.error, ERROR_CHARS_MAX);
            let text = format!("definition REFUSED ({}): {error}", origin(&body.origin, by));
            Described::of_app(&clip(&body.app, 253), text).tone(Tone::Bad)
        }
        Event::RenderSucceeded(body) => rendered(body),
        Event::RevisionAdvanced(body) => {
            let commit = &body.revision.commit;
            let text = format!("{} renders to the same", commit.short());
            Described::of_app(&body.app, text).commit(Some(commit)).noise()
        }
        Event::RenderVaried(body) => plans::varied(body),
        Event::ProgramsFound(body) => plans::programs(body),
        Event::RenderFailed(body) => {
            let at =
                body.commit.as_ref().map_or_else(String::new, |c| format!(" at {}", c.short()));
            let error = clip(&body.error, ERROR_CHARS_MAX);
            let text = format!("RENDER FAILED{at}: {error}; the last good render stays in force");
            Described::of_app(&body.app, text).tone(Tone::Bad).commit(body.commit.as_ref())
        }
        other => Described::new(other.name()),
    }
}

fn rendered(body: &RenderSucceededV1) -> Described {
    let warnings = match body.warnings.first() {
        None => String::new(),
        Some(first) => {
            let more = body.warnings.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            format!("; warning: {}{more}", clip(first, 120))
        }
    };
    let how = match body.reused {
        Some(earlier) => format!("as in #{earlier}"),
        None => format!("with {}", clip(&body.tool, 40)),
    };
    let text = format!(
        "rendered {} to {} {how}{warnings}",
        body.revision.commit.short(),
        count(body.objects.len(), "object"),
    );
    Described::of_app(&body.app, text).commit(Some(&body.revision.commit))
}

fn of_plan(event: &Event, by: &str, intent: Option<&IntentRecordedV1>) -> Described {
    match event {
        Event::PlanGated(body) => gated(body),
        Event::GateLapsed(body) => {
            let text =
                format!("gate of plan {} lapsed: Git or the cluster moved on", body.plan.short());
            Described::of_app(&body.app, text)
        }
        Event::PlanApproved(body) => {
            let text =
                format!("plan {} APPROVED by {by}{}", body.plan.short(), reason(&body.reason));
            Described::of_app(&body.app, text).tone(Tone::Warn)
        }
        Event::RemovalAwaited(body) => plans::awaited(body),
        Event::WritesSuspended(body) if body.reasons.is_empty() => {
            Described::of_app(&body.app, "nothing suspends writes any more").tone(Tone::Good)
        }
        Event::WritesSuspended(body) => {
            let reasons = list(body.reasons.iter().map(|reason| clip(reason, 160)), NAMED_MAX);
            Described::of_app(&body.app, format!("WRITES SUSPENDED: {reasons}")).tone(Tone::Warn)
        }
        Event::DriftDetected(body) => drift::found(body),
        Event::ObjectPreviewed(body) => plans::previewed(body),
        Event::IgnoreChecked(body) => plans::checked(body),
        Event::IgnoreFailed(body) => plans::not_understood(body),
        Event::ContestNamed(body) => contest::named(body),
        Event::ContestEnded(body) => contest::ended(body),
        Event::ReplicasLeft(body) => contest::left(body),
        Event::IntentRecorded(body) => intended(body),
        Event::OutcomeRecorded(body) => ended(&body.app, &body.results, intent, ""),
        Event::IntentSettled(body) => {
            ended(&body.app, &body.results, intent, "settled by looking at the cluster: ")
        }
        Event::SyncFinished(body) => finished(body),
        other => Described::new(other.name()),
    }
}

fn reason(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", clip(reason, ERROR_CHARS_MAX)) }
}

fn gated(body: &PlanGatedV1) -> Described {
    let reasons = list(body.reasons.iter().map(|reason| clip(&reason.what, 160)), NAMED_MAX);
    let mut waiting = Vec::new();
    if !body.writes.is_empty() {
        waiting.push(count(body.writes.len(), "write"));
    }
    if !body.apps.is_empty() {
        waiting.push(format!("the removal of {}", count(body.apps.len(), "application")));
    }
    let verb = if body.writes.len() == 1 || body.writes.is_empty() { "waits" } else { "wait" };
    let verb = if waiting.len() > 1 { "wait" } else { verb };
    let text = format!(
        "GATED {} {verb}: {reasons}; to allow it: greffier approve {} {}",
        waiting.join(" and "),
        body.app,
        body.plan.short()
    );
    let objects = body.writes.iter().map(|write| write.key.clone()).collect();
    let described = Described { objects, ..Described::of_app(&body.app, text) };
    described.tone(Tone::Warn).commit(body.commit.as_ref())
}

/// A field's change: `.spec.replicas 2 → 5`.
#[must_use]
pub fn field_change(field: &FieldChange) -> String {
    let value = |json: &str| {
        if json.is_empty() { "(absent)".to_owned() } else { clip(json, VALUE_CHARS_MAX) }
    };
    format!("{} {} → {}", clip(&field.path, 200), value(&field.was), value(&field.now))
}

fn managers(managers: &[ManagerStamp]) -> Vec<String> {
    let mut names: Vec<String> = managers.iter().map(|m| clip(&m.manager, 80)).collect();
    names.dedup();
    names
}

fn clean_key(key: &ObjectKey) -> String {
    clip(&key.to_string(), 400)
}

/// `create A, B; update C`: what writes do, by verb.
fn writes<'a>(
    writes: impl IntoIterator<Item = &'a Write>,
    word: fn(Verb) -> &'static str,
) -> String {
    let mut groups: Vec<(Verb, Vec<String>)> = Vec::new();
    for write in writes {
        let key = clean_key(&write.key);
        match groups.iter_mut().find(|(verb, _)| *verb == write.verb) {
            Some((_, keys)) => keys.push(key),
            None => groups.push((write.verb, vec![key])),
        }
    }
    let group = |(verb, keys): (Verb, Vec<String>)| match keys.len() {
        n if n > NAMED_MAX => format!("{} {}", word(verb), count(n, "object")),
        _ => format!("{} {}", word(verb), keys.join(", ")),
    };
    groups.into_iter().map(group).collect::<Vec<_>>().join("; ")
}

fn intended(body: &IntentRecordedV1) -> Described {
    let why = match body.writes.as_slice() {
        [write] => reason(&write.reason),
        _ => String::new(),
    };
    let text = format!("about to {}{why}", writes(&body.writes, Verb::as_str));
    let objects = body.writes.iter().map(|write| write.key.clone()).collect();
    let described = Described { objects, ..Described::of_app(&body.app, text) };
    described.commit(body.commit.as_ref()).noise()
}

fn done(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "created",
        Verb::Update => "updated",
        Verb::Heal => "PUT BACK",
        Verb::Reclaim => "reclaimed",
        Verb::Adopt => "adopted",
        Verb::TakeOver => "took over the fields of",
        Verb::Recreate => "deleted to create anew",
        Verb::Prune => "pruned",
    }
}

fn ended(
    app: &impl fmt::Display,
    results: &[(u32, WriteResult)],
    intent: Option<&IntentRecordedV1>,
    prefix: &str,
) -> Described {
    let write =
        |index: &u32| intent.and_then(|intent| intent.writes.get(usize::try_from(*index).ok()?));
    let is_done = |result: &WriteResult| {
        matches!(result, WriteResult::Applied(_) | WriteResult::Deleted | WriteResult::AlreadyGone)
    };
    let good: Vec<_> = results.iter().filter(|(_, result)| is_done(result)).collect();
    let mut parts = Vec::new();
    let known: Vec<&Write> = good.iter().filter_map(|(index, _)| write(index)).collect();
    if !known.is_empty() {
        parts.push(writes(known.iter().copied(), done));
    } else if !good.is_empty() {
        parts.push(format!("{} written", count(good.len(), "object")));
    }
    let mut tone = Tone::Good;
    let mut bad = Vec::new();
    let mut news = !good.is_empty();
    for (index, result) in results {
        let (word, error) = match result {
            WriteResult::Applied(_) | WriteResult::Deleted | WriteResult::AlreadyGone => continue,
            WriteResult::Refused(error) => ("REFUSED", error.as_str()),
            WriteResult::Failed(error) => ("FAILED", error.as_str()),
            WriteResult::Gone(error) => ("not written, it is gone", error.as_str()),
            WriteResult::Unknown(error) => ("fate not known", error.as_str()),
            WriteResult::Unsupported(error) => ("will be replaced as a whole", error.as_str()),
            WriteResult::NotSent(error) => ("not sent", error.as_str()),
            WriteResult::Another(_) => ("not sent", WriteResult::ANOTHER),
        };
        tone = Tone::Bad;
        let key = write(index).map_or_else(|| format!("write {index}"), |w| clean_key(&w.key));
        // What ended like the try before it was told then.
        let again = write(index).is_some_and(|write| write.failed_before == error);
        news |= !again;
        let again = if again { " again" } else { "" };
        bad.push(format!("{key} {word}{again}: {}", clip(error, ERROR_CHARS_MAX)));
    }
    parts.extend(plans::notes(results, write));
    if !bad.is_empty() {
        parts.push(list(bad, NAMED_MAX));
    }
    let objects = results.iter().filter_map(|(index, _)| Some(write(index)?.key.clone())).collect();
    let commit = intent.and_then(|intent| intent.commit.as_ref());
    let text = format!("{prefix}{}", parts.join("; "));
    let described = Described { objects, ..Described::of_app(app, text) };
    let described = if news { described } else { described.noise() };
    described.tone(tone).commit(commit)
}

fn finished(body: &SyncFinishedV1) -> Described {
    let (created, updated, pruned) = body.counts;
    let word = if body.succeeded { "sync finished" } else { "SYNC NOT COMPLETE" };
    let text = format!(
        "{word} at {}: {} (created {created}, updated {updated}, pruned {pruned})",
        body.commit.short(),
        clip(&body.message, ERROR_CHARS_MAX)
    );
    let tone = if body.succeeded { Tone::Good } else { Tone::Bad };
    Described::of_app(&body.app, text).tone(tone).commit(Some(&body.commit))
}
