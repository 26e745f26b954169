//! What a replay brought that no application wants any more: it left Git, and stays until something
//! else is written.
//!
//! Greffier had it in the former cluster, and made it in the other one itself, as the answer to its
//! write says. So it is its application's there as well, once that cluster is the one that is kept,
//! and goes as it would have gone. What was only found there after a crash proves nothing, and stays
//! nobody's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cluster::{Made, Owned};
use super::world::World;
use crate::ledger::event::{
    ApplyNotes, Event, RecoveryIntentV1, RecoveryOutcomeV1, RecoveryResult,
};
use crate::model::{AppName, Digest, Mask, ObjectKey, Seq};

/// What the replays onto one cluster, the last one, brought that no application wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stays {
    /// The uid of the cluster.
    uid: String,
    /// The event that began the last replay onto it.
    recovery: Seq,
    /// What was meant to be written by it, by intent and index.
    intended: BTreeMap<Seq, BTreeMap<u32, (ObjectKey, Former)>>,
    /// What was written, with the uid that the answer says.
    written: BTreeMap<ObjectKey, (Former, String)>,
}

/// Whose it was in the former cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    app: AppName,
    version: String,
    made: Made,
}

impl World {
    /// Notes what a replay brings that no application wants.
    pub(super) fn note_what_stays(&mut self, seq: Seq, event: &Event) {
        match event {
            Event::RecoveryBegun(body) => {
                if self.replayed.uid != body.uid {
                    *self.replayed = Stays { uid: body.uid.clone(), ..Stays::default() };
                }
                self.replayed.recovery = seq;
                self.replayed.intended.clear();
            }
            Event::RecoveryIntent(body) => self.brings(seq, body),
            Event::RecoveryOutcome(body) => self.replayed.brought(body),
            _ => {}
        }
    }

    /// Notes what of an intent greffier has, for that application, and nobody wants.
    fn brings(&mut self, seq: Seq, body: &RecoveryIntentV1) {
        let writes = (0..).zip(&body.writes).filter_map(|(index, write)| {
            let owned = self.owned.get(&write.key).filter(|owned| owned.uid == write.former)?;
            let app = write.app.parse::<AppName>().ok().filter(|app| *app == owned.app)?;
            let (version, made) = (write.version.clone(), owned.made);
            let goes = owned.keep.is_empty() && !self.wanted_by.contains_key(&write.key);
            goes.then(|| (index, (write.key.clone(), Former { app, version, made })))
        });
        let writes: BTreeMap<_, _> = writes.collect();
        if body.recovery == self.replayed.recovery && !writes.is_empty() {
            self.replayed.intended.insert(seq, writes);
        }
    }

    /// The cluster is the one that is kept from `seq` on: what was brought there is its application's.
    pub(super) fn own_what_stays(&mut self, seq: Seq, replaced: bool) {
        if !replaced || self.replayed.uid != self.cluster.uid {
            return;
        }
        for (key, (former, uid)) in std::mem::take(&mut *self.replayed).written {
            let there = self.apps.get(&former.app).is_some_and(|app| !app.removing);
            let live = self.live.get(&key).filter(|live| live.uid == uid && !live.deleting);
            let Some(live) = live.filter(|_| there && !self.wanted_by.contains_key(&key)) else {
                continue;
            };
            let owned = Owned {
                app: former.app,
                version: former.version,
                applied: Digest::default(),
                holds: Vec::new(),
                baseline: live.owned.unwrap_or_default(),
                object: live.object,
                uid,
                resource_version: live.resource_version.clone(),
                made: former.made,
                replicas: None,
                keep: Vec::new(),
                respected: Mask::default(),
                unseen: None,
                notes: ApplyNotes::default(),
                seq,
            };
            self.own(&key, owned);
        }
    }
}

