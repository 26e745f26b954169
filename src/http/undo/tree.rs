//! Undoing the rollback of an application with everything below it: of each that it holds.

use axum::Json;
use axum::response::{IntoResponse as _, Response};

use super::super::error::Error;
use super::super::hold::whole;
use super::super::tree::{Pins, record, shown, together};
use super::Undo;
use crate::command::{self, Decision};
use crate::ledger::event::{AppHeldV1, AppHoldEndedV1, Event, HoldEnd};
use crate::model::{AppName, Seq, Timestamp};
use crate::plan::Compared;
use crate::query::images::Pinned;
use crate::query::rollback::RELEASED;
use crate::query::undo::{self, NotUndone};
use crate::replay::World;

/// An application that is held with a tree.
struct Member {
    app: AppName,
    hold: Seq,
    /// The first of the holds that took each other's place.
    first: Seq,
    /// The holds of its objects, which end with a release.
    holds: Vec<Seq>,
}

/// What became of the hold of one application.
enum Inverse {
    /// It ends.
    Ends(Box<Event>),
    /// What it took the place of begins again.
    Again(Box<AppHeldV1>, Pinned, String),
    /// It is as it was held before.
    Stays,
}

impl Undo {
    /// The application whose tree was rolled back with this hold, its own; `None` = the hold is of one
    /// application, or of one below the root.
    pub(super) async fn tree_of(&self, hold: Seq) -> Result<Option<AppName>, Error> {
        let root = self.state.read(move |world, _| {
            let found = world.apps.iter().find(|(name, app)| {
                let held = app.hold.as_ref().filter(|held| held.seq == hold);
                held.is_some_and(|held| held.tree.as_ref() == Some(*name))
            });
            found.map(|(name, _)| name.clone())
        });
        root.await
    }

    /// Ends the hold of each application of the tree, or begins again what it took the place of. What
    /// a person has held by itself since stays.
    pub(super) async fn release_tree(&self, root: AppName) -> Result<Response, Error> {
        let of = root.clone();
        let known = self
            .state
            .read(move |world, compared| (members(world, &of), world.clone(), compared.clone()));
        let (members, world, compared) = known.await?;
        let (mut events, mut pins, mut notes) = (Vec::new(), Pins::new(), Vec::new());
        for member in members {
            match self.inverse(&member).await? {
                Inverse::Ends(event) => events.push(*event),
                Inverse::Again(body, pinned, note) => {
                    notes.push(note);
                    pins.insert(member.app, pinned);
                    events.push(Event::from(*body));
                }
                Inverse::Stays => {}
            }
        }
        if events.is_empty() {
            return Err(NotUndone::Nothing(self.seq).into());
        }
        self.finish_tree(&root, (world, compared), (events, pins, notes)).await
    }

    async fn inverse(&self, member: &Member) -> Result<Inverse, Error> {
        let Member { app, hold, first, holds } = member;
        let (ledger, of, span) = (self.state.ledger.clone(), app.clone(), (*first, *hold));
        let found = self.state.blocking(move || undo::replaced(&ledger, &of, span)).await??;
        let now = Timestamp::now();
        let former = found.filter(|(_, body)| body.until.is_none_or(|until| until > now));
        let (app, hold, holds) = (app.clone(), *hold, holds.clone());
        let ends = || {
            Event::from(AppHoldEndedV1 { app: app.clone(), hold, end: HoldEnd::Released, holds })
        };
        let Some((former, before)) = former else { return Ok(Inverse::Ends(Box::new(ends()))) };
        let to = before.to;
        // A part of a tree is held also where it is as Git says.
        let part = before.tree.is_some().then(|| before.clone());
        let (pinned, command) = self.again(before);
        let body = match part {
            Some(body) => AppHeldV1 { reason: self.reason(&body.reason), approves: None, ..body },
            None => {
                let now_so =
                    move |world: &World, _: &Compared| command::decide(world, now, &command);
                match self.state.read(now_so).await? {
                    // That is what Git says now, which is followed again.
                    Err(command::Error::AsThen { .. }) => {
                        return Ok(Inverse::Ends(Box::new(ends())));
                    }
                    Ok(Decision::Record(event)) => body_of(*event)?,
                    Ok(Decision::AlreadySo(_)) => return Ok(Inverse::Stays),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let note = format!(
            "{app}: #{hold} took the place of hold #{former}, as at #{to}: that is what comes back"
        );
        let images = pinned.recorded.clone();
        Ok(Inverse::Again(Box::new(AppHeldV1 { images, ..body }), pinned, note))
    }

    async fn finish_tree(
        &self,
        root: &AppName,
        (world, compared): (World, Compared),
        (events, pins, notes): (Vec<Event>, Pins, Vec<String>),
    ) -> Result<Response, Error> {
        let found = shown(&self.state, world, compared, &events, &pins).await?;
        let mut plan = together(&found);
        let ends = |app: &str| {
            events
                .iter()
                .any(|e| matches!(e, Event::AppHoldEnded(body) if body.app.as_str() == app))
        };
        for plan in plan.tree.iter_mut().filter(|plan| ends(&plan.app)) {
            RELEASED.clone_into(&mut plan.how);
        }
        if ends(root.as_str()) {
            RELEASED.clone_into(&mut plan.how);
        }
        plan.notes.splice(0..0, notes);
        if self.asked.plan {
            return Ok(Json(plan).into_response());
        }
        whole(&plan)?;
        let blobs = pins.into_values().flat_map(|pinned| pinned.blobs).collect();
        record(&self.state, self.peer, (events, blobs), String::new(), &found).await
    }
}

fn body_of(event: Event) -> Result<AppHeldV1, Error> {
    match event {
        Event::AppHeld(body) => Ok(body),
        _ => Err(Error::internal("a rollback that is none")),
    }
}

/// What is held with the tree of `root`, the root first.
fn members(world: &World, root: &AppName) -> Vec<Member> {
    let held = world.apps.iter().filter_map(|(name, app)| {
        let hold = app.hold.as_ref().filter(|hold| hold.tree.as_ref() == Some(root))?;
        let holds = app.holds.iter().chain(world.cast_off_by(name));
        Some(Member {
            app: name.clone(),
            hold: hold.seq,
            first: app.lent.unwrap_or(hold.seq),
            holds: holds.map(|hold| hold.seq).collect(),
        })
    });
    let mut members: Vec<Member> = held.collect();
    members.sort_by_key(|member| member.app != *root);
    members
}
