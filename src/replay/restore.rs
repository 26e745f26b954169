//! Writes that bring back objects which no application has, or fields that Git says nothing of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::world::{Touched, World};
use crate::ledger::event::{RestoreEndedV1, RestoreIntendedV1, RestoreResult, RestoreWrite};
use crate::model::{AppName, Seq, Timestamp};

/// Writes some of which have no end yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRestore {
    /// Those, by index.
    pub writes: BTreeMap<u32, RestoreWrite>,
    /// Until when their requests may be sent, and may still be carried out.
    pub deadline: Timestamp,
    /// Whether they may have been sent by an earlier run of the daemon, or nobody knows what became
    /// of them: then the cluster is looked at, and nothing is sent.
    pub settles: bool,
}

impl World {
    pub(super) fn restore_intended(
        &mut self,
        seq: Seq,
        recorded: Timestamp,
        body: &RestoreIntendedV1,
    ) -> Touched {
        let writes = (0..).zip(body.writes.iter().cloned()).collect();
        let deadline = recorded.plus_ms(body.timeout_ms.into());
        self.restores.insert(seq, OpenRestore { writes, deadline, settles: false });
        Touched::nothing()
    }

    pub(super) fn restore_ended(&mut self, body: &RestoreEndedV1) -> Touched {
        let Some(open) = self.restores.get_mut(&body.restore) else { return Touched::nothing() };
        for (index, result) in &body.results {
            match result {
                RestoreResult::Unknown(_) => open.settles = true,
                _ => drop(open.writes.remove(index)),
            }
        }
        if open.writes.is_empty() {
            self.restores.remove(&body.restore);
        }
        Touched::nothing()
    }

    /// What an earlier run may have sent, or what was sent before another cluster answered, is looked
    /// for.
    pub(super) fn orphan_restores(&mut self) {
        self.restores.values_mut().for_each(|open| open.settles = true);
    }

    /// Why what brings something back once is not sent; `None` = it may be.
    #[must_use]
    pub fn why_not_restored(&self, write: &RestoreWrite) -> Option<String> {
        if self.observe {
            return Some("greffier only observes (--observe)".to_owned());
        }
        if let Some(doubt) = self.cluster.doubt_text() {
            return Some(doubt);
        }
        if self.freeze().is_some() {
            return Some("greffier is frozen".to_owned());
        }
        if let Some(error) = &self.cluster.lost {
            return Some(format!("the API server cannot be reached: {error}"));
        }
        self.why_not_beside(write)
    }

