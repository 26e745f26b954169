//! Undoing one event.

mod define;
mod removed;
mod span;
mod tree;

use axum::Json;
use axum::extract::{ConnectInfo, State as Having};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::api::{self, FromPeer, Given};
use super::error::Error;
use super::peer::Peer;
use super::restore::{Asking, finish};
use super::server::State;
use super::{dto, hold};
use crate::command::{self, Command, Decision, Restored, Then as RenderThen};
use crate::ledger::event::{AppHeldV1, BackTo, DriftDetectedV1, DriftKind, Event, ObjectGoneV1};
use crate::ledger::{self, Blob};
use crate::model::{AppName, ObjectKey, Seq, Timestamp};
use crate::plan::Compared;
use crate::query::images::Pinned;
use crate::query::instant::At;
use crate::query::restore::{self, NotRestorable, Now, Then, Wish};
use crate::query::rollback::{self, HoldPlan};
use crate::query::text::count;
use crate::query::undo::edit::{self, Edit};
use crate::query::undo::effects::Present;
use crate::query::undo::heir;
use crate::query::undo::since::{self, Gone};
use crate::query::undo::{self, NotUndone, What};
use crate::replay::{Desired, World};

/// Of a field that greffier put back.
const PUT_BACK: &str = "it was put back already";

impl From<NotUndone> for Error {
    fn from(error: NotUndone) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            NotUndone::Ledger(error) => error.into(),
            NotUndone::NoEvent(..) => {
                Self::new(StatusCode::NOT_FOUND, "unknown_event", message, hint)
            }
            _ => Self::new(StatusCode::CONFLICT, "not_undone", message, hint),
        }
    }
}

/// Who undoes what, and how.
struct Undo {
    state: State,
    peer: Peer,
    seq: Seq,
    asked: dto::UndoBody,
}

/// What of an event is taken back, and what is in the way.
#[derive(Default)]
struct Judged {
    fields: Vec<String>,
    /// What has to be recorded with it.
    blobs: Vec<Blob>,
    conflicts: Vec<String>,
    missing: Vec<String>,
    notes: Vec<String>,
}

/// What was of an object as of an event, and what is of it now.
struct Looked {
    then: Then,
    time: Timestamp,
    now: Now,
    holds: Vec<Seq>,
}

/// Shows what would be undone, or undoes it.
pub(super) async fn undo(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::UndoBody>,
) -> Result<Response, Error> {
    let Json(asked) = body?;
    if asked.plan {
        state.seen().await;
    }
    let seq = Seq(asked.event);
    let ledger = state.ledger.clone();
    let found = state.blocking(move || {
        let recorded = ledger.get(seq)?.ok_or(NotUndone::NoEvent(seq, ledger.head()))?;
        undo::what(&ledger, &recorded)
    });
    let what = found.await??;
    let undo = Undo { state, peer, seq, asked };
    match what {
        What::Release(hold) => undo.release(hold).await,
        What::Resume(app) => undo.resume(app).await,
        What::Unfreeze => undo.unfreeze().await,
        What::Pause(body) => {
            let (app, until) = (body.app.to_string(), body.until);
            let (subject, reason) = (format!("application {app}"), undo.reason(&body.reason));
            undo.by(Command::Pause { app, until, reason }, subject, "it is paused again").await
        }
        What::Freeze(body) => {
            let (until, reason) = (body.until, undo.reason(&body.reason));
            let what = "everything is frozen again";
            undo.by(Command::Freeze { until, reason }, "greffier".to_owned(), what).await
        }
        What::HoldAgain(app, body) => {
            let restored = Restored::Held(app.clone(), body.of.clone());
            let reason = undo.reason(&body.reason);
            let (from, until) = (body.from, body.until);
            let judged = Judged::default();
            undo.finish(restored, judged, app.to_string(), (from, until, reason)).await
        }
        What::RollBackAgain(body, lost) => {
            let app = body.app.clone();
            let gone = undo.state.read(move |world, _| !world.apps.contains_key(&app));
            if gone.await? {
                return Err(NotUndone::Gone { seq, app: body.app }.into());
            }
            let (pinned, command) = undo.again(*body);
            let asked = dto::RollbackBody { plan: undo.asked.plan, ..dto::RollbackBody::default() };
            hold::roll_back_by(&undo.state, undo.peer, command, asked, (pinned, lost)).await
        }
        What::Effects(span) => Box::pin(undo.effects(span)).await,
        What::PutBack(drift, seq) => Box::pin(undo.put_back(*drift, seq)).await,
        What::Edits(edits) => undo.edits(edits).await,
        What::Undelete(gone, seq) => Box::pin(undo.undelete(gone, seq)).await,
        What::Define(app, manifest) => undo.define(app, &manifest).await,
    }
}

