//! An application that is not there any more: what removed it, what is left of it, and the way
//! back.

use super::super::UnknownApp;
use super::super::book::Book;
use super::super::search::{Filter, newest};
use super::super::text::{count, list};
use super::chain::Walk;
use super::subject::SubjectError;
use super::{Advice, Error, NAMED_MAX, Pending, Reason, Why};
use crate::ledger;
use crate::ledger::Recorded;
use crate::ledger::event::{AppRemovedV1, Event, Origin};
use crate::model::{AppName, ObjectKey, Seq};
use crate::replay::{LeftBehind, World};

/// How many renders of what defined it are looked at for the last one that had it.
const RENDERS_MAX: usize = 50;

/// What is asked about, where no application has that name.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    name: AppName,
    unknown: UnknownApp,
    /// What a release left of it.
    left: Option<LeftBehind>,
    /// What there is now.
    parents: Vec<AppName>,
    /// The holds of applications that are in force.
    held: Vec<Seq>,
}

/// What is behind a removal besides Git.
enum Behind {
    /// A rollback: what defined the application was held as it was before.
    Held { hold: Seq, root: String, text: String },
    /// The release of what defined it.
    Released(Seq),
}

impl Behind {
    fn of(book: &dyn Book, removed: &Recorded) -> Result<Option<Self>, ledger::Error> {
        for seq in &removed.envelope.causes {
            let Some(cause) = book.get(*seq)? else { continue };
            match &cause.event {
                Some(Event::AppHeld(body)) => {
                    let root = match &body.tree {
                        Some(root) => format!("{root} --tree"),
                        None => body.app.to_string(),
                    };
                    let (app, to) = (&body.app, body.to);
                    let by = &cause.actor;
                    let why = match body.reason.as_str() {
                        "" => String::new(),
                        reason => format!(": {reason}"),
                    };
                    let text = format!(
                        "application {app} was rolled back to #{to} (#{seq}, by {by}{why})"
                    );
                    return Ok(Some(Self::Held { hold: *seq, root, text }));
                }
                Some(Event::AppHoldEnded(_)) => return Ok(Some(Self::Released(*seq))),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// The ways back of what a rollback removed.
fn can_release(name: &AppName, lasts: bool, root: &str) -> Vec<Advice> {
    let mut advices = Vec::new();
    let mut say = |what: &str, command: String| {
        advices.push(Advice { what: what.to_owned(), command });
    };
    if lasts {
        say("see what the release brings back", format!("greffier release {root} --plan"));
    }
    say("see what it was", format!("greffier log {name}"));
    advices
}

/// The question about an application that there may have been.
pub(super) fn asked(world: &World, unknown: UnknownApp) -> Result<Pending, SubjectError> {
    let Ok(name) = unknown.name.parse::<AppName>() else { return Err(unknown.into()) };
    let why = Why { subject: name.to_string(), seq: world.seq.0, ..Why::default() };
    let (left, parents) = (world.left_behind(&name), world.apps.keys().cloned().collect());
    let held = world.apps.values().filter_map(|app| Some(app.hold.as_ref()?.seq)).collect();
    let removed = Some(Box::new(Asked { name, unknown, left, parents, held }));
    Ok(Pending { why, removed, ..Pending::default() })
}

/// The answer, or that there never was such an application.
pub(super) fn read(mut why: Why, asked: Asked, book: &dyn Book) -> Result<Why, Error> {
    let Asked { name, unknown, left, parents, held } = asked;
    let of = |kind: &str| Filter {
        app: Some(name.to_string()),
        kinds: vec![kind.to_owned()],
        before: Some(Seq(why.seq).next()),
        ..Filter::default()
    };
    let found = newest(book, &of("app.removed"), 1)?.pop();
    let removed = found.as_ref().and_then(|found| match &found.recorded.event {
        Some(Event::AppRemoved(body)) if body.app == name => Some((found.recorded.seq(), body)),
        _ => None,
    });
    let Some((seq, body)) = removed else { return Err(SubjectError::from(unknown).into()) };
    let recorded = found.as_ref().map(|found| &found.recorded);
    let at = recorded.map(|recorded| recorded.envelope.recorded).unwrap_or_default();
    let behind = recorded.map(|recorded| Behind::of(book, recorded)).transpose()?.flatten();
    let objects = what_is_left(body, left.as_ref());
    why.headline =
        format!("{name} is not there any more: it was removed at {at} (#{seq}){objects}");
    why.reasons = reasons(seq, body, left.as_ref(), behind.as_ref());
    why.can_do = match behind {
        Some(Behind::Held { hold, root, .. }) => can_release(&name, held.contains(&hold), &root),
        _ => can_do(book, (&name, seq, body), left.as_ref(), &parents)?,
    };
    if let Some(recorded) = recorded {
        why.history = vec![super::history::link(book, recorded)];
    }
    let mut walk = Walk::new(book);
    walk.event(seq, None, 0)?;
    (why.chain, why.bounds) = walk.ends();
    Ok(why)
}

fn named(objects: &[ObjectKey]) -> String {
    list(objects.iter().map(ToString::to_string), NAMED_MAX)
}

fn what_is_left(body: &AppRemovedV1, left: Option<&LeftBehind>) -> String {
    match left {
        Some(LeftBehind { objects, .. }) => {
            let n = count(objects.len(), "object");
            format!(", and {n} of it LEFT BEHIND, which nobody has: {}", named(objects))
        }
        None if body.cascade => ", and its objects with it".to_owned(),
        None if body.orphans.is_empty() => String::new(),
        None => {
            let n = count(body.orphans.len(), "object");
            format!(", and {n} left as they were: {}", named(&body.orphans))
        }
    }
}

fn reasons(
    seq: Seq,
    body: &AppRemovedV1,
    left: Option<&LeftBehind>,
    behind: Option<&Behind>,
) -> Vec<Reason> {
    let text = match (&body.origin, left) {
        (Origin::Parent(parent), _) if let Some(Behind::Held { text, .. }) = behind => {
            format!("{text}, and {parent} did not define it then, or was not there")
        }
        (Origin::Parent(parent), Some(left)) => format!(
            "application {parent} does not define it any more in Git: it stayed while {parent} was \
             held, and went with the release (#{})",
            left.released.seq
        ),
        (Origin::Parent(parent), None) => match behind {
            Some(Behind::Released(released)) => format!(
                "application {parent} does not define it any more in Git, which is followed again \
                 since the release (#{released})"
            ),
            _ => format!("application {parent} does not define it any more in Git"),
        },
        (Origin::Config | Origin::Unconfigured, _) => {
            "the configuration does not name it any more".to_owned()
        }
        (Origin::Operator, _) => "a person removed it".to_owned(),
    };
    vec![Reason { code: "removed".to_owned(), text, seq: Some(seq.0) }]
}

fn can_do(
    book: &dyn Book,
    (name, seq, body): (&AppName, Seq, &AppRemovedV1),
    left: Option<&LeftBehind>,
    there: &[AppName],
) -> Result<Vec<Advice>, ledger::Error> {
    let mut advices = Vec::new();
    let mut say = |what: String, command: String| advices.push(Advice { what, command });
    if let Origin::Parent(parent) = &body.origin
        && there.contains(parent)
    {
        let to = match left {
            Some(left) => Some(left.released.to),
            None => last_with(book, parent, name, seq)?,
        };
        if let Some(to) = to {
            say(
                format!("see what it takes to have it back with all of {parent}, as at #{to}"),
                format!("greffier rollback {parent} --tree --to '#{to}' --plan"),
            );
        }
        say(
            format!("have it back for good: put it into what {parent} renders in Git"),
            String::new(),
        );
    }
    if let Some(left) = left {
        let objects = named(&left.objects);
        say(format!("or delete by hand what is left: {objects}"), String::new());
    }
    say("see what it was".to_owned(), format!("greffier log {name}"));
    Ok(advices)
}

/// The last instant at which the render in force of `parent` had the application, as far as its
/// last renders tell.
fn last_with(
    book: &dyn Book,
    parent: &AppName,
    name: &AppName,
    before: Seq,
) -> Result<Option<Seq>, ledger::Error> {
    let filter = Filter {
        app: Some(parent.to_string()),
        kinds: vec!["render.succeeded".to_owned()],
        before: Some(before),
        ..Filter::default()
    };
    let mut without = None;
    for found in newest(book, &filter, RENDERS_MAX)? {
        let Some(Event::RenderSucceeded(body)) = &found.recorded.event else { continue };
        if body.app != *parent {
            continue;
        }
        let mut objects = body.objects.iter().filter(|object| object.key.is_application());
        if objects.any(|object| object.key.name() == name.as_str()) {
            return Ok(without);
        }
        without = Some(Seq(found.recorded.seq().0.saturating_sub(1)));
    }
    Ok(None)
}
