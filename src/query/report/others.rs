//! Rows about everything else: drift, syncs, gates, what people decided, what came from Git.

use super::super::describe::describe;
use super::super::people;
use super::super::who;
use super::gather::Teller;
use super::{Change, Class};
use crate::ledger::event::{
    BackTo, DriftDetectedV1, DriftKind, Event, HoldOf, PushResult, Verdict,
};
use crate::ledger::{self, Recorded};
use crate::model::{AppName, CommitId, ObjectKey, Seq};

/// What an event is to an auditor; `None` = nothing.
struct Told<'a> {
    class: Class,
    verb: &'static str,
    app: Option<&'a AppName>,
    object: Option<&'a ObjectKey>,
    /// Why, as the person said.
    why: &'a str,
    commit: Option<&'a CommitId>,
    failed: bool,
}

impl<'a> Told<'a> {
    fn new(class: Class, verb: &'static str) -> Self {
        let (app, object, commit) = (None, None, None);
        Self { class, verb, app, object, why: "", commit, failed: false }
    }

    fn app(self, app: &'a AppName) -> Self {
        Self { app: Some(app), ..self }
    }

    fn why(self, why: &'a str) -> Self {
        Self { why, ..self }
    }

    fn commit(self, commit: Option<&'a CommitId>) -> Self {
        Self { commit, ..self }
    }

    fn failed(self, failed: bool) -> Self {
        Self { failed, ..self }
    }
}

/// The row of an event, where it has one.
pub(super) fn row(
    teller: &mut Teller<'_>,
    recorded: &Recorded,
    event: &Event,
) -> Result<Option<Change>, ledger::Error> {
    let told = if let Event::DriftDetected(body) = event { drift(body) } else { told(event) };
    let Some(told) = told else { return Ok(None) };
    let mut row = Teller::begun(recorded, told.class, told.verb);
    row.app = told.app.map(ToString::to_string).unwrap_or_default();
    row.object = told.object.map(ToString::to_string).unwrap_or_default();
    row.why = told.why.to_owned();
    row.failed = told.failed;
    row.outcome = if told.failed { "failed" } else { "done" }.to_owned();
    row.text = describe(recorded, None).summary;
    row.commit = told.commit.map(|commit| teller.commit(commit)).transpose()?;
    if let Event::DriftDetected(body) = event {
        found(teller, recorded, body, &mut row)?;
    } else if told.class == Class::Git {
        // Who pushed is not known: no forge tells.
        row.strength = Verdict::Unknown.as_str().to_owned();
        row.doubt = "no forge tells who pushed".to_owned();
    } else {
        let at = recorded.envelope.recorded;
        row.who = people::of_actor(teller.asked.people, &recorded.actor, at);
        let known = row.who.iter().any(|party| !party.claimed);
        let verdict = if known { Verdict::Exact } else { Verdict::Unknown };
        row.strength = verdict.as_str().to_owned();
    }
    let asked: Vec<Seq> = match event {
        Event::SyncFinished(body) => body.request.iter().chain(&body.approval).copied().collect(),
        Event::AppRemoved(_) => recorded.envelope.causes.clone(),
        _ => Vec::new(),
    };
    for cause in &asked {
        let Some(cause) = teller.asked.book.get(*cause)? else { continue };
        let at = cause.envelope.recorded;
        row.asked_by.extend(people::of_actor(teller.asked.people, &cause.actor, at));
        row.evidence.push(cause.seq().0);
    }
    Ok(Some(row))
}

fn drift(body: &DriftDetectedV1) -> Option<Told<'_>> {
    let verb = match body.kind {
        DriftKind::Drift => "drift found",
        DriftKind::Deleted => "deletion found",
        DriftKind::OwnershipLost => "ownership lost",
        DriftKind::Addition => "addition found",
        DriftKind::None => return None,
    };
    Some(Told { object: Some(&body.key), ..Told::new(Class::Drift, verb).app(&body.app) })
}

/// Who made what a drift found: the observation says it.
fn found(
    teller: &Teller<'_>,
    recorded: &Recorded,
    body: &DriftDetectedV1,
    row: &mut Change,
) -> Result<(), ledger::Error> {
    let book = teller.asked.book;
    let at = recorded.envelope.recorded;
    row.outcome = "found".to_owned();
    // A deletion names what had been recorded last, whatever it is about.
    let shows = match body.kind {
        DriftKind::Deleted => who::went(book, body)?,
        _ => Some(body.observation),
    };
    let Some(shows) = shows else {
        row.text = "as a list shows, which has it no more".to_owned();
        row.strength = Verdict::Unknown.as_str().to_owned();
        row.doubt = "when it went was not seen".to_owned();
        return Ok(());
    };
    row.text = format!("as #{shows} shows");
    row.evidence.push(shows.0);
    if let Some(who) = who::who(book, shows, None)? {
        row.who = people::of_change(teller.asked.people, who.verdict, &who.claims, at);
        row.strength = who.verdict.as_str().to_owned();
        row.doubt = who.why;
    }
    let shown = body.fields.iter();
    row.fields = shown
        .map(|field| super::Field {
            path: field.path.clone(),
            was: field.was.clone(),
            now: field.now.clone(),
        })
        .collect();
    Ok(())
}

