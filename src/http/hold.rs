//! Keeping what somebody changed by hand, rolling back, and letting go of it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{ConnectInfo, Path, State as Having};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::api::{Answer, FromPeer, Given, about, after, exists};
use super::error::Error;
use super::git_back::Commits;
use super::peer::Peer;
use super::server::State;
use super::{dto, git_back};
use crate::command::{self, Command, Decision, Then};
use crate::ledger::event::{AppHeldV1, DriftKind, Event};
use crate::model::{AppName, Digest, Seq, Timestamp};
use crate::plan::{Compared, Sync, plan};
use crate::query;
use crate::query::coverage::Moment;
use crate::query::describe::field_change;
use crate::query::images::{self, Pinned};
use crate::query::instant::{About, At};
use crate::query::rollback::{self, Choice, HoldPlan, LAST_HEALTHY, Next, RELEASED, Shown};
use crate::query::text::list;
use crate::replay::World;

/// How many objects that are released are named.
const RELEASED_NAMED: usize = 3;

pub(super) async fn keep(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::KeepBody>,
) -> Result<Response, Error> {
    let Json(dto::KeepBody { event, period, reason, plan }) = body?;
    if plan {
        state.seen().await;
    }
    let (until, event) = (after(&period)?, Seq(event));
    let ledger = state.ledger.clone();
    let recorded = state.blocking(move || ledger.get(event)).await??;
    let time = recorded.as_ref().map(|recorded| recorded.envelope.recorded);
    let drift = recorded.and_then(|recorded| match &recorded.event {
        Some(Event::DriftDetected(body)) => Some(Box::new(body.clone())),
        _ => None,
    });
    if let Some(drift) = drift.clone() {
        let about = drift.clone();
        let manifest = state.read(move |world, _| {
            let keeper = world.apps.get(command::keeper(world, &about))?;
            Some(keeper.desired.as_ref()?.objects.get(&about.key)?.manifest)
        });
        if let Some(manifest) = manifest.await? {
            let ledger = state.ledger.clone();
            let laid =
                move || command::can_be_laid(event, &drift, manifest, |addr| ledger.blob(addr));
            state.blocking(laid).await??;
        }
    }
    let command = Command::Keep { event, drift: drift.clone(), until, reason };
    if !plan {
        return Ok(carry_out(&state, peer, command).await?.into_response());
    }
    let decided = state.read(move |world, compared| {
        let decision = command::decide(world, Timestamp::now(), &command)?;
        Ok::<_, command::Error>((decision, world.clone(), compared.clone()))
    });
    let ((Decision::Record(begun), world, compared), Some(drift)) = (decided.await??, drift) else {
        return Err(Error::internal("what is kept is no drift"));
    };
    let plan = shown(&state, world, compared, &begun).await?.plan;
    let absent = drift.kind == DriftKind::Deleted;
    let gone = "it stays away, as whoever deleted it wanted".to_owned();
    let plan = HoldPlan {
        subject: drift.key.to_string(),
        how: "held".to_owned(),
        fields: drift.fields.iter().map(field_change).collect(),
        to: event.0,
        at: time.unwrap_or_default().to_string(),
        notes: plan.notes.iter().cloned().chain(absent.then_some(gone)).collect(),
        ..plan
    };
    Ok(Json(plan).into_response())
}

pub(super) async fn release(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::ReleaseBody>,
) -> Result<Response, Error> {
    let Json(dto::ReleaseBody { subject, namespace, plan, tree }) = body?;
    if plan {
        state.seen().await;
    }
    if tree {
        return super::tree::release(&state, peer, subject, plan).await;
    }
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    release_by(&state, peer, Command::Release { subject, namespace }, plan).await
}

/// Ends a hold, or shows what that would do.
pub(super) async fn release_by(
    state: &State,
    peer: Peer,
    command: Command,
    plan: bool,
) -> Result<Response, Error> {
    if !plan {
        return Ok(carry_out(state, peer, command).await?.into_response());
    }
    let decided = state.read(move |world, compared| {
        let decision = command::decide(world, Timestamp::now(), &command)?;
        Ok::<_, command::Error>((decision, world.clone(), compared.clone()))
    });
    let (decision, world, compared) = decided.await??;
    let Decision::Record(event) = decision else {
        return Err(Error::internal("a release that is none"));
    };
    let mut plan = shown(state, world, compared, &event).await?.plan;
    RELEASED.clone_into(&mut plan.how);
    if let Event::HoldEnded(body) = &*event {
        let objects = body.objects.iter().map(ToString::to_string);
        plan.subject = list(objects, RELEASED_NAMED);
    }
    Ok(Json(plan).into_response())
}

