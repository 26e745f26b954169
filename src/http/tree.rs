//! Rolling back, and releasing, an application with everything below it.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::tz::TimeZone;

use super::dto;
use super::error::Error;
use super::hold::{instant_of, pin, whole};
use super::peer::Peer;
use super::server::State;
use crate::command::tree::{Asked, Member, Tree, release_tree, roll_back_tree};
use crate::command::{self, leave};
use crate::ledger::Blob;
use crate::ledger::event::Event;
use crate::model::{AppName, Instant, Seq, Timestamp};
use crate::plan::Compared;
use crate::query::images::{self, Pinned};
use crate::query::instant::At;
use crate::query::rollback::{self, HoldPlan, LAST_HEALTHY, OfCommit, RELEASED, Shown};
use crate::replay::World;

/// The images of each application, where they are named by their digests.
pub(super) type Pins = BTreeMap<AppName, Pinned>;

/// What happens to each application once all events are folded.
pub(super) async fn shown(
    state: &State,
    world: World,
    compared: Compared,
    events: &[Event],
    pins: &Pins,
) -> Result<Vec<(AppName, Shown)>, Error> {
    let (limits, ledger) = (state.limits.clone(), state.ledger.clone());
    let (events, pins) = (events.to_vec(), pins.clone());
    let shown = state.blocking(move || {
        let pending = rollback::gather_tree(world, &compared, &limits, &events);
        let read = pending.into_iter().map(|(app, pending)| {
            let pending = match pins.get(&app) {
                Some(pinned) => pending.pinned(pinned),
                None => pending,
            };
            Ok((app, pending.read(&ledger, |addr| ledger.has_blob(addr))?))
        });
        read.collect::<Result<Vec<_>, crate::ledger::Error>>()
    });
    Ok(shown.await??)
}

/// One plan of them all: the root's, with the others below it.
pub(super) fn together(shown: &[(AppName, Shown)]) -> HoldPlan {
    let mut plans = shown.iter().map(|(_, shown)| shown.plan.clone());
    let mut root = plans.next().unwrap_or_default();
    root.tree = plans.collect();
    let of = |plan: &HoldPlan| {
        let app = plan.app.clone();
        plan.missing.iter().map(move |what| format!("{app}: {what}")).collect::<Vec<_>>()
    };
    let below: Vec<String> = root.tree.iter().flat_map(of).collect();
    root.missing.extend(below);
    let hashes = shown.iter().filter_map(|(_, shown)| Some(shown.approval.as_ref()?.plan));
    root.approves = hashes.map(|hash| hash.to_string()).collect::<Vec<_>>().join(",");
    root
}

/// What a tree goes back to.
struct Then {
    to: At,
    /// How that was found, where there is something to say of it.
    how: Vec<String>,
    /// The commit that was named; empty where none was.
    commit: String,
    members: Vec<Member>,
}

/// The last instant at which the whole tree was well and asked for something else, with what is to be
/// said of it; `None` = there is none, or no such application.
async fn last_healthy(state: &State, app: &str) -> Result<Option<(At, Vec<String>)>, Error> {
    let Ok(root) = app.parse::<AppName>() else { return Ok(None) };
    let (ledger, limits) = (state.ledger.clone(), state.limits.clone());
    let found = state.blocking(move || {
        let Some(seq) = rollback::last_healthy_tree(&ledger, &root, &limits)? else {
            return Ok(None);
        };
        let recorded = ledger.get(seq)?;
        let time = recorded.map(|recorded| recorded.envelope.recorded).unwrap_or_default();
        Ok::<_, crate::ledger::Error>(Some((seq, time)))
    });
    let Some((seq, time)) = found.await?? else { return Ok(None) };
    let how = format!(
        "{LAST_HEALTHY} is #{seq}: the last instant at which everything of the tree was Healthy, with \
         nothing left to do, and held by nobody, and the tree asked for something else than now"
    );
    let at = At { seq, time, timed: false, what: LAST_HEALTHY.to_owned() };
    Ok(Some((at, vec![how])))
}

