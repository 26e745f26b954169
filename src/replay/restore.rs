//! Writes that bring back objects which no application has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::world::{Touched, World};
use crate::ledger::event::{RestoreEndedV1, RestoreIntendedV1, RestoreResult, RestoreWrite};
use crate::model::{ObjectKey, Seq, Timestamp};

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

    /// Why what brings back an object that no application has is not sent; `None` = it may be.
    #[must_use]
    pub fn why_not_restored(&self, key: &ObjectKey) -> Option<String> {
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
        let app = self.wanted_by.get(key).and_then(|apps| apps.first());
        app.map(|app| format!("application {app} wants it now"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{BackTo, FrozenV1, Verb};
    use crate::replay::testing::{Given, key, objects};

    const A: &str = "ConfigMap/prod/a";

    fn intends(given: &mut Given) -> Seq {
        let write = RestoreWrite {
            key: key(A),
            version: "v1".into(),
            verb: Verb::Create,
            saved: None,
            of_manifest: false,
            places: Vec::new(),
            fields: Vec::new(),
            found: None,
        };
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
        assert_eq!(given.world.why_not_restored(&key(A)), None);
        let doubt = given.replaced("two");
        let why = given.world.why_not_restored(&key(A)).unwrap();
        assert!(why.contains("another cluster answers"), "{why}");
        given.accepts(doubt);
        assert_eq!(given.world.why_not_restored(&key(A)), None);
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
        let why = |given: &Given, text: &str| given.world.why_not_restored(&key(text));
        assert!(why(&given, A).unwrap().contains("web wants it"));
        assert_eq!(why(&given, "ConfigMap/prod/b"), None);
        given.event(FrozenV1 { until: None, reason: String::new() });
        assert!(why(&given, "ConfigMap/prod/b").unwrap().contains("frozen"));
        given.starts(true);
        assert!(why(&given, "ConfigMap/prod/b").unwrap().contains("observes"));
    }
}