/// What happens once the event is folded, and what of it exceeds what may be done unasked.
pub(super) async fn shown(
    state: &State,
    world: World,
    compared: Compared,
    event: &Event,
) -> Result<Shown, Error> {
    shown_with(state, world, compared, event, Pinned::default()).await
}

/// The same of a hold that names images by their digests.
async fn shown_with(
    state: &State,
    world: World,
    compared: Compared,
    event: &Event,
    pinned: Pinned,
) -> Result<Shown, Error> {
    let (limits, ledger) = (state.limits.clone(), state.ledger.clone());
    let event = event.clone();
    let shown = move || {
        let name = match &event {
            Event::AppHeld(body) => &body.app,
            Event::AppHoldEnded(body) => &body.app,
            Event::HoldEnded(body) => &body.app,
            Event::HoldBegun(body) => &body.app,
            Event::SyncRequested(body) => &body.app,
            Event::Paused(body) => &body.app,
            Event::Resumed(body) => &body.app,
            _ => return Ok(None),
        };
        let pending = rollback::gather(world, &compared, &limits, name, &event);
        let pending = pending.map(|pending| pending.pinned(&pinned));
        pending.map(|pending| pending.read(&ledger, |addr| ledger.has_blob(addr))).transpose()
    };
    let shown = state.blocking(shown).await??;
    shown.ok_or_else(|| Error::internal("the application is gone"))
}

/// The instant that a person names for an application, and what is to be said of how it was found.
pub(super) async fn instant_of(
    state: &State,
    app: &str,
    to: &str,
) -> Result<(At, Vec<String>), Error> {
    if to != LAST_HEALTHY {
        let at = state.asked_at(Some(to), About::app(app)).await?;
        let at = at.ok_or_else(|| Error::bad_request("say to which instant: `to`"))?;
        return Ok((at, Vec::new()));
    }
    let present = about(state, None, app.to_owned(), |_, view| {
        let renders = [view.app.of_git(), view.app.desired.as_ref()];
        let inputs = renders.into_iter().flatten().map(|render| render.inputs);
        (view.name.clone(), inputs.collect::<Vec<_>>())
    });
    let (name, present) = present.await?;
    let choice = last_healthy(state, name, &present).await?;
    let Some(seq) = choice.found else {
        let passed: String = choice.passed.iter().map(|passed| format!("; {passed}")).collect();
        let message = format!(
            "`{app}` was never Healthy and Synced, and held by nobody, before what it is now{passed}"
        );
        let hint = format!("`greffier log {app} --kind app.health` lists how it was");
        return Err(Error::new(StatusCode::CONFLICT, "never_healthy", message, hint));
    };
    let ledger = state.ledger.clone();
    let recorded = state.blocking(move || ledger.get(seq)).await??;
    let time = recorded.map(|recorded| recorded.envelope.recorded).unwrap_or_default();
    let at = At { seq, time, timed: false, what: LAST_HEALTHY.to_owned() };
    Ok((at, choice.notes()))
}

/// Finds the instant: whether it was Synced is what the plan says of the world as of then.
async fn last_healthy(state: &State, app: AppName, present: &[Digest]) -> Result<Choice, Error> {
    let (ledger, name) = (state.ledger.clone(), app.clone());
    let stretches = state.blocking(move || rollback::stretches(&ledger, &name)).await??;
    let mut known = BTreeMap::new();
    loop {
        let seq = match rollback::choose(&stretches, present, &known) {
            Next::Over(choice) => return Ok(choice),
            Next::Ask(seq) => seq,
        };
        let world = state.world_at(seq).await?;
        let (limits, name) = (state.limits.clone(), app.clone());
        let sync = move || plan(&world, &name, &limits, &Compared::new()).map(|plan| plan.sync);
        known.insert(seq, state.blocking(sync).await?.unwrap_or(Sync::Unknown));
    }
}

