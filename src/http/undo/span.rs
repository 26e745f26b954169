//! Undoing what an event made of the objects of an application, with the application that has them
//! now.

use std::collections::BTreeMap;

use axum::response::Response;

use super::super::error::Error;
use super::{Judged, Undo};
use crate::command::Restored;
use crate::ledger;
use crate::ledger::event::{DesiredObject, HoldOf};
use crate::model::{AppName, ObjectKey, Seq};
use crate::query::restore;
use crate::query::undo::came::Whose;
use crate::query::undo::effects::{self, Effect, Present, State as Objects};
use crate::query::undo::{NotUndone, Span, heir};
use crate::replay::World;

/// What is of each object now, by the application that has it.
type ByApp = BTreeMap<AppName, (Vec<Effect>, BTreeMap<ObjectKey, Present>)>;

impl Undo {
    pub(super) async fn effects(self, span: Span) -> Result<Response, Error> {
        let (app, keys) = (span.app.clone(), span.keys.clone());
        let of = move |world: &World| match &keys {
            Some(keys) => effects::applied(world, &app, keys),
            None => effects::wanted(world, &app),
        };
        let before: Objects = self.as_of(span.from, of.clone()).await?;
        let (app, to, of_render) = (span.app.clone(), span.to, span.keys.is_none());
        let after = self.as_of(span.to, move |world| {
            let desired = world.apps.get(&app).and_then(|app| app.desired.as_ref());
            let in_force = desired.is_some_and(|desired| desired.seq == to);
            (in_force || !of_render).then(|| of(world))
        });
        let not_in_force = || NotUndone::NotInForce { seq: to, app: span.app.clone() };
        let after = after.await?.ok_or_else(not_in_force)?;
        let (changed, missing) = self.between(&span, before, after).await?;
        let digest = |object: &Option<DesiredObject>| object.as_ref().map(|object| object.digest);
        let passed = |effect: &Effect| digest(&effect.before) == digest(&effect.after);
        if missing.is_empty() && !changed.is_empty() && changed.iter().all(passed) {
            return Err(NotUndone::Passed { seq: self.seq, app: span.app }.into());
        }
        let (there, by_app, left) = self.by_app(&span, changed).await?;
        if !there && by_app.is_empty() && !of_render {
            return Box::pin(self.of_removed(span)).await;
        }
        let mut all = Vec::new();
        for (now, (changed, present)) in by_app {
            let (ledger, then, ends) =
                (self.state.ledger.clone(), span.app.clone(), (span.from, span.to));
            let judged = self.state.blocking(move || {
                let whose = Whose { then: &then, now: &now };
                effects::judge(&ledger, whose, ends, &changed, &present).map(|judged| (now, judged))
            });
            all.push(judged.await??);
        }
        let (app, mut judged) = heir::of_one(&span, all);
        judged.conflicts.extend(left);
        judged.missing.splice(0..0, missing);
        let restored = Restored::Held(app.clone(), judged.parts);
        let left_out = self.left_out(&restored, span.from).await?;
        let judged = Judged {
            fields: judged.fields,
            conflicts: judged.conflicts,
            missing: judged.missing,
            notes: judged.notes.into_iter().chain(left_out).collect(),
            ..Judged::default()
        };
        self.finish_new(restored, judged, format!("application {app}")).await
    }

    /// The effects by the application that has their objects now, and why of the others nothing is
    /// undone: nobody has them, and the application of then is gone. With it: whether that is there.
    async fn by_app(
        &self,
        span: &Span,
        changed: Vec<Effect>,
    ) -> Result<(bool, ByApp, Vec<String>), Error> {
        let (then, before) = (span.app.clone(), span.from);
        let sorted = self.state.read(move |world, _| {
            let there = world.apps.get(&then).is_some_and(|app| !app.removing);
            let (mut by_app, mut left) = (ByApp::new(), Vec::new());
            for effect in changed {
                let now = heir::heir(world, &then, &effect.key);
                match now.or_else(|| there.then(|| then.clone())) {
                    Some(now) => {
                        let present = Present::of(world, &now, &effect.key);
                        let of = by_app.entry(now).or_default();
                        of.1.insert(effect.key.clone(), present);
                        of.0.push(effect);
                    }
                    None => left.push(heir::nobodys(&then, &effect.key, before)),
                }
            }
            (there, by_app, left)
        });
        sorted.await
    }

    /// What others had set of objects that come back as they were applied, as of event `at`.
    async fn left_out(&self, restored: &Restored, at: Seq) -> Result<Vec<String>, Error> {
        let Restored::Held(_, parts) = restored else { return Ok(Vec::new()) };
        let objects = parts.iter().filter_map(|part| match part {
            HoldOf::Object(held) => Some(held.object.clone()),
            HoldOf::Fields(_) | HoldOf::Absence(_) => None,
        });
        let objects: Vec<DesiredObject> = objects.collect();
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let seen = move |world: &World| {
            let of = |object: DesiredObject| Some((world.live.get(&object.key)?.object, object));
            objects.into_iter().filter_map(of).collect::<Vec<_>>()
        };
        let (seen, ledger) = (self.as_of(at, seen).await?, self.state.ledger.clone());
        let notes = self.state.blocking(move || {
            let mut notes = Vec::new();
            for (seen, object) in &seen {
                notes.extend(restore::left_out(&ledger, object, (*seen, at))?);
            }
            Ok::<_, ledger::Error>(notes)
        });
        Ok(notes.await??)
    }

    /// What became of the objects, and what of that cannot be found any more.
    pub(super) async fn between(
        &self,
        span: &Span,
        before: Objects,
        after: Objects,
    ) -> Result<(Vec<Effect>, Vec<String>), Error> {
        let (ledger, app, to) = (self.state.ledger.clone(), span.app.clone(), span.to);
        let between =
            self.state.blocking(move || effects::between(&ledger, &app, (&before, &after), to));
        let (changed, mut missing) = between.await??;
        let (changed, more) = self.found(changed, span.from).await?;
        missing.extend(more);
        Ok((changed, missing))
    }

    /// What of the effects was there before, though the application had not applied it.
    async fn found(
        &self,
        changed: Vec<Effect>,
        from: Seq,
    ) -> Result<(Vec<Effect>, Vec<String>), Error> {
        let made = changed.iter().filter(|effect| effect.before.is_none());
        let made: Vec<ObjectKey> = made.map(|effect| effect.key.clone()).collect();
        if made.is_empty() {
            return Ok((changed, Vec::new()));
        }
        let there = self.as_of(from, move |world| effects::there(world, &made)).await?;
        let ledger = self.state.ledger.clone();
        let found = self.state.blocking(move || effects::found(&ledger, changed, &there, from));
        Ok(found.await??)
    }
}