impl Undo {
    fn reason(&self, former: &str) -> String {
        if self.asked.reason.is_empty() { former.to_owned() } else { self.asked.reason.clone() }
    }

    async fn release(&self, hold: Seq) -> Result<Response, Error> {
        let over = self.state.read(move |world, _| {
            let mut apps = world.apps.values();
            let adrift = world.adrift.iter().any(|adrift| adrift.hold.seq == hold);
            !adrift
                && !apps.any(|app| {
                    app.hold.as_ref().is_some_and(|known| known.seq == hold)
                        || app.holds.iter().any(|known| known.seq == hold)
                })
        });
        if over.await? {
            return Err(NotUndone::Over { seq: hold, what: "the hold" }.into());
        }
        if let Some(root) = self.tree_of(hold).await? {
            return Box::pin(self.release_tree(root)).await;
        }
        if let Some((former, body)) = self.replaced(hold).await?
            && let Some(done) = Box::pin(self.hold_before((former, body), hold)).await?
        {
            return Ok(done);
        }
        let (subject, namespace) = (format!("#{hold}"), None);
        let command = Command::Release { subject, namespace };
        hold::release_by(&self.state, self.peer, command, self.asked.plan).await
    }

    /// What the hold of an application took the place of, where that would still last.
    async fn replaced(&self, hold: Seq) -> Result<Option<(Seq, AppHeldV1)>, Error> {
        let first = self.state.read(move |world, _| {
            let mut apps = world.apps.iter();
            let (name, app) =
                apps.find(|(_, app)| app.hold.as_ref().is_some_and(|held| held.seq == hold))?;
            Some((name.clone(), app.lent.unwrap_or(hold)))
        });
        let Some((app, first)) = first.await? else { return Ok(None) };
        let ledger = self.state.ledger.clone();
        let former = move || undo::replaced(&ledger, &app, (first, hold));
        let former = self.state.blocking(former).await??;
        let now = Timestamp::now();
        Ok(former.filter(|(_, body)| body.until.is_none_or(|until| until > now)))
    }

    /// Begins the hold again that a rollback took the place of, as what it was: of the application
    /// alone or with its tree. `None` = that is what Git says now, which is followed again.
    async fn hold_before(
        &self,
        (former, before): (Seq, AppHeldV1),
        hold: Seq,
    ) -> Result<Option<Response>, Error> {
        let (app, tree, to) = (before.app.to_string(), before.tree.clone(), before.to);
        let (pinned, command) = self.again(before);
        let decided = self.state.read(move |world, compared| {
            let decision = command::decide(world, Timestamp::now(), &command);
            decision.map(|decision| (decision, world.clone(), compared.clone()))
        });
        let (event, now) = match decided.await? {
            Err(command::Error::AsThen { .. }) => return Ok(None),
            Ok((Decision::Record(event), world, compared)) => (*event, (world, compared)),
            Ok(_) => return Err(Error::internal("a hold that is another")),
            Err(error) => return Err(error.into()),
        };
        let Event::AppHeld(body) = event else {
            return Err(Error::internal("a rollback that is none"));
        };
        let note = format!(
            "#{hold} took the place of hold #{former}, as at #{to}: that is what comes back, and \
             not Git's newest (`greffier release {app}` brings that)"
        );
        let asked = dto::RollbackBody { plan: self.asked.plan, ..dto::RollbackBody::default() };
        let body = AppHeldV1 { tree, ..body };
        let (state, how) = (&self.state, (asked, pinned, vec![note]));
        hold::hold_at(state, self.peer, now, body, how).await.map(Some)
    }