/// Shows what a rollback would do, or does it.
pub(super) async fn roll_back(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    Path(app): Path<String>,
    body: Given<dto::RollbackBody>,
) -> Result<Response, Error> {
    let Json(asked) = body?;
    if asked.plan {
        state.seen().await;
    }
    // An application that is not there is named with those that look like it.
    exists(&state, &app).await?;
    let until = after(&asked.period)?;
    let bad = |message, hint| Error::new(StatusCode::BAD_REQUEST, "bad_request", message, hint);
    if asked.tree && asked.git {
        let message = "what is committed is one application's: not a tree's";
        return Err(bad(message, "do it for each application, or without --git"));
    }
    if asked.pin_digests && asked.git {
        let message = "what is committed are Git's own files, which name images by their tags";
        return Err(bad(message, "hold it with --pin-digests, or put it into Git without"));
    }
    if asked.tree {
        return super::tree::roll_back(&state, peer, app, until, asked).await;
    }
    let (to, how) = instant_of(&state, &app, &asked.to).await?;
    let name = app.clone();
    let mut then = state.read_at(Some(&to), move |world, _| Then::of(world, &name)).await?;
    let mut pinned = Pinned::default();
    if asked.pin_digests {
        (then, pinned) = pin(&state, &to, then).await?;
    }
    let said = if asked.said.is_empty() { asked.to.clone() } else { asked.said.clone() };
    let reason = asked.reason.clone();
    let command = Command::Rollback { app, to, said, then, until, reason };
    roll_back_by(&state, peer, command, asked, (pinned, how)).await
}

/// What was in force, with its images named by what they stood for.
pub(super) async fn pin(state: &State, to: &At, then: Then) -> Result<(Then, Pinned), Error> {
    let Then::Wanted(mut desired) = then else { return Ok((then, Pinned::default())) };
    let (ledger, to) = (state.ledger.clone(), Moment { seq: to.seq, time: to.time });
    let pinned = move || {
        let pinned = images::pin(&ledger, to, &mut desired)?;
        Ok::<_, crate::ledger::Error>((Then::Wanted(desired), pinned))
    };
    Ok(state.blocking(pinned).await??)
}

/// Shows what a rollback would do whose instant is found, or does it.
pub(super) async fn roll_back_by(
    state: &State,
    peer: Peer,
    command: Command,
    asked: dto::RollbackBody,
    (pinned, how): (Pinned, Vec<String>),
) -> Result<Response, Error> {
    let app = match &command {
        Command::Rollback { app, .. } => app.clone(),
        _ => return Err(Error::internal("a rollback that is none")),
    };
    let decided = state.read(move |world, compared| {
        let decision = command::decide(world, Timestamp::now(), &command)?;
        Ok::<_, command::Error>((decision, world.clone(), compared.clone()))
    });
    let unpinned = pinned.unpinned(&app);
    let (decision, world, compared) = match decided.await? {
        // It would not be the same if they could.
        Err(command::Error::AsThen { .. }) if !unpinned.is_empty() => {
            return Err(not_pinnable(&unpinned));
        }
        decided => decided?,
    };
    let event = match decision {
        Decision::Record(event) => event,
        Decision::AlreadySo(hold) if asked.git => {
            return git_back::already(state, peer, &world, (&app, hold), &asked).await;
        }
        Decision::AlreadySo(seq) => {
            let (seq, next, undo) = (seq.0, Vec::new(), format!("greffier release {app}"));
            return Ok(Json(dto::Accepted { seq, already: true, undo, next }).into_response());
        }
    };
    let Event::AppHeld(body) = *event else {
        return Err(Error::internal("a rollback that is none"));
    };
    hold_at(state, peer, (world, compared), body, (asked, pinned, how)).await
}