    /// The same, for what applications want of the object.
    fn why_not_beside(&self, write: &RestoreWrite) -> Option<String> {
        let mut wanting = self.wanted_by.get(&write.key).into_iter().flatten();
        let Some(manifest) = write.beside else {
            return wanting.next().map(|app| format!("application {app} wants it now"));
        };
        let wants = |name: &&AppName| {
            let desired = self.apps.get(*name).and_then(|app| app.desired.as_ref());
            let object = desired.and_then(|desired| desired.objects.get(&write.key));
            object.is_some_and(|object| object.digest == manifest)
        };
        let Some((name, app)) = wanting.find(wants).and_then(|name| self.apps.get_key_value(name))
        else {
            return Some("what is wanted of it changed meanwhile".to_owned());
        };
        let why = match () {
            () if app.is_paused(self.now) => "is paused",
            () if app.removing => "is being removed",
            () if app.spec.skip => "is left alone",
            () => return None,
        };
        Some(format!("application {name} {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{BackTo, FrozenV1, PausedV1, ResumedV1, Verb};
    use crate::replay::testing::{Given, key, name, object, objects};

    const A: &str = "ConfigMap/prod/a";

    fn write(text: &str) -> RestoreWrite {
        RestoreWrite {
            key: key(text),
            version: "v1".into(),
            verb: Verb::Create,
            saved: None,
            of_manifest: false,
            places: Vec::new(),
            fields: Vec::new(),
            found: None,
            beside: None,
        }
    }

    fn intends(given: &mut Given) -> Seq {
        let write = write(A);
        let (writes, from) = (vec![write.clone(), write], BackTo::Instant(Seq(1)));
        let (timeout_ms, reason) = (10_000, String::new());
        given.event(RestoreIntendedV1 { writes, from, timeout_ms, reason });
        given.seq()
    }

    fn ends(given: &mut Given, restore: Seq, results: Vec<(u32, RestoreResult)>) {
        given.event(RestoreEndedV1 { restore, objects: vec![key(A)], results, settled: false });
    }

    #[test]
    fn nothing_is_brought_back_in_another_cluster() {
        let mut given = Given::synced(objects(&["ConfigMap/prod/other"]));
        given.identified("one");
        let restore = intends(&mut given);
        assert_eq!(given.world.why_not_restored(&write(A)), None);
        let doubt = given.replaced("two");
        let why = given.world.why_not_restored(&write(A)).unwrap();
        assert!(why.contains("another cluster answers"), "{why}");
        given.accepts(doubt);
        assert_eq!(given.world.why_not_restored(&write(A)), None);
        assert!(given.world.restores[&restore].settles, "it was meant for the other one");
    }

    #[test]
    fn what_has_no_end_stays_open_and_is_looked_for_once_its_fate_is_unknown() {
        let mut given = Given::cluster();
        let restore = intends(&mut given);
        let made = || RestoreResult::Made { uid: "u".into(), resource_version: "1".into() };
        ends(&mut given, restore, vec![(0, made())]);
        let open = &given.world.restores[&restore];
        assert!(open.writes.keys().eq([&1]) && !open.settles);
        ends(&mut given, restore, vec![(1, RestoreResult::Unknown("timeout".into()))]);
        assert!(given.world.restores[&restore].settles);
        ends(&mut given, restore, vec![(1, made())]);
        assert!(given.world.restores.is_empty());
        let other = intends(&mut given);
        given.starts(false);
        assert!(given.world.restores[&other].settles, "it may have been sent");
    }

    #[test]
    fn nothing_is_sent_while_nothing_may_be_written_or_an_application_wants_it() {
        let mut given = Given::synced(objects(&[A]));
        let why = |given: &Given, text: &str| given.world.why_not_restored(&write(text));
        assert!(why(&given, A).unwrap().contains("web wants it"));
        assert_eq!(why(&given, "ConfigMap/prod/b"), None);
        given.event(FrozenV1 { until: None, reason: String::new() });
        assert!(why(&given, "ConfigMap/prod/b").unwrap().contains("frozen"));
        given.starts(true);
        assert!(why(&given, "ConfigMap/prod/b").unwrap().contains("observes"));
    }

    /// Goal: fields that Git says nothing of are written beside what it says, as long as that is
    /// what was read, and never while the application is left alone.
    #[test]
    fn fields_beside_git_are_sent_as_long_as_git_says_the_same() {
        let mut given = Given::synced(objects(&[A]));
        let wanted = |given: &Given| {
            let desired = given.world.apps[&name("web")].desired.clone().unwrap();
            desired.objects[&key(A)].digest
        };
        let beside = RestoreWrite { beside: Some(wanted(&given)), ..write(A) };
        let why = |given: &Given| given.world.why_not_restored(&beside);
        assert_eq!(why(&given), None);
        let (app, until, reason) = (name("web"), None, String::new());
        given.event(PausedV1 { app: app.clone(), until, reason });
        assert!(why(&given).unwrap().contains("web is paused"), "{:?}", why(&given));
        given.event(ResumedV1 { app, expired: false });
        assert_eq!(why(&given), None);
        given.push(2);
        given.renders("web", vec![object(A, 9)]);
        assert!(why(&given).unwrap().contains("changed meanwhile"), "{:?}", why(&given));
        given.push(3);
        given.renders("web", vec![object("ConfigMap/prod/b", 1)]);
        assert!(why(&given).unwrap().contains("changed meanwhile"), "{:?}", why(&given));
    }
}