/// What was in force of the tree at the instant, or what the commit asked for of it.
async fn then(state: &State, app: &str, asked: &dto::RollbackBody) -> Result<Then, Error> {
    let (root, commit) = (app.to_owned(), String::new());
    let named = Instant::parse(&asked.to, Timestamp::now(), &TimeZone::UTC);
    let mut how = Vec::new();
    let name = match named {
        Ok(Instant::Commit(name)) => name,
        named => {
            let well =
                if asked.to == LAST_HEALTHY { last_healthy(state, app).await? } else { None };
            let (to, found_so) = match well {
                Some(found) => found,
                None => instant_of(state, app, &asked.to).await?,
            };
            how = found_so;
            let of_root = asked.to == LAST_HEALTHY || matches!(named, Ok(Instant::Back(_)));
            let (members, behind) = state
                .read_at(Some(&to), move |world, _| {
                    let behind = of_root.then(|| rollback::behind(world, &root)).flatten();
                    (Member::of(world, &root), behind)
                })
                .await?;
            let Some(commit_then) = behind else {
                return Ok(Then { to, how, commit, members });
            };
            how.push(format!(
                "at #{} Git had said more already than {app} had taken up, and what is below it \
                 may have: it goes back to what commit {} asked for",
                to.seq,
                commit_then.short()
            ));
            commit_then.to_string()
        }
    };
    let root = app.to_owned();
    let known: AppName =
        app.parse().map_err(|error| Error::bad_request(format!("{app}: {error}")))?;
    let (ledger, by) = (state.ledger.clone(), asked.by);
    let found = state.blocking(move || {
        let head = ledger.head();
        let by = if by == 0 { head } else { head.min(Seq(by)) };
        OfCommit::find(&ledger, &known, &name, by)
    });
    let of = found.await??;
    let (to, commit) = (of.at.clone(), of.commit.to_string());
    let world = state.world_at(to.seq).await?;
    let ledger = state.ledger.clone();
    let members = state.blocking(move || Member::of_commit(&ledger, &world, &root, &of)).await??;
    Ok(Then { to, how, commit, members })
}

/// Shows what a rollback of a tree would do, or does it.
pub(super) async fn roll_back(
    state: &State,
    peer: Peer,
    app: String,
    until: Option<Timestamp>,
    asked: dto::RollbackBody,
) -> Result<Response, Error> {
    let Then { to, how: found_so, commit, mut members } = then(state, &app, &asked).await?;
    let mut pins = Pins::new();
    for member in members.iter_mut().filter(|_| asked.pin_digests) {
        let (then, pinned) = pin(state, &to, member.then.clone()).await?;
        member.then = then;
        pins.insert(member.app.clone(), pinned);
    }
    let said = if asked.said.is_empty() { asked.to.clone() } else { asked.said.clone() };
    let how = Asked { to, said, until, reason: asked.reason.clone() };
    let root = app.clone();
    let decided = state.read(move |world, compared| {
        let tree = roll_back_tree(world, Timestamp::now(), &root, &members, &how)?;
        let held = world.apps.iter().find(|(name, _)| name.as_str() == root);
        let since = held.and_then(|(_, app)| app.hold.as_ref()).map(|hold| hold.seq);
        Ok::<_, command::Error>((tree, since, world.clone(), compared.clone()))
    });
    let (Tree { mut events, left, notes }, since, world, compared) = decided.await??;
    let undo = format!("greffier release {app} --tree");
    if events.is_empty() {
        let seq = since.unwrap_or_default().0;
        let done = dto::Accepted { seq, already: true, undo, next: Vec::new() };
        return Ok(Json(done).into_response());
    }
    let mut found = shown(state, world.clone(), compared.clone(), &events, &pins).await?;
    let mut plan = together(&found);
    if asked.partial && !plan.missing.is_empty() {
        let missing = plan.missing;
        for body in events.iter_mut().filter_map(held) {
            let own = found.iter().find(|(app, _)| *app == body.app);
            if let Some((_, shown)) = own.filter(|(_, shown)| !shown.missing.is_empty()) {
                leave(&world, body, &shown.missing);
            }
        }
        found = shown(state, world, compared, &events, &pins).await?;
        plan = together(&found);
        (plan.left, plan.missing) = (missing, Vec::new());
    }
    plan.commit = commit;
    plan.notes.splice(0..0, found_so);
    tell_members(&mut plan, (left, notes), asked.partial);
    tell_images(&mut events, &found, &pins, &mut plan);
    if asked.partial {
        plan.left.append(&mut plan.unpinned);
    }
    if asked.plan {
        return Ok(Json(plan).into_response());
    }
    whole(&plan)?;
    allow(&mut events, (&plan, &asked.approves), &found)?;
    let blobs = pins.into_values().flat_map(|pinned| pinned.blobs).collect();
    record(state, peer, (events, blobs), undo, &found).await
}

