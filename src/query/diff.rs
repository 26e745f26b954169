//! Git against the cluster: what an application's objects should be and what they are.
//!
//! Where the API server was asked what an apply would change, its answer is told. Elsewhere what
//! the manifest says is compared; fields that the API server defaulted or others added are no
//! differences (see [`crate::plan::diff`]), and neither is what `ignoreDifferences` ignores.
//!
//! Security: of a Secret only the names of its keys are told, and whether a value differs.

use serde_json::Value;

use super::apps::AppView;
use super::book::Book;
use super::ignored::{left_out, managers};
use crate::ledger;
use crate::ledger::event::{DriftKind, FieldChange, HoldOf, Preview};
use crate::model::{BlobAddr, Mask, ObjectKey, Seq};
use crate::plan::secret::hide;
use crate::plan::{Assessment, Status, diff::diff};
use crate::render::Sandbox;
use crate::replay::{LiveObject, World};

pub use crate::plan::secret::SECRET;

/// How an object differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It is in Git and not in the cluster.
    Missing,
    /// It is in the cluster, greffier's own, and no longer in Git.
    Extra,
    /// It is in both and differs.
    Changed,
}

/// One object that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDiff {
    /// The object.
    pub key: ObjectKey,
    /// How it differs.
    pub side: Side,
    /// The fields: `was` is the cluster, `now` is Git. Empty for missing and extra objects.
    pub fields: Vec<FieldChange>,
    /// Why it differs, and why nothing is done where nothing is done.
    pub why: String,
    /// What it is compared with where that is not Git: the hold, and the event that it goes back to.
    pub hold: Option<(Seq, Seq)>,
}

/// An application's difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppDiff {
    /// The objects that differ, in order of their keys.
    pub objects: Vec<ObjectDiff>,
    /// What could not be compared, and why.
    pub unknown: Vec<String>,
    /// What is as greffier applied it and yet not as the manifest says, and why.
    pub notes: Vec<String>,
}

/// The manifests to compare, gathered under the world's lock; reading them comes after.
#[derive(Debug, Clone)]
pub struct Pending {
    entries: Vec<Entry>,
    notes: Vec<String>,
}

/// An object that may differ.
#[derive(Debug, Clone)]
struct Entry {
    object: Assessment,
    manifest: Option<BlobAddr>,
    live: Option<BlobAddr>,
    /// What the API server said an apply would change, where it was asked.
    previewed: Option<Vec<FieldChange>>,
    /// What is ignored.
    mask: Mask,
    /// The hold that has it so.
    hold: Option<(Seq, Seq)>,
}

/// Gathers what [`Pending::read`] compares. Does no I/O.
#[must_use]
pub fn gather(world: &World, view: &AppView<'_>) -> Pending {
    let desired = view.app.desired.as_ref();
    let differs = |object: &&Assessment| object.status != Status::Synced && object.counted;
    let entries = view.plan.objects.iter().filter(differs);
    let entries = entries.map(|object| {
        let manifest = desired.and_then(|desired| desired.objects.get(&object.key));
        let live = world.live.get(&object.key);
        Entry {
            object: object.clone(),
            manifest: manifest.map(|manifest| manifest.manifest),
            live: live.map(|live| live.object),
            previewed: previewed(view, object, live),
            mask: world.ignored(view.app, &object.key),
            hold: hold(world, view, &object.key),
        }
    });
    let noted = view.plan.objects.iter().filter(|object| {
        let owned = world.owned.get(&object.key).map(|owned| &owned.notes);
        let added = view.app.drift.get(&object.key);
        let added = added.is_some_and(|drift| drift.kind == DriftKind::Addition);
        let noted = owned.is_some_and(|notes| !notes.admitted.is_empty() || !notes.left.is_empty());
        let scaled = world.autoscaler_of(&object.key).is_some();
        object.status == Status::Synced && !object.why.is_empty() && (added || noted || scaled)
            || !object.counted
    });
    let noted = noted.map(|object| format!("{}: {}", object.key, object.why));
    // What is in force is compared, and that is not what Git says now.
    let held = view.app.hold.as_ref().map(|hold| {
        let name = view.name;
        let to = hold.to.0;
        format!("{name} is held as at #{to}: `greffier release {name} --plan` shows what Git says")
    });
    let pinned = view.app.hold.iter().flat_map(|hold| {
        let by = format!("hold #{} names it so, and Git by its tag", hold.seq.0);
        hold.pinned.iter().map(move |image| format!("{image}: {by}"))
    });
    let notes = held.into_iter().chain(pinned).chain(noted).collect();
    Pending { entries: entries.collect(), notes }
}