fn told(event: &Event) -> Option<Told<'_>> {
    let sync = |verb| Told::new(Class::Sync, verb);
    let gate = |verb| Told::new(Class::Gate, verb);
    let git = |verb| Told::new(Class::Git, verb);
    let cluster = |verb| Told::new(Class::Cluster, verb).failed(true);
    Some(match event {
        Event::SyncFinished(body) => {
            let verb = if body.succeeded { "sync finished" } else { "sync not complete" };
            sync(verb).app(&body.app).commit(Some(&body.commit)).failed(!body.succeeded)
        }
        Event::RenderFailed(body) => {
            sync("render failed").app(&body.app).commit(body.commit.as_ref()).failed(true)
        }
        Event::AppRefused(_) => sync("definition refused").failed(true),
        Event::PlanGated(body) => gate("gated").app(&body.app).commit(body.commit.as_ref()),
        Event::GateLapsed(body) => gate("gate lapsed").app(&body.app),
        Event::PlanApproved(body) => gate("approved").app(&body.app).why(&body.reason),
        Event::RemovalAwaited(body) if !body.objects.is_empty() => {
            gate("removal awaited").app(&body.app)
        }
        Event::WritesSuspended(body) if !body.reasons.is_empty() => {
            gate("writes suspended").app(&body.app)
        }
        Event::ContestNamed(body) => Told {
            object: Some(&body.key),
            ..Told::new(Class::Drift, "contest named").app(&body.app)
        },
        Event::RefMoved(body) if body.name != "HEAD" => git("ref moved").commit(body.new.as_ref()),
        Event::HistoryRewritten(body) => git("history rewritten").commit(Some(&body.new)),
        Event::LedgerRepaired(_) => Told::new(Class::Ledger, "ledger repaired"),
        Event::ClusterReplaced(_) => cluster("another cluster answers"),
        Event::ClusterReverted(_) => cluster("cluster set back"),
        other => return decided(other),
    })
}

/// What people decided.
fn decided(event: &Event) -> Option<Told<'_>> {
    let decision = |verb| Told::new(Class::Decision, verb);
    Some(match event {
        Event::SyncRequested(body) => decision("sync requested").app(&body.app).why(&body.reason),
        Event::Paused(body) => decision("paused").app(&body.app).why(&body.reason),
        Event::Resumed(body) => decision("resumed").app(&body.app),
        Event::Frozen(body) => decision("frozen").why(&body.reason),
        Event::Unfrozen(_) => decision("unfrozen"),
        Event::Marked(body) => decision("marked").why(&body.reason),
        Event::HoldBegun(body) => {
            let verb = match body.from {
                BackTo::Drift(_) => "kept",
                BackTo::Instant(_) => "restored",
                BackTo::Undone(_) => "undone",
            };
            let object = body.of.first().map(HoldOf::key);
            Told { object, ..decision(verb).app(&body.app).why(&body.reason) }
        }
        Event::HoldEnded(body) => {
            Told { object: body.objects.first(), ..decision("released").app(&body.app) }
        }
        Event::AppHeld(body) => decision("rolled back").app(&body.app).why(&body.reason),
        Event::AppHoldEnded(body) => decision("released").app(&body.app),
        Event::PushIntended(body) => {
            decision("commit pushed").app(&body.app).commit(Some(&body.commit))
        }
        Event::PushEnded(body) => {
            let pushed = body.result == PushResult::Pushed;
            let told = decision("push ended").failed(!pushed);
            told.app(&body.app).commit(Some(&body.commit))
        }
        Event::RestoreIntended(body) => Told {
            object: body.writes.first().map(|write| &write.key),
            ..decision("restored").why(&body.reason)
        },
        Event::AutoRollbackRefused(body) => {
            let why = body.reasons.first().map_or("", String::as_str);
            decision("not rolled back").app(&body.app).why(why)
        }
        Event::AppDeclared(body) => decision("application defined").app(&body.app),
        Event::AppRemoved(body) => decision("application removed").app(&body.app),
        Event::ConfigLoaded(_) => decision("configuration loaded"),
        Event::ClusterAccepted(body) => decision("cluster accepted").why(&body.reason),
        Event::RecoveryBegun(body) => {
            let app = body.apps.first().filter(|_| body.apps.len() == 1);
            Told { app, ..decision("replay begun") }
        }
        Event::RecoveryFinished(body) => {
            Told::new(Class::Replay, "replay ended").failed(!body.verified)
        }
        Event::RecoveryAbandoned(body) => decision("replay abandoned").why(&body.reason),
        _ => return None,
    })
}