/// Allows with each hold what a person was shown that would wait of it.
fn allow(
    events: &mut [Event],
    (plan, shown): (&HoldPlan, &str),
    found: &[(AppName, Shown)],
) -> Result<(), Error> {
    if shown.is_empty() {
        return Ok(());
    }
    if shown != plan.approves {
        let app = &plan.app;
        let message = format!("what would wait below `{app}` is not what was shown any more");
        let to = match plan.commit.as_str() {
            "" => format!("#{}", plan.to),
            commit => format!("git:{commit}"),
        };
        let hint = format!("`greffier rollback {app} --tree --to '{to}' --plan` shows it");
        return Err(Error::new(StatusCode::CONFLICT, "plan_lapsed", message, hint));
    }
    for body in events.iter_mut().filter_map(held) {
        let own = found.iter().find(|(app, _)| *app == body.app);
        body.approves = own.and_then(|(_, shown)| shown.approval.clone());
    }
    Ok(())
}

/// Says which applications are left as they are, which is refused unless a part is asked for, and
/// what is to be known of others.
fn tell_members(
    plan: &mut HoldPlan,
    (left, notes): (Vec<String>, Vec<(AppName, String)>),
    partial: bool,
) {
    match partial {
        true => plan.left.extend(left),
        false => plan.missing.extend(left),
    }
    for (app, note) in notes {
        let own = if app.as_str() == plan.app {
            Some(&mut *plan)
        } else {
            plan.tree.iter_mut().find(|plan| plan.app == app.as_str())
        };
        if let Some(plan) = own {
            plan.notes.push(note);
        }
    }
}

/// Has each hold say what became of its images, and the plan which of them cannot be pinned.
fn tell_images(events: &mut [Event], found: &[(AppName, Shown)], pins: &Pins, plan: &mut HoldPlan) {
    for body in events.iter_mut().filter_map(held) {
        if let Some((_, shown)) = found.iter().find(|(app, _)| *app == body.app) {
            body.images = images::held(&shown.plan.images, &body.left);
        }
        if let Some(pinned) = pins.get(&body.app) {
            plan.unpinned.extend(pinned.unpinned(body.app.as_str()));
        }
    }
}

fn held(event: &mut Event) -> Option<&mut crate::ledger::event::AppHeldV1> {
    match event {
        Event::AppHeld(body) => Some(body),
        _ => None,
    }
}

/// Records all of it in one batch, and says which event holds or releases which application.
pub(super) async fn record(
    state: &State,
    peer: Peer,
    (events, blobs): (Vec<Event>, Vec<Blob>),
    undo: String,
    shown: &[(AppName, Shown)],
) -> Result<Response, Error> {
    let apps: Vec<Option<AppName>> =
        events.iter().map(|event| rollback::held_by(event).cloned()).collect();
    let seqs = command::execute_all(&state.ledger, peer.actor(), events, blobs).await?;
    let mut written: Vec<dto::AppSeq> = Vec::new();
    for (app, seq) in apps.into_iter().zip(&seqs) {
        if let Some(app) = app {
            written.push(dto::AppSeq { app: app.to_string(), seq: seq.0 });
        }
    }
    let seq = written.first().map_or(Seq::ZERO.0, |first| first.seq);
    let next = shown.iter().map(|(app, shown)| format!("{app}: {}", shown.plan.summary()));
    let accepted = dto::Accepted { seq, already: false, undo, next: next.collect() };
    let pushed = Vec::new();
    Ok(Json(dto::AcceptedTree { accepted, apps: written, pushed }).into_response())
}

/// Shows what the release of a tree would do, or does it.
pub(super) async fn release(
    state: &State,
    peer: Peer,
    app: String,
    plan: bool,
) -> Result<Response, Error> {
    let root = app.clone();
    let decided = state.read(move |world, compared| {
        let events = release_tree(world, &root)?;
        Ok::<_, command::Error>((events, world.clone(), compared.clone()))
    });
    let (events, world, compared) = decided.await??;
    let found = shown(state, world, compared, &events, &Pins::new()).await?;
    if plan {
        let mut plan = together(&found);
        for plan in plan.tree.iter_mut() {
            RELEASED.clone_into(&mut plan.how);
        }
        RELEASED.clone_into(&mut plan.how);
        return Ok(Json(plan).into_response());
    }
    record(state, peer, (events, Vec::new()), String::new(), &found).await
}
