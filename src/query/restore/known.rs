//! What is known of an object in a world: what is wanted of it, what is held of that, what is seen.

use crate::command::whose;
use crate::ledger::event::{DesiredObject, HeldFields, HoldOf};
use crate::model::{AppName, BlobAddr, Digest, ObjectKey, Seq};
use crate::replay::{App, World};

/// Fields of an object that people hold, each with the event that began it, in that order.
pub type HeldParts = Vec<(Seq, HeldFields)>;

/// An object as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The normalised object.
    pub object: BlobAddr,
    /// The version it was read in.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// The digest of its content.
    pub digest: Digest,
}

impl Seen {
    fn of(world: &World, key: &ObjectKey) -> Option<Self> {
        let live = world.live.get(key)?;
        Some(Self {
            object: live.object,
            version: live.version.clone(),
            uid: live.uid.clone(),
            digest: live.digest,
        })
    }
}

/// What was of an object at an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Then {
    /// What was wanted of it, and by which application.
    pub wanted: Option<(AppName, DesiredObject)>,
    /// The fields of it that people held: they were wanted as they held them.
    pub held: HeldParts,
    /// The hold that kept it away: nothing was wanted of it then, whatever Git said.
    pub away: Option<Seq>,
    /// What was seen of it.
    pub seen: Option<Seen>,
}

impl Then {
    /// What `world`, as of the instant, says of it.
    #[must_use]
    pub fn of(world: &World, key: &ObjectKey) -> Self {
        let wanted = whose(world, key, None).filter(|(_, app)| app.wants(key));
        // Of one that was being removed, what it wanted until then counts.
        let owner = world.owned.get(key).and_then(|owned| world.apps.get_key_value(&owned.app));
        let wanted = wanted.or(owner.filter(|(_, app)| app.removing)).and_then(|(name, app)| {
            Some((name.clone(), app.desired.as_ref()?.objects.get(key)?.clone()))
        });
        let app = wanted.as_ref().map(|(app, _)| app);
        let holds = app.and_then(|app| world.apps.get(app));
        let mut holds = holds.into_iter().flat_map(|app| app.holds_of(key, world.now));
        let away = holds.find(|hold| hold.is_of_absence()).map(|hold| hold.seq);
        Self { held: held_in(world, app, key), away, wanted, seen: Seen::of(world, key) }
    }
}

/// What is of an object now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Now {
    /// The application that it belongs to, or would if it came back.
    pub app: Option<AppName>,
    /// What is wanted of it.
    pub wanted: Option<DesiredObject>,
    /// The fields of it that people hold.
    pub held: HeldParts,
    /// What is seen of it.
    pub seen: Option<Seen>,
    /// Whether it is known whether it is in the cluster.
    pub known: bool,
    /// Whether the cluster serves its kind.
    pub served: bool,
    /// Whether its namespace is known not to be there, or is going.
    pub homeless: bool,
    /// What people hold of it.
    pub holds: Vec<Seq>,
}

impl Now {
    /// What `world` says of it; `then` is the application that wanted it at the instant.
    #[must_use]
    pub fn of(world: &World, key: &ObjectKey, then: Option<&AppName>) -> Self {
        let whose = whose(world, key, then);
        let wanted = whose.filter(|(_, app)| app.wants(key));
        let wanted = wanted.and_then(|(_, app)| app.desired.as_ref()?.objects.get(key).cloned());
        Self {
            app: whose.map(|(name, _)| name.clone()),
            wanted,
            held: held_in(world, whose.map(|(name, _)| name), key),
            seen: Seen::of(world, key),
            known: world.cluster.is_known(key),
            served: world.cluster.kinds.contains_key(&key.group_kind()),
            homeless: is_homeless(world, key),
            holds: whose.map(|(_, app)| app.held(key, world.now)).unwrap_or_default(),
        }
    }
}

/// Whether nothing can be made where the object is.
fn is_homeless(world: &World, key: &ObjectKey) -> bool {
    let namespace = ObjectKey::new("", "Namespace", "", key.namespace());
    !key.namespace().is_empty()
        && match world.live.get(&namespace) {
            Some(live) => live.deleting,
            None => world.cluster.is_listed(&namespace.group_kind()),
        }
}

/// The fields of an object that people hold in `world`.
fn held_in(world: &World, app: Option<&AppName>, key: &ObjectKey) -> HeldParts {
    let app: Option<&App> = app.and_then(|app| world.apps.get(app));
    let holds = app.into_iter().flat_map(|app| app.holds_of(key, world.now));
    let fields = holds.filter_map(|hold| match &hold.of {
        HoldOf::Fields(held) => Some((hold.seq, held.clone())),
        HoldOf::Absence(_) | HoldOf::Object(_) => None,
    });
    fields.collect()
}