/// Shows what a hold would do, or begins it.
pub(super) async fn hold_at(
    state: &State,
    peer: Peer,
    (world, compared): (World, Compared),
    mut body: AppHeldV1,
    (asked, pinned, how): (dto::RollbackBody, Pinned, Vec<String>),
) -> Result<Response, Error> {
    let unpinned = pinned.unpinned(body.app.as_str());
    let of = (body.app.clone(), body.desired.clone());
    let commits = Commits::of(state, peer, of, body.to, &asked).await?;
    body.images.clone_from(&pinned.recorded);
    let again = asked.partial.then(|| (world.clone(), compared.clone()));
    let event = body.clone().into();
    let mut found = shown_with(state, world, compared, &event, pinned.clone()).await?;
    if let Some((world, compared)) = again.filter(|_| !found.missing.is_empty()) {
        command::leave(&world, &mut body, &found.missing);
        let left = std::mem::take(&mut found.plan.missing);
        let event = body.clone().into();
        found = shown_with(state, world, compared, &event, pinned.clone()).await?;
        (found.plan.left, found.plan.missing) = (left, Vec::new());
    }
    if body.images.is_empty() {
        body.images = images::held(&found.plan.images, &body.left);
    }
    if asked.partial {
        found.plan.left.extend(unpinned);
    } else {
        found.plan.unpinned = unpinned;
    }
    commits.show(&mut found.plan);
    found.plan.notes.splice(0..0, how);
    if asked.plan {
        return Ok(Json(found.plan).into_response());
    }
    whole(&found.plan)?;
    allow(&mut body, &asked.approves, &found)?;
    commits.allowed(&asked)?;
    let undo = format!("greffier release {}", body.app);
    let decision = Decision::Record(Box::new(body.into()));
    let hold = command::execute_with(&state.ledger, peer.actor(), decision, pinned.blobs).await?;
    let pushed = commits.push(state, hold).await;
    let next = vec![found.plan.summary()];
    let accepted = dto::Accepted { seq: hold.0, already: false, undo, next };
    Ok(Json(dto::AcceptedTree { accepted, apps: Vec::new(), pushed }).into_response())
}

/// Allows with a hold what a person was shown that would wait.
fn allow(body: &mut AppHeldV1, shown: &str, found: &Shown) -> Result<(), Error> {
    if shown.is_empty() {
        return Ok(());
    }
    if shown != found.plan.approves {
        let (app, to) = (&body.app, found.plan.to);
        let message = format!("what would wait of `{app}` is not what was shown any more");
        let hint = format!("`greffier rollback {app} --to '#{to}' --plan` shows it");
        return Err(Error::new(StatusCode::CONFLICT, "plan_lapsed", message, hint));
    }
    body.approves.clone_from(&found.approval);
    Ok(())
}

/// Refuses what cannot be done as a whole.
pub(super) fn whole(plan: &HoldPlan) -> Result<(), Error> {
    if !plan.missing.is_empty() {
        let message = "not all of it can be restored";
        let hint = "nothing was written; --partial leaves that as it is now, and does the rest";
        let refused = Error::new(StatusCode::CONFLICT, "not_restorable", message, hint);
        return Err(refused.because(plan.missing.clone()));
    }
    if plan.unpinned.is_empty() { Ok(()) } else { Err(not_pinnable(&plan.unpinned)) }
}

fn not_pinnable(images: &[String]) -> Error {
    let message = "not every image can be named by its digest";
    let hint = "nothing was written; --partial leaves these by their tags, and pins the others";
    Error::new(StatusCode::CONFLICT, "not_pinnable", message, hint).because(images.to_vec())
}

/// Checks and records the command, and says what happens because of it.
async fn carry_out(state: &State, peer: Peer, command: Command) -> Answer<dto::Accepted> {
    let keeps = matches!(command, Command::Keep { .. });
    let decided = state.read(move |world, compared| {
        let decision = command::decide(world, Timestamp::now(), &command)?;
        Ok::<_, command::Error>((decision, peer.actor(), world.clone(), compared.clone()))
    });
    let (decision, actor, world, compared) = decided.await??;
    let already = matches!(decision, Decision::AlreadySo(_));
    let event = match &decision {
        Decision::Record(event) => Some(event.clone()),
        Decision::AlreadySo(_) => None,
    };
    let seq = command::execute(&state.ledger, actor, decision).await?;
    let limits = state.limits.clone();
    let next = match event {
        Some(event) if matches!(*event, Event::AppHoldEnded(_)) => {
            vec![shown(state, world, compared, &event).await?.plan.summary()]
        }
        Some(event) => {
            let told = move || query::because_of(world, &compared, &limits, seq, &event);
            state.blocking(told).await?
        }
        None => Vec::new(),
    };
    let undo = match keeps {
        true => format!("greffier release {}", seq.0),
        false => format!("greffier undo '#{}'", seq.0),
    };
    Ok(Json(dto::Accepted { seq: seq.0, already, undo, next }))
}
