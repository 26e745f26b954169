//! Who has now what an application had when an event made something of it.

use std::collections::BTreeSet;

use super::Span;
use super::effects::Judged;
use crate::ledger::event::HoldOf;
use crate::model::{AppName, ObjectKey, Seq};
use crate::replay::World;

/// The application that has now what `then` had: that one, if it still wants it; or else another
/// that wants it, or has it still. `None` = nobody has it.
#[must_use]
pub fn heir(world: &World, then: &AppName, key: &ObjectKey) -> Option<AppName> {
    let owner = world.owned.get(key).map(|owned| &owned.app);
    let wants = world.wanted_by.get(key);
    let wants_it = |app: &&AppName| wants.is_some_and(|wants| wants.contains(*app));
    let there = |app: &&AppName| world.apps.get(*app).is_some_and(|app| !app.removing);
    let first = Some(then).filter(wants_it).or(owner.filter(wants_it));
    let found = first.or_else(|| wants?.first()).or(owner).filter(there);
    found.cloned()
}

/// Of what was judged of each application, what is undone at once: that of the one that did it, or
/// else of the one that has most of it now, because a hold is of one application. What of the
/// others could be undone is in conflict.
#[must_use]
pub fn of_one(span: &Span, all: Vec<(AppName, Judged)>) -> (AppName, Judged) {
    let rank = |(app, judged): &&(AppName, Judged)| {
        (!judged.parts.is_empty(), *app == span.app, judged.parts.len())
    };
    // Of equals the first by name.
    let one = all.iter().rev().max_by_key(rank).map(|(app, _)| app.clone());
    let one = one.unwrap_or_else(|| span.app.clone());
    let mut found = Judged::default();
    if one != span.app && all.iter().any(|(app, judged)| *app == one && !judged.parts.is_empty()) {
        let then = &span.app;
        found.notes.push(format!("application {one} has now what application {then} had then"));
    }
    for (app, judged) in all {
        found.conflicts.extend(judged.conflicts);
        found.missing.extend(judged.missing);
        found.notes.extend(judged.notes);
        if app == one {
            (found.parts, found.fields) = (judged.parts, judged.fields);
            continue;
        }
        let keys: BTreeSet<&ObjectKey> = judged.parts.iter().map(HoldOf::key).collect();
        found.conflicts.extend(keys.into_iter().map(|key| {
            let how = how_it_was(key, span.from);
            format!("{key}: application {app} has it now, and a hold is of one application: {how}")
        }));
    }
    (one, found)
}

/// Why nothing is done about an object that nobody has since application `then` is gone.
#[must_use]
pub fn nobodys(then: &AppName, key: &ObjectKey, before: Seq) -> String {
    let how = how_it_was(key, before);
    format!("{key}: nobody has it since application {then} is gone: {how}")
}

fn how_it_was(key: &ObjectKey, before: Seq) -> String {
    format!("`greffier restore {key} --to '#{before}' --plan` shows how it comes back")
}