    /// The command that begins a hold of an application again.
    fn again(&self, body: AppHeldV1) -> (Pinned, Command) {
        let command = Command::Rollback {
            app: body.app.to_string(),
            to: At { seq: body.to, time: body.at, timed: false, what: String::new() },
            said: body.said,
            then: RenderThen::Wanted(Box::new(Desired::from(&body.desired))),
            until: body.until,
            reason: self.reason(&body.reason),
        };
        (Pinned::again(body.images), command)
    }

    async fn resume(self, app: AppName) -> Result<Response, Error> {
        let (seq, name) = (self.seq, app.clone());
        let lasts = self.state.read(move |world, _| {
            let pause = world.apps.get(&name).and_then(|app| app.paused.as_ref());
            pause.is_some_and(|pause| pause.seq == seq)
        });
        if !lasts.await? {
            return Err(NotUndone::Over { seq, what: "the pause" }.into());
        }
        let subject = format!("application {app}");
        self.by(Command::Resume { app: app.to_string() }, subject, "it goes on").await
    }

    async fn unfreeze(self) -> Result<Response, Error> {
        let seq = self.seq;
        let lasts = self
            .state
            .read(move |world, _| world.frozen.as_ref().is_some_and(|freeze| freeze.seq == seq));
        if !lasts.await? {
            return Err(NotUndone::Over { seq, what: "the freeze" }.into());
        }
        self.by(Command::Unfreeze, "greffier".to_owned(), "it goes on writing").await
    }

    /// Undoes it by a command that has no plan of its own.
    async fn by(self, command: Command, subject: String, how: &str) -> Result<Response, Error> {
        if self.asked.plan {
            let (undoes, how) = (self.seq.0, how.to_owned());
            let meaning = self.meaning(&command).await?;
            return Ok(Json(HoldPlan { subject, undoes, how, ..meaning }).into_response());
        }
        Ok(api::carry_out(&self.state, self.peer, command).await?.into_response())
    }

    /// What would be written once it is undone, of a pause or a freeze.
    async fn meaning(&self, command: &Command) -> Result<HoldPlan, Error> {
        let state = &self.state;
        let now = state.read(|world, compared| (world.clone(), compared.clone()));
        let (world, compared) = now.await?;
        let Decision::Record(event) = command::decide(&world, Timestamp::now(), command)? else {
            return Ok(HoldPlan::default());
        };
        if matches!(*event, Event::Paused(_) | Event::Resumed(_)) {
            return Ok(hold::shown(state, world, compared, &event).await?.plan);
        }
        let (limits, ledger) = (state.limits.clone(), state.ledger.clone());
        let each = state.blocking(move || {
            let mut notes = Vec::new();
            for name in world.apps.keys() {
                let pending = rollback::gather(world.clone(), &compared, &limits, name, &event);
                let Some(pending) = pending else { continue };
                let plan = pending.read(&ledger, |addr| ledger.has_blob(addr))?.plan;
                let what = match plan.restrained.as_str() {
                    "" => plan.summary(),
                    why => format!("nothing to write: {why}"),
                };
                notes.push(format!("{name}: of {}: {what}", count(plan.objects, "object")));
            }
            Ok::<_, ledger::Error>(notes)
        });
        Ok(HoldPlan { notes: each.await??, ..HoldPlan::default() })
    }

