//! What an event changed of its objects, field by field.
//!
//! Security: of a Secret only which values changed is told.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blame::Pattern;
use super::book::{Book, kept, read};
use super::object_at::{State, last_state};
use crate::ledger::event::{Event, FieldChange};
use crate::ledger::{self, Recorded};
use crate::model::{BlobAddr, ObjectKey, Seq};
use crate::plan::diff::{CHANGES_MAX, changes};
use crate::plan::secret::hide;

/// Bound: of how many objects of one event the changes are told.
const OBJECTS_MAX: usize = 20;

/// What became of an object. It goes over the wire as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The object.
    pub object: String,
    /// `appeared`, `gone`, `changed` or `made anew`.
    pub change: String,
    /// The fields, of an object that was there and stays, at most 100.
    pub fields: Vec<Field>,
    /// Whether there may be more of them than are told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A field that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Where it is.
    pub path: String,
    /// What it was, as JSON; empty when it was not there.
    pub was: String,
    /// What it is; empty when it is not there.
    pub now: String,
}

impl From<FieldChange> for Field {
    fn from(change: FieldChange) -> Self {
        Self { path: change.path, was: change.was, now: change.now }
    }
}

/// The objects that an event may have changed.
fn objects(book: &dyn Book, recorded: &Recorded) -> Vec<ObjectKey> {
    let results = match &recorded.event {
        Some(Event::ObjectObserved(body)) => return vec![body.key.clone()],
        Some(Event::ObjectGone(body)) => return vec![body.key.clone()],
        Some(Event::OutcomeRecorded(body)) => &body.results,
        Some(Event::IntentSettled(body)) => &body.results,
        _ => return Vec::new(),
    };
    let intent = recorded.event.as_ref().and_then(|event| book.intent_of(event));
    let Some(intent) = intent.as_deref().and_then(super::as_intent) else { return Vec::new() };
    let written = results.iter().filter_map(|(index, _)| {
        intent.writes.get(usize::try_from(*index).ok()?).map(|write| write.key.clone())
    });
    written.collect()
}

/// What an event changed, as far as it did, of at most 20 objects.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn of_event(book: &dyn Book, recorded: &Recorded) -> Result<Vec<Patch>, ledger::Error> {
    of_objects(book, recorded, objects(book, recorded).into_iter().take(OBJECTS_MAX))
}