/// The hold by which an object is wanted otherwise than Git says, or beside Git.
fn hold(world: &World, view: &AppView<'_>, key: &ObjectKey) -> Option<(Seq, Seq)> {
    let of_object = view.app.holds_of(key, world.now);
    let mut of_object = of_object.filter(|hold| matches!(hold.of, HoldOf::Object(_)));
    let of_object = of_object.next().map(|hold| (hold.seq, hold.from.seq()));
    of_object.or(view.app.hold.as_ref().map(|hold| (hold.seq, hold.to)))
}

/// What the API server said an apply would make of the object as it is.
fn previewed(
    view: &AppView<'_>,
    object: &Assessment,
    live: Option<&LiveObject>,
) -> Option<Vec<FieldChange>> {
    let preview = view.app.previews.get(&object.key)?;
    let current = live.is_some_and(|l| l.uid == preview.uid && l.digest == preview.live);
    match &preview.result {
        Preview::Changes(fields) if current => Some(fields.clone()),
        _ => None,
    }
}

impl Pending {
    /// Reads the manifests and compares.
    ///
    /// # Errors
    /// What the ledger says about a blob that cannot be read, except that a sealed one without a
    /// key at hand is reported as unknown.
    pub fn read(self, book: &dyn Book, sandbox: &Sandbox) -> Result<AppDiff, ledger::Error> {
        let mut result = AppDiff { notes: self.notes, ..AppDiff::default() };
        for Entry { object, manifest, live, previewed, mask, hold } in self.entries {
            let before = result.objects.len();
            if let Some(fields) = previewed {
                result.push(object, Side::Changed, fields);
                result.held(before, hold);
                continue;
            }
            match (object.status, manifest, live) {
                (Status::InFlight | Status::Unknown, ..) => {
                    result.unknown.push(format!("{}: {}", object.key, object.why));
                }
                _ if object.key.is_application() => result.objects.push(application(object)),
                (_, Some(_), None) => result.push(object, Side::Missing, Vec::new()),
                (_, None, Some(_)) => result.push(object, Side::Extra, Vec::new()),
                (_, None, None) => {}
                (_, Some(manifest), Some(live)) => {
                    result.compare(book, (sandbox, &mask), object, manifest, live)?;
                }
            }
            result.held(before, hold);
        }
        Ok(result)
    }
}

fn application(object: Assessment) -> ObjectDiff {
    let side = if matches!(object.status, Status::Extra | Status::Kept) {
        Side::Extra
    } else {
        Side::Changed
    };
    ObjectDiff { key: object.key, side, fields: Vec::new(), why: object.why, hold: None }
}

impl AppDiff {
    fn push(&mut self, object: Assessment, side: Side, fields: Vec<FieldChange>) {
        let (key, why, hold) = (object.key, object.why, None);
        self.objects.push(ObjectDiff { key, side, fields, why, hold });
    }

    /// Says by which hold the objects from `first` on are compared with what they are compared with.
    fn held(&mut self, first: usize, hold: Option<(Seq, Seq)>) {
        self.objects.iter_mut().skip(first).for_each(|object| object.hold = hold);
    }