    async fn put_back(self, mut drift: DriftDetectedV1, seq: Seq) -> Result<Response, Error> {
        let (then, key) = (drift.app.clone(), drift.key.clone());
        let heir = self.state.read(move |world, _| heir::heir(world, &then, &key)).await?;
        // What passed to another application is that one's to put back.
        drift.app = heir.unwrap_or(drift.app);
        let (app, key) = (drift.app.clone(), drift.key.clone());
        let present = self.state.read(move |world, _| {
            let present = Present::of(world, &app, &key);
            let applied = world.owned.get(&key).map(|owned| owned.applied);
            let gone = !present.live;
            let held = world.apps.get(&app).and_then(|app| app.hold.as_ref()).map(|hold| hold.seq);
            let drift = world.apps.get(&app).and_then(|app| app.drift.get(&key));
            let drift = drift.filter(|drift| drift.kind == DriftKind::Drift);
            let later = drift.map(|drift| (drift.seq, drift.fields.clone()));
            (present, applied, gone, held, later)
        });
        let (present, applied, gone, held, later) = present.await?;
        if let Some(hold) = present.holds.first() {
            // Nothing of it is drift any more: a person wants it so.
            let key = &drift.key;
            let how = format!("`greffier release '#{hold}'` has it as Git says again");
            let conflicts = vec![format!("{key}: hold #{hold} keeps it: {how}")];
            let judged = Judged { conflicts, ..Judged::default() };
            let (restored, key) = (Restored::Held(drift.app.clone(), Vec::new()), key.to_string());
            return self.finish_new(restored, judged, key).await;
        }
        let over = NotUndone::Over { seq, what: "the change by hand" };
        let (at, fields) = later.unwrap_or((seq, Vec::new()));
        let (lasting, put_back) = since::lasting(&drift, &fields);
        let lasts = match drift.kind {
            // Of a later deletion, this one is over.
            DriftKind::Deleted => gone && !self.went_again(&drift.key, seq).await?,
            _ if lasting.is_empty() && present.wanted.is_some() => {
                return self.what_is_left(&drift, seq).await;
            }
            _ => !lasting.is_empty(),
        };
        let Some(wanted) = present.wanted.filter(|_| lasts) else { return Err(over.into()) };
        let mut judged = Judged::default();
        let key = drift.key.clone();
        if drift.kind == DriftKind::Drift {
            judged.conflicts = since::by_hand(&drift, (at, &fields));
            let notes = put_back.iter().map(|field| format!("{key} {}: {PUT_BACK}", field.path));
            judged.notes = notes.chain(self.beside(&drift, seq).await?).collect();
        }
        // What is gone is made as it is wanted, whatever was applied of it.
        if !gone && applied != Some(wanted.digest) {
            let why = match held {
                Some(hold) => format!("hold #{hold} has it otherwise, and that is not written yet"),
                None => "Git has changed it, and nobody synced that".to_owned(),
            };
            judged.conflicts.push(format!("{key}: {why}"));
        }
        judged.fields = lasting.iter().map(|field| format!("{key} {}", field.path)).collect();
        let restored = Restored::object(drift.app.clone(), wanted, false);
        self.finish_new(restored, judged, key.to_string()).await
    }

    /// Of a change by hand that was put back as far as Git says it: takes back what else it was.
    async fn what_is_left(self, drift: &DriftDetectedV1, seq: Seq) -> Result<Response, Error> {
        let judged = self.judged(vec![self.edit_of(drift, seq).await?]).await?;
        if judged.writes.is_empty() && judged.conflicts.is_empty() && judged.missing.is_empty() {
            return Err(NotUndone::Over { seq, what: "the change by hand" }.into());
        }
        self.finish_edits(judged, drift.key.to_string()).await
    }