/// Whether an event changed the field `path` of an object: of `object`, or of any. One that
/// changed more fields than are told may have.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn changed(
    book: &dyn Book,
    recorded: &Recorded,
    object: Option<&ObjectKey>,
    path: &str,
) -> Result<bool, ledger::Error> {
    let asked = objects(book, recorded).into_iter();
    let asked = asked.filter(|key| object.is_none_or(|object| object == key));
    let pattern = Pattern::parse(path);
    for key in asked {
        let Some((before, after)) = states(book, recorded.seq(), &key)? else { continue };
        let patch = between(book, &key, before.as_ref(), after.as_ref())?;
        let Some(patch) = patch else { continue };
        let told = patch.fields.iter().any(|field| concerns(&field.path, path));
        if patch.cut || told || differs(book, pattern.as_ref(), &before, &after)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn of_objects(
    book: &dyn Book,
    recorded: &Recorded,
    keys: impl Iterator<Item = ObjectKey>,
) -> Result<Vec<Patch>, ledger::Error> {
    let mut found = Vec::new();
    for key in keys {
        let Some((before, after)) = states(book, recorded.seq(), &key)? else { continue };
        found.extend(between(book, &key, before.as_ref(), after.as_ref())?);
    }
    Ok(found)
}

/// A state of an object, and the next.
type Change = (Option<State>, Option<State>);

/// Whether an object differs at the place that is meant. Items of lists may be told apart by other
/// keys in what is told of a change than whoever asks has named.
fn differs(
    book: &dyn Book,
    wanted: Option<&Pattern>,
    before: &Option<State>,
    after: &Option<State>,
) -> Result<bool, ledger::Error> {
    let read = |state: &Option<State>| match state.as_ref().and_then(|state| state.live.as_ref()) {
        Some(live) => manifest(book, live.object),
        None => Ok(None),
    };
    let Some(wanted) = wanted else { return Ok(false) };
    let (Some(was), Some(is)) = (read(before)?, read(after)?) else { return Ok(false) };
    Ok(wanted.differs(&was, &is).unwrap_or_default())
}

/// How an object was before an event, and with it; `None` = the event tells what was known already,
/// and changes nothing.
fn states(book: &dyn Book, seq: Seq, key: &ObjectKey) -> Result<Option<Change>, ledger::Error> {
    let after = last_state(book, key, seq)?;
    if after.as_ref().is_none_or(|after| after.seq != seq) {
        return Ok(None);
    }
    let before = last_state(book, key, Seq(seq.0.saturating_sub(1)))?;
    Ok(Some((before, after)))
}

/// How two states of an object differ; `None` when they do not.
///
/// # Errors
/// What the ledger says about a blob that cannot be read.
pub fn between(
    book: &dyn Book,
    key: &ObjectKey,
    before: Option<&State>,
    after: Option<&State>,
) -> Result<Option<Patch>, ledger::Error> {
    let live = |state: Option<&State>| {
        let state = state?;
        state.live.as_ref().map(|live| (state.uid.clone(), live.object))
    };
    let (change, fields) = match (live(before), live(after)) {
        (None, None) => return Ok(None),
        (None, Some(_)) => ("appeared", Vec::new()),
        (Some(_), None) => ("gone", Vec::new()),
        (Some((was, before)), Some((is, after))) => {
            if before == after && was == is {
                return Ok(None);
            }
            let (Some(before), Some(after)) = (manifest(book, before)?, manifest(book, after)?)
            else {
                return Ok(Some(lost(key)));
            };
            let fields: Vec<FieldChange> = changes(&before, &after);
            if fields.is_empty() && was == is {
                return Ok(None);
            }
            (if was == is { "changed" } else { "made anew" }, fields)
        }
    };
    let cut = fields.len() >= CHANGES_MAX;
    let fields = fields.into_iter().map(|field| hide(key, field).into()).collect();
    Ok(Some(Patch { object: key.to_string(), change: change.to_owned(), fields, cut }))
}

/// The object of a stored observation.
fn manifest(book: &dyn Book, addr: BlobAddr) -> Result<Option<Value>, ledger::Error> {
    let Some(bytes) = kept(book, addr)? else { return Ok(None) };
    let stored: Value = read(addr, &bytes)?;
    // An observation is kept with its field managers beside it.
    Ok(Some(stored.get("object").cloned().unwrap_or(stored)))
}

/// That the object changed, and that the ledger has lost how.
fn lost(key: &ObjectKey) -> Patch {
    let unknown = "(lost with a damaged part of the ledger)".to_owned();
    let all = FieldChange { path: ".".to_owned(), was: unknown.clone(), now: unknown };
    let fields = vec![all.into()];
    Patch { object: key.to_string(), change: "changed".to_owned(), fields, cut: true }
}

/// Whether a change at `path` is one of the field `wanted`: the field itself, something below it,
/// or something that has it. The dot at the beginning may be left out, and so may the quotes of a
/// name in brackets: a drift is told without them, a difference with them.
#[must_use]
pub fn concerns(path: &str, wanted: &str) -> bool {
    let (path, wanted) = (&*unquoted(path), &*unquoted(wanted));
    let wanted = if wanted.starts_with(['.', '[']) { wanted } else { &format!(".{wanted}") };
    let below = |path: &str, above: &str| {
        path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    path == "." || below(path, wanted) || below(wanted, path)
}

/// A path whose names in brackets have no quotes.
fn unquoted(path: &str) -> Cow<'_, str> {
    let quoted = |quote: &str| path.contains(&format!("[{quote}"));
    match ["\"", "'"].into_iter().find(|quote| quoted(quote)) {
        Some(quote) => {
            path.replace(&format!("[{quote}"), "[").replace(&format!("{quote}]"), "]").into()
        }
        None => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::fixture::{Story, key};

    #[test]
    fn a_field_is_concerned_by_what_is_at_above_and_below_it() {
        let image = ".spec.containers[name=web].image";
        for wanted in [image, "spec.containers[name=web].image", ".spec", "spec.containers"] {
            assert!(concerns(image, wanted), "{wanted}");
        }
        assert!(concerns(".spec", image) && concerns(".", image));
        for wanted in [".spec.cont", ".spec.containers[name=we", ".status", "image"] {
            assert!(!concerns(image, wanted), "{wanted}");
        }
        let (told, written) = (".data[app.properties]", ".data[\"app.properties\"]");
        assert!(concerns(written, told) && concerns(told, written) && concerns(written, ".data"));
        assert!(concerns(written, ".data['app.properties']"));
        assert!(!concerns(".data[\"app.prop\"]", told));
    }

    #[test]
    fn an_object_that_is_no_json_is_damage() {
        let mut story = Story::told();
        let web = key("Deployment.apps/prod/web");
        let blob = crate::ledger::Blob::plain(b"{".to_vec(), None);
        let body = crate::ledger::event::ObjectObservedV1 {
            object: blob.addr,
            ..crate::ledger::event::ObjectObservedV1::plain(
                web.clone(),
                &format!("uid-{web}"),
                "30",
            )
        };
        let drafts = vec![crate::ledger::Draft::new(body)];
        let seq = story.add(crate::ledger::Batch { blobs: vec![blob], drafts });
        let recorded = story.ledger.get(seq).unwrap().unwrap();
        let error = of_event(&story.ledger, &recorded).unwrap_err();
        assert!(matches!(error, ledger::Error::Unreadable { .. }), "{error}");
        let range = (Seq(seq.0 - 1), seq);
        let told = crate::query::between::object((&story.ledger, &[]), &web, range);
        assert!(matches!(told, Err(ledger::Error::Unreadable { .. })));
    }

    /// After `ledger salvage` events may name contents that are lost.
    #[test]
    fn a_change_whose_content_is_lost_is_told_all_the_same() {
        let mut story = Story::told();
        let web = key("Deployment.apps/prod/web");
        let lost = crate::ledger::Blob::plain(b"{\"object\":{}}".to_vec(), None).addr;
        let body = crate::ledger::event::ObjectObservedV1 {
            object: lost,
            ..crate::ledger::event::ObjectObservedV1::plain(
                web.clone(),
                &format!("uid-{web}"),
                "30",
            )
        };
        let seq = story.event(body);
        let recorded = story.ledger.get(seq).unwrap().unwrap();
        let told = of_event(&story.ledger, &recorded).unwrap();
        assert!(told[0].fields[0].was.contains("lost"), "{told:?}");
        let range = (Seq(seq.0 - 1), seq);
        let between = crate::query::between::object((&story.ledger, &[]), &web, range);
        assert!(between.is_ok(), "{between:?}");
        let asked = crate::query::report::Asked {
            book: &story.ledger,
            people: &[],
            app: None,
            namespace: None,
        };
        let page = crate::query::report::page(&asked, Seq::ZERO, seq, 500).unwrap();
        assert!(!page.changes.is_empty());
        story.fold();
        let (compared, limits) = (crate::plan::Compared::new(), crate::plan::Limits::default());
        let view = crate::query::app(&story.world, &compared, &limits, "web").unwrap();
        let diff = crate::query::diff::gather(&story.world, &view);
        assert!(diff.read(&story.ledger, &crate::render::Sandbox::Off).is_ok());
    }

    #[test]
    fn an_event_tells_what_it_changed_and_no_secret_value() {
        let mut story = Story::told();
        let web = key("Deployment.apps/prod/web");
        let of = |story: &Story, seq: Seq| {
            let recorded = story.ledger.get(seq).unwrap().unwrap();
            of_event(&story.ledger, &recorded).unwrap()
        };
        let scaled = of(&story, story.world.live[&web].seq);
        assert_eq!((scaled.len(), scaled[0].change.as_str()), (1, "changed"));
        let field = &scaled[0].fields[0];
        assert_eq!((field.path.as_str(), &*field.was, &*field.now), (".spec.replicas", "2", "5"));
        // The outcome made three objects.
        let outcome = story.world.live[&key("Secret/prod/web")].seq;
        let made = of(&story, outcome);
        assert_eq!(
            made.iter().map(|patch| patch.change.as_str()).collect::<Vec<_>>(),
            ["appeared"; 3]
        );
        let secret = key("Secret/prod/web");
        let uid = format!("uid-{secret}");
        let other = serde_json::json!({"kind": "Secret", "data": {"password": "hmac:11"}});
        let seen = story.observed(&secret, &other, &uid, "");
        let hidden = of(&story, seen);
        let field = hidden[0].fields.iter().find(|field| field.path == ".data.password").unwrap();
        assert_eq!((&*field.was, &*field.now), ("(secret)", "(secret)"));
        // The same once more says nothing new.
        let again = story.observed(&secret, &other, &uid, "");
        assert_eq!(of(&story, again), []);
    }

    #[test]
    fn a_change_of_an_item_is_found_by_whichever_of_its_keys() {
        let ports = |target: u32| {
            json!({"metadata": {"name": "web", "labels": {"x.io/a": "1"}}, "spec": {"ports": [
                {"name": "a", "port": 53, "protocol": "TCP", "targetPort": 1},
                {"name": "b", "port": 53, "protocol": "UDP", "targetPort": target}]}})
        };
        let mut story = Story::told();
        let web = key("Service/prod/web");
        story.observed(&web, &ports(1), "u1", "");
        let seq = story.observed(&web, &ports(2), "u1", "");
        let recorded = story.ledger.get(seq).unwrap().unwrap();
        let found = |path| changed(&story.ledger, &recorded, Some(&web), path).unwrap();
        for path in
            [".spec.ports[port=53,protocol=UDP].targetPort", ".spec.ports[name=b]", "spec.ports[b]"]
        {
            assert!(found(path), "{path}");
        }
        for path in [".spec.ports[port=53,protocol=TCP]", ".spec.ports[a]", ".metadata.labels"] {
            assert!(!found(path), "{path}");
        }
        story.ledger.shutdown();
    }
}
