//! Objects that nobody has any more because an application was released: while it was held, Git
//! dropped one below it, which goes with the release, and without a finalizer its objects stay.
//!
//! What a push drops is told by the commit; what a release drops is not what anybody pushed, and may
//! be the very thing that was held for. So it is remembered until somebody has the objects again.

use serde::{Deserialize, Serialize};

use super::world::World;
use crate::ledger::event::{AppRemovedV1, HoldEnd, Origin};
use crate::model::{AppName, ObjectKey, Seq, Timestamp};

/// How many applications are remembered; the oldest are forgotten.
const LEFT_MAX: usize = 256;

/// That an application follows Git again, until Git says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The event that ended the hold.
    pub seq: Seq,
    /// The last event of the instant that it was held at.
    pub to: Seq,
}

/// What was left when an application went because of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The event that removed the application.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// The application that defined it.
    pub parent: AppName,
    /// The release of that.
    pub released: Released,
    /// The objects.
    pub objects: Vec<ObjectKey>,
}

impl World {
    /// A hold ended: what the application does not define any more goes because of that.
    pub(super) fn note_release(&mut self, app: &AppName, to: Seq, end: HoldEnd) {
        let released = match end {
            HoldEnd::Released | HoldEnd::Expired => Some(Released { seq: self.seq, to }),
            HoldEnd::SameAsGit | HoldEnd::NewerInGit => None,
        };
        if let Some(app) = self.apps.get_mut(app) {
            app.released = released;
        }
    }

    /// An application goes and leaves its objects.
    pub(super) fn note_left(&mut self, body: &AppRemovedV1) {
        let Origin::Parent(parent) = &body.origin else { return };
        let released = self.apps.get(parent).and_then(|parent| parent.released);
        let Some(released) = released.filter(|_| !body.orphans.is_empty()) else { return };
        let (seq, at, parent) = (self.seq, self.now, parent.clone());
        let objects = body.orphans.clone();
        let left = LeftBehind { seq, at, parent, released, objects };
        self.left.insert(body.app.clone(), left);
        while self.left.len() > LEFT_MAX {
            let oldest = self.left.iter().min_by_key(|(_, left)| left.seq);
            let Some(oldest) = oldest.map(|(app, _)| app.clone()) else { break };
            self.left.remove(&oldest);
        }
    }

    /// What was left when `app` went because of a release, as far as it is there and nobody's.
    #[must_use]
    pub fn left_behind(&self, app: &AppName) -> Option<LeftBehind> {
        let left = self.left.get(app)?;
        let nobodys = |key: &&ObjectKey| {
            let wanted = self.owned.contains_key(*key) || self.wanted_by.contains_key(*key);
            self.live.contains_key(*key) && !wanted
        };
        let objects: Vec<ObjectKey> = left.objects.iter().filter(nobodys).cloned().collect();
        (!objects.is_empty()).then(|| LeftBehind { objects, ..left.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::DesiredObject;
    use crate::replay::testing::{Given, application, auto, child, maps, name, object};

    const A: &str = "ConfigMap/prod/a";

    /// What the root renders to, beside objects of its own.
    fn root(given: &mut Given, more: Vec<DesiredObject>) {
        given.renders("root", maps(6).into_iter().chain(more).collect());
    }

    fn one() -> DesiredObject {
        child(&application("one", auto()))
    }

    /// `root` is held as it was with `one`, which Git has dropped meanwhile.
    fn held() -> (Given, Seq) {
        let mut given = Given::app("root", auto());
        root(&mut given, vec![one()]);
        while given.follows("root") {}
        given.renders("one", vec![object(A, 1)]);
        given.syncs("one");
        let then = given.world.clone();
        given.push(2);
        root(&mut given, vec![one(), object("ConfigMap/prod/b", 1)]);
        given.advances("one");
        given.syncs("root");
        let hold = given.rolls_back("root", &then);
        given.push(3);
        root(&mut given, vec![]);
        given.advances("one");
        (given, hold)
    }

    #[test]
    fn what_a_release_leaves_is_remembered_until_somebody_has_it() {
        let (mut given, hold) = held();
        let to = given.world.apps[&name("root")].hold.as_ref().unwrap().to;
        given.lets_go("root", hold);
        let release = given.seq();
        while given.follows("root") {}
        assert!(!given.world.apps.contains_key(&name("one")), "{:#?}", given.plan("root"));
        let left = given.world.left_behind(&name("one")).unwrap();
        assert_eq!((left.objects, left.parent), (vec![A.parse().unwrap()], name("root")));
        assert_eq!(left.released, Released { seq: release, to });
        // Somebody has it again.
        let mut had = given.clone();
        had.push(4);
        root(&mut had, vec![object(A, 1)]);
        had.syncs("root");
        assert_eq!(had.world.left_behind(&name("one")), None);
        // Somebody deleted it.
        given.loses(A);
        assert_eq!(given.world.left_behind(&name("one")), None);
    }

    #[test]
    fn what_a_push_leaves_is_told_by_the_commit() {
        let (mut given, hold) = held();
        given.push(4);
        root(&mut given, vec![one()]);
        given.advances("one");
        given.lets_go("root", hold);
        while given.follows("root") {}
        assert!(given.world.apps.contains_key(&name("one")));
        given.push(5);
        root(&mut given, vec![]);
        given.advances("one");
        while given.follows("root") {}
        assert!(!given.world.apps.contains_key(&name("one")));
        assert_eq!(given.world.left_behind(&name("one")), None);
    }
}