    /// What else a change by hand was than Git's to put back, and stands when that is done.
    async fn beside(&self, drift: &DriftDetectedV1, seq: Seq) -> Result<Vec<String>, Error> {
        let Ok(edit) = self.edit_of(drift, seq).await else { return Ok(Vec::new()) };
        let judged = self.judged(vec![edit]).await?;
        let again = format!("undo #{} again once the rest is put back", self.seq.0);
        let note =
            |field: &String| format!("{field}: Git says nothing of it, so it stays; {again}");
        Ok(judged.fields.iter().map(note).collect())
    }

    async fn edit_of(&self, drift: &DriftDetectedV1, seq: Seq) -> Result<Edit, Error> {
        let (ledger, drift) = (self.state.ledger.clone(), drift.clone());
        Ok(self.state.blocking(move || undo::edit_of(&ledger, seq, &drift)).await??)
    }

    /// Whether the object of a deletion came back after it and went again.
    async fn went_again(&self, key: &ObjectKey, seq: Seq) -> Result<bool, Error> {
        let (ledger, key) = (self.state.ledger.clone(), key.clone());
        let again = move || since::went_again(&ledger, &key, seq, "");
        Ok(self.state.blocking(again).await??.is_some())
    }

    async fn edits(self, edits: Vec<Edit>) -> Result<Response, Error> {
        let keys = edits.iter().map(|edit| edit.key.to_string());
        let subject = keys.collect::<Vec<_>>().join(", ");
        let judged = self.judged(edits).await?;
        self.finish_edits(judged, subject).await
    }

    /// What of edits can be taken back now.
    async fn judged(&self, edits: Vec<Edit>) -> Result<edit::Judged, Error> {
        let of: Vec<ObjectKey> = edits.iter().map(|edit| edit.key.clone()).collect();
        let now = self.state.read(move |world, _| {
            of.iter().map(|key| Now::of(world, key, None)).collect::<Vec<_>>()
        });
        let now = now.await?;
        let (ledger, seq) = (self.state.ledger.clone(), self.seq);
        Ok(self.state.blocking(move || edit::judge(&ledger, seq, &edits, &now)).await??)
    }

    async fn finish_edits(self, judged: edit::Judged, subject: String) -> Result<Response, Error> {
        let restored = Restored::Written(judged.writes);
        let judged = Judged {
            fields: judged.fields,
            conflicts: judged.conflicts,
            missing: judged.missing,
            notes: judged.notes,
            ..Judged::default()
        };
        self.finish_new(restored, judged, subject).await
    }

    async fn undelete(self, gone: ObjectGoneV1, seq: Seq) -> Result<Response, Error> {
        let (key, at) = (gone.key.clone(), undo::before(seq));
        let looked = self.look(&key, at).await?;
        let stands = self.stands(gone, seq, &looked).await?;
        let conflict = match stands {
            Gone::Over => return Err(NotUndone::Over { seq, what: "the deletion" }.into()),
            Gone::InTheWay(why) => Some(format!("{key}: {why}")),
            Gone::Lasts => None,
        };
        if let Some(conflict) = conflict {
            let judged = Judged { conflicts: vec![conflict], ..Judged::default() };
            return self.finish_new(Restored::Written(Vec::new()), judged, key.to_string()).await;
        }
        let prepared = self.prepared(&key, at, looked).await?;
        let fields = vec![format!("{key} comes back")];
        let judged =
            Judged { fields, blobs: prepared.blobs, notes: prepared.notes, ..Judged::default() };
        self.finish_new(prepared.restored, judged, key.to_string()).await
    }

    /// Whether the end of an object lasts, or what came since.
    async fn stands(&self, body: ObjectGoneV1, seq: Seq, looked: &Looked) -> Result<Gone, Error> {
        let ledger = self.state.ledger.clone();
        let (then, now, holds) = (looked.then.clone(), looked.now.clone(), looked.holds.clone());
        let gone = move || since::gone(&ledger, (seq, &body), &then, &now, &holds);
        Ok(self.state.blocking(gone).await??)
    }