    fn compare(
        &mut self,
        book: &dyn Book,
        (sandbox, mask): (&Sandbox, &Mask),
        object: Assessment,
        manifest: BlobAddr,
        live: BlobAddr,
    ) -> Result<(), ledger::Error> {
        let both = book.blob(manifest).and_then(|manifest| Ok((manifest, book.blob(live)?)));
        let (manifest, stored) = match both {
            Ok(both) => both,
            Err(error @ (ledger::Error::Sealed(_) | ledger::Error::NoBlob(_))) => {
                self.unknown.push(format!("{}: {error}", object.key));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let (Ok(manifest), Ok(live)) =
            (serde_json::from_slice::<Value>(&manifest), serde_json::from_slice::<Value>(&stored))
        else {
            self.unknown.push(format!("{}: its recorded manifest cannot be read", object.key));
            return Ok(());
        };
        // An observation is kept with its field managers beside it.
        let live = live.get("object").unwrap_or(&live).clone();
        let owners = managers(&stored);
        let [manifest, live] = match left_out(sandbox, mask, &owners, [manifest, live]) {
            Ok(left) => left,
            Err(why) => {
                self.unknown.push(format!("{}: {why}", object.key));
                return Ok(());
            }
        };
        let fields = fields(book, &object.key, &manifest, &live);
        // Equal fields and yet not in sync: the ownership or an earlier apply is what is missing.
        if !fields.is_empty() || object.status == Status::Foreign {
            self.push(object, Side::Changed, fields);
        }
        Ok(())
    }
}

/// The fields in which an object differs from its manifest. Secrets are compared by digests where
/// they can be had, and none of their values is shown.
pub(super) fn fields(
    book: &dyn Book,
    key: &ObjectKey,
    manifest: &Value,
    live: &Value,
) -> Vec<FieldChange> {
    if !key.is_secret() {
        return diff(manifest, live);
    }
    let masked = book.masked(manifest).unwrap_or_else(|| without_values(manifest, live));
    diff(&masked, live).into_iter().map(|change| hide(key, change)).collect()
}

/// Without the key values cannot be compared: those of keys on both sides count as equal.
fn without_values(manifest: &Value, live: &Value) -> Value {
    let mut manifest = manifest.clone();
    for (field, counterpart) in [
        ("/data", "/data"),
        ("/stringData", "/data"),
        ("/metadata/annotations", "/metadata/annotations"),
    ] {
        let entries = manifest.pointer_mut(field).and_then(Value::as_object_mut);
        for (key, value) in entries.into_iter().flatten() {
            let counterpart = live.pointer(counterpart).and_then(|entries| entries.get(key));
            *value = counterpart.cloned().unwrap_or_else(|| Value::String(SECRET.to_owned()));
        }
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::ledger::event::{BackTo, HeldObject, HoldBegunV1};
    use crate::query;
    use crate::replay::testing::{Given, key, name, object};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";

    /// The hold that each object is compared with.
    fn holds(given: &Given) -> Vec<(String, Option<(Seq, Seq)>)> {
        let book = Ledger::in_memory();
        let view = query::app(&given.world, &given.compared, &given.limits, "web").unwrap();
        let found = gather(&given.world, &view).read(&book, &Sandbox::Off).unwrap();
        book.shutdown();
        found.objects.into_iter().map(|object| (object.key.to_string(), object.hold)).collect()
    }

    /// Goal: what is held is not called Git's, and what is Git's is not called held.
    #[test]
    fn what_an_object_is_compared_with_is_the_hold_or_git() {
        let mut given = Given::synced(vec![object(A, 1), object(B, 1)]);
        let then = given.world.clone();
        given.push(2);
        given.renders("web", vec![object(A, 2), object(B, 1)]);
        given.syncs("web");
        given.loses(A);
        assert_eq!(holds(&given), [(A.to_owned(), None)]);
        let rolled = given.rolls_back("web", &then);
        let to = given.world.apps[&name("web")].hold.as_ref().unwrap().to;
        assert_eq!(holds(&given), [(A.to_owned(), Some((rolled, to)))]);
        given.lets_go("web", rolled);

        let of_object = HoldOf::Object(Box::new(HeldObject { object: object(B, 7), seen: false }));
        let from = BackTo::Instant(Seq(3));
        let (app, of, until, reason) = (name("web"), vec![of_object], None, String::new());
        given.event(HoldBegunV1 { app, of, from, until, reason });
        let hold = given.seq();
        given.loses(B);
        assert_eq!(
            holds(&given),
            [(A.to_owned(), None), (key(B).to_string(), Some((hold, Seq(3))))]
        );
    }
}