impl Stays {
    /// Notes what is there, as the answers say.
    fn brought(&mut self, body: &RecoveryOutcomeV1) {
        let Some(intended) = self.intended.get_mut(&body.intent) else { return };
        for (index, result) in &body.results {
            let Some((key, former)) = intended.remove(index) else { continue };
            if let RecoveryResult::Written(written) = result
                && !written.found
            {
                self.written.insert(key, (former, written.uid.clone()));
            }
        }
        if intended.is_empty() {
            self.intended.remove(&body.intent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::event::{
        OutcomeRecordedV1, Recovered, RecoveryBegunV1, RecoveryWrite, WriteResult,
    };
    use crate::ledger::samples::sample_events;
    use crate::replay::testing::{Given, key, name, objects, said, writes};

    const A: &str = "ConfigMap/prod/a";
    const B: &str = "ConfigMap/prod/b";
    const C: &str = "ConfigMap/prod/c";

    /// `web` has A and C in the cluster `one`; Git has renamed A to B, which is refused.
    fn renamed() -> Given {
        let mut given = Given::synced(objects(&[A, C]));
        given.identified("one");
        given.push(2);
        given.renders("web", objects(&[C, B]));
        refused(&mut given);
        given
    }

    /// The next plan creates B and prunes A; B is refused, and so the prune is not sent.
    fn refused(given: &mut Given) {
        assert_eq!(given.writes("web"), [format!("create {B}"), format!("prune {A}")]);
        let intent = given.intends("web");
        let refused = WriteResult::Refused("422: no such field".into());
        let unsent = WriteResult::NotSent("something beside it was not written".into());
        let results = vec![(0, refused), (1, unsent)];
        given.event(OutcomeRecordedV1 { app: name("web"), intent, results });
    }

    /// A is replayed onto `uid`, as that of `app`; `found` says that it was there after a crash.
    fn replays(given: &mut Given, uid: &str, app: &str, found: bool) {
        let mut begun = sample_events().into_iter().filter_map(|event| match event {
            Event::RecoveryBegun(body) => Some(body),
            _ => None,
        });
        given.event(RecoveryBegunV1 { uid: uid.into(), ..begun.next().unwrap() });
        let recovery = given.seq();
        let write = RecoveryWrite {
            key: key(A),
            version: "v1".into(),
            app: app.into(),
            digest: Digest::default(),
            render: None,
            former: given.world.owned[&key(A)].uid.clone(),
            again: String::new(),
        };
        given.event(RecoveryIntentV1 { recovery, writes: vec![write] });
        let intent = given.seq();
        let written = RecoveryResult::Written(Recovered {
            uid: "new-a".into(),
            resource_version: "7".into(),
            applied: None,
            found,
            tries: 1,
            admitted: Vec::new(),
        });
        given.event(RecoveryOutcomeV1 { recovery, intent, results: vec![(0, written)] });
    }

    /// `two` answers, shows A with this uid and is accepted.
    fn accepted(given: &mut Given, uid: &str) {
        let doubt = given.replaced("two");
        given.lists_everything();
        given.sees("Namespace/prod");
        let seen = given.observation(A);
        given.event(crate::ledger::event::ObjectObservedV1 { uid: uid.into(), ..seen });
        given.accepts(doubt);
    }

    /// Goal: what serves until something else is written is its application's on the new cluster: it
    /// stays there while that is not written, and goes when it is.
    #[test]
    fn what_stays_is_replayed_as_its_applications_and_goes_as_it_would_have_gone() {
        let mut given = renamed();
        let made = given.world.owned[&key(A)].made;
        replays(&mut given, "two", "web", false);
        accepted(&mut given, "new-a");
        let owned = &given.world.owned[&key(A)];
        assert_eq!((&owned.app, &*owned.uid, owned.made), (&name("web"), "new-a", made));
        assert_eq!(*given.world.replayed, Stays::default(), "it is said once");
        assert_eq!(given.writes("web").len(), 3, "{:?}", given.writes("web"));
        let intent = given.intends("web");
        let results = given.world.intents[&intent].writes.clone();
        let results = results.into_iter().map(|(index, open)| {
            let key = open.write.key.to_string();
            (
                index,
                match &*key {
                    A => WriteResult::NotSent("something beside it was not written".into()),
                    B => WriteResult::Refused("422: no such field".into()),
                    _ => given.answer(&open.write),
                },
            )
        });
        let results = results.collect();
        given.event(OutcomeRecordedV1 { app: name("web"), intent, results });
        let plan = given.plan("web");
        assert!(said(&plan, A).why.contains("it stays while ConfigMap/prod/b"), "{plan:#?}");
        assert_eq!(writes(&plan), [""; 0]);
        // Git is mended.
        given.push(3);
        given.renders("web", vec![objects(&[C]).remove(0), crate::replay::testing::object(B, 2)]);
        given.syncs("web");
        assert!(!given.world.owned.contains_key(&key(A)) && given.finishes("web"));
        assert!(given.world.owned.contains_key(&key(B)));
    }

    /// What was replayed, and how.
    type Replayed<'f> = &'f dyn Fn(&mut Given);

    /// Goal: nothing is anybody's that greffier is not known to have had, and to have made there.
    #[test]
    fn what_is_not_proven_to_be_greffiers_is_nobodys() {
        let all: [(&str, Replayed<'_>, &str); 7] = [
            ("found after a crash", &|given| replays(given, "two", "web", true), "new-a"),
            ("somebody else's of that name", &|given| replays(given, "two", "web", false), "other"),
            ("onto another cluster", &|given| replays(given, "three", "web", false), "new-a"),
            (
                "another one since",
                &|given| {
                    replays(given, "two", "web", false);
                    replays(given, "three", "web", false);
                },
                "new-a",
            ),
            ("nobody's", &|given| replays(given, "two", "", false), "new-a"),
            ("another application's", &|given| replays(given, "two", "shop", false), "new-a"),
            (
                "kept whatever comes",
                &|given| {
                    let owned = given.world.owned.get_mut(&key(A)).unwrap();
                    owned.keep = vec!["a namespace".into()];
                    replays(given, "two", "web", false);
                },
                "new-a",
            ),
        ];
        for (what, replayed, uid) in all {
            let mut given = renamed();
            replayed(&mut given);
            accepted(&mut given, uid);
            assert!(!given.world.owned.contains_key(&key(A)), "{what}");
        }
        // What is wanted again is adopted like everything else.
        let mut given = renamed();
        replays(&mut given, "two", "web", false);
        given.push(3);
        given.renders("web", objects(&[A, C]));
        accepted(&mut given, "new-a");
        assert!(!given.world.owned.contains_key(&key(A)));
        assert_eq!(given.writes("web"), [format!("create {C}")], "and compared with Git");
        assert_eq!(said(&given.plan("web"), A).status, crate::plan::Status::Unknown);
    }
}