    /// What was of an object as of an event, and what is of it now.
    async fn look(&self, key: &ObjectKey, at: Seq) -> Result<Looked, Error> {
        let of = key.clone();
        let then = self.as_of(at, move |world| (Then::of(world, &of), world.now));
        let (then, time) = then.await?;
        let (of, wanted) = (key.clone(), then.wanted.as_ref().map(|(app, _)| app.clone()));
        let now = self.state.read(move |world, _| {
            let now = Now::of(world, &of, wanted.as_ref());
            (now.holds.clone(), now)
        });
        let (holds, now) = now.await?;
        Ok(Looked { then, time, now, holds })
    }

    /// The object as it was as of an event: as it was wanted, or else as it was seen.
    async fn prepared(
        &self,
        key: &ObjectKey,
        at: Seq,
        Looked { then, time, now, .. }: Looked,
    ) -> Result<restore::Prepared, NotRestorable> {
        let live = then.wanted.is_none();
        let at = At { seq: at, time, timed: false, what: String::new() };
        let wish = Wish { key: key.clone(), at, field: None, live };
        let ledger = self.state.ledger.clone();
        let prepared = move || restore::prepare(&ledger, &wish, &then, &now);
        let failed =
            |error: Error| NotRestorable::Blob { key: key.clone().into(), why: error.message };
        self.state.blocking(prepared).await.map_err(failed)?
    }

    async fn as_of<R: Send + 'static>(
        &self,
        seq: Seq,
        reader: impl FnOnce(&World) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let world = self.state.world_at(seq).await?;
        self.state.blocking(move || reader(&world)).await
    }

    async fn finish_new(
        self,
        restored: Restored,
        judged: Judged,
        subject: String,
    ) -> Result<Response, Error> {
        let how = (BackTo::Undone(self.seq), None, self.asked.reason.clone());
        self.finish(restored, judged, subject, how).await
    }

    /// Shows what is taken back and what is in the way, or takes it back unless something is.
    async fn finish(
        self,
        restored: Restored,
        judged: Judged,
        subject: String,
        (from, until, reason): (BackTo, Option<crate::model::Timestamp>, String),
    ) -> Result<Response, Error> {
        let Judged { fields, blobs, conflicts, missing, notes } = judged;
        let empty = match &restored {
            Restored::Held(_, parts) => parts.is_empty(),
            Restored::Written(writes) => writes.is_empty(),
        };
        let shown = HoldPlan {
            subject,
            undoes: self.seq.0,
            fields,
            conflicts: conflicts.clone(),
            missing: missing.clone(),
            notes,
            ..HoldPlan::default()
        };
        if empty && conflicts.is_empty() && missing.is_empty() {
            return Err(NotUndone::Nothing(self.seq).into());
        }
        let left = !conflicts.is_empty() || !missing.is_empty();
        if self.asked.plan && empty {
            return Ok(Json(HoldPlan { how: "nothing of it".to_owned(), ..shown }).into_response());
        }
        if left && (empty || !self.asked.partial) && !self.asked.plan {
            let all: Vec<String> = conflicts.into_iter().chain(missing).collect();
            let message = format!("not all of #{} can be undone", self.seq.0);
            let hint = match empty {
                true => "nothing was written",
                false => "nothing was written; --partial leaves that as it is, and undoes the rest",
            };
            let refused = Error::new(StatusCode::CONFLICT, "conflicts", message, hint);
            return Err(refused.because(all));
        }
        let read = self.state.read(|world, compared| (world.clone(), compared.clone()));
        let known: (World, Compared) = read.await?;
        let asking = Asking {
            restored,
            blobs,
            from,
            until,
            reason,
            shown,
            partial: self.asked.partial,
            plan: self.asked.plan,
        };
        finish(&self.state, self.peer, known, asking).await
    }
}
