//! The hold of an application as a reason: of itself, and of each of its objects.

use serde_json::Value;

use super::super::apps::AppView;
use super::super::book::Book;
use super::super::describe::field_change;
use super::super::rollback::held_commit;
use super::super::text::{count, list};
use super::{NAMED_MAX, Reason, Why};
use crate::ledger;
use crate::ledger::event::{DesiredObject, Origin};
use crate::model::{AppName, BlobAddr, ObjectKey, Seq};
use crate::plan::diff::changes;
use crate::plan::secret::hide;
use crate::replay::{AppHold, World};

/// The code of the reason.
pub const HELD_AT: &str = "held_at";

/// What Git says of an object otherwise than the hold has it: the manifests.
#[derive(Debug, Clone)]
pub(super) struct Instead {
    key: ObjectKey,
    held: BlobAddr,
    git: BlobAddr,
}

/// That a person holds the application as it was at an earlier instant.
pub(super) fn of_app(world: &World, view: &AppView<'_>) -> Option<Reason> {
    let hold = view.app.hold.as_ref()?;
    let waits = view.app.proposed.as_ref().map(|waits| &waits.desired.revision.commit);
    let ends = match hold.automatic {
        Some(_) => "Git says something else or it is released",
        None => "it is released",
    };
    let waits = waits.map_or_else(String::new, |commit| {
        format!("; commit {} of Git waits until {ends}", commit.short())
    });
    let pinned = match hold.pinned.len() {
        0 => String::new(),
        n => format!(", with {} by digest, which Git names by tag", count(n, "image")),
    };
    let commits = hold.commits.iter().map(|held| format!("; {}", held_commit(held)));
    let commits: String = commits.collect();
    let dropped = dropped(world, view);
    let text =
        format!("{}{pinned}{}{waits}{dropped}{commits}", begun(hold, ""), ends_and_why(hold));
    Some(reason(text, hold))
}

/// The application that defined this one, if nothing defines it any more.
pub(super) fn dropped_by<'w>(world: &World, view: &AppView<'w>) -> Option<&'w AppName> {
    let Origin::Parent(parent) = &view.app.origin else { return None };
    (!world.apps.values().any(|app| app.defines(view.name))).then_some(parent)
}

/// That what defined the application has it no more, and only the hold keeps it.
fn dropped(world: &World, view: &AppView<'_>) -> String {
    let Some(parent) = dropped_by(world, view) else { return String::new() };
    let with = match view.app.spec.removals.cascade {
        Some(_) => "it goes with its objects",
        None => "it goes and its objects stay",
    };
    format!(
        "; application {parent} does not define it any more: once it is released {with}, as far \
         as {parent} prunes"
    )
}

/// That the application of an object is held, and what Git says of the object instead.
pub(super) fn of_object(view: &AppView<'_>, key: &ObjectKey) -> Option<Reason> {
    let hold = view.app.hold.as_ref()?;
    let whose = format!("application {} is ", view.name);
    let held = view.app.commit().map_or_else(String::new, |c| format!(", commit {}", c.short()));
    let text = format!("{}{held}{}; {}", begun(hold, &whose), ends_and_why(hold), says(view, key));
    Some(reason(text, hold))
}

fn reason(text: String, hold: &AppHold) -> Reason {
    Reason { code: HELD_AT.to_owned(), text, seq: Some(hold.seq.0) }
}

fn begun(hold: &AppHold, whose: &str) -> String {
    let by_itself = if hold.automatic.is_some() { "ROLLED BACK BY ITSELF: " } else { "" };
    format!("{by_itself}{whose}held as at #{} ({})", hold.to, hold.at)
}

fn ends_and_why(hold: &AppHold) -> String {
    let until = hold.until.map_or_else(String::new, |until| format!(" until {until}"));
    let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
    until + &why
}

/// What is held of an object, and what Git says of it, as far as that is rendered.
fn both<'v>(
    view: &AppView<'v>,
    key: &ObjectKey,
) -> (Option<&'v DesiredObject>, Option<&'v DesiredObject>) {
    let held = view.app.desired.as_ref().and_then(|desired| desired.objects.get(key));
    let git = view.app.proposed.as_ref().and_then(|waits| waits.desired.objects.get(key));
    (held, git)
}

fn says(view: &AppView<'_>, key: &ObjectKey) -> String {
    let Some(waits) = &view.app.proposed else {
        return "what Git says now is not rendered".to_owned();
    };
    let commit = waits.desired.revision.commit.short();
    match both(view, key) {
        (Some(held), Some(git)) if held.digest == git.digest => {
            format!("Git says the same of it at {commit}")
        }
        (Some(_), Some(_)) => format!("Git says otherwise at {commit}, which waits"),
        (Some(_), None) => format!("Git does not have it at {commit}, which waits"),
        (None, Some(_)) => format!("Git has it at {commit}, which waits"),
        (None, None) => format!("Git does not have it either at {commit}"),
    }
}

/// What Git says otherwise of an object than the hold of its application.
pub(super) fn instead(view: &AppView<'_>, key: &ObjectKey) -> Option<Instead> {
    view.app.hold.as_ref()?;
    match both(view, key) {
        (Some(held), Some(git)) if held.digest != git.digest => {
            let (held, git) = (held.manifest, git.manifest);
            Some(Instead { key: key.clone(), held, git })
        }
        _ => None,
    }
}

/// Adds who holds it, and where Git says otherwise.
pub(super) fn tell(
    book: &dyn Book,
    why: &mut Why,
    instead: Option<&Instead>,
) -> Result<(), ledger::Error> {
    for reason in why.reasons.iter_mut().filter(|reason| reason.code == HELD_AT) {
        if let Some(fields) = instead.and_then(|instead| fields(book, instead)) {
            reason.text = format!("{}: {fields}", reason.text);
        }
        if let Some(begun) = book.get(Seq(reason.seq.unwrap_or_default()))? {
            reason.text = format!("{}; held by {}", reason.text, begun.actor);
        }
    }
    Ok(())
}

/// The fields, from what is held to what Git says; nothing where a manifest cannot be read.
fn fields(book: &dyn Book, Instead { key, held, git }: &Instead) -> Option<String> {
    let read = |addr: &BlobAddr| serde_json::from_slice::<Value>(&book.blob(*addr).ok()?).ok();
    let fields = changes(&read(held)?, &read(git)?).into_iter();
    let fields: Vec<String> = fields.map(|change| field_change(&hide(key, change))).collect();
    Some(list(fields, NAMED_MAX)).filter(|fields| !fields.is_empty())
}
