//! What a replay brought, until it is adopted: what left Git and stays until something else is
//! written, and what Git drops before the new cluster is followed.
//!
//! Greffier had it in the former cluster, and made it in the other one itself, as the answer to its
//! write says. So it is its application's there as well, once that cluster is the one that is kept,
//! and goes as it would have gone. What was only found there after a crash proves nothing, and stays
//! nobody's. What is wanted is adopted like everything else, and is no find then.
//!
//! Of an application that is held while another cluster takes the place of the former, what it had
//! is remembered too: what it adopts there of that is not what its hold found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cluster::{Made, Owned};
use super::world::World;
use crate::ledger::event::{
    ApplyNotes, Event, RecoveryIntentV1, RecoveryOutcomeV1, RecoveryResult,
};
use crate::model::{AppName, Digest, Mask, ObjectKey, Seq};

/// What the replays onto one cluster, the last one, brought and nobody has adopted there.
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
    /// What applications that were held when another cluster was accepted had in the former one.
    held: BTreeMap<ObjectKey, (AppName, Made)>,
}

/// Whose it was in the former cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    app: AppName,
    version: String,
    made: Made,
    /// Whether it goes when nobody wants it: nothing asks for it to be kept.
    goes: bool,
}

impl World {
    /// Notes what a replay brings.
    pub(super) fn note_what_stays(&mut self, seq: Seq, event: &Event) {
        match event {
            Event::RecoveryBegun(body) => {
                if self.replayed.uid != body.uid {
                    let held = std::mem::take(&mut self.replayed.held);
                    *self.replayed = Stays { uid: body.uid.clone(), held, ..Stays::default() };
                }
                self.replayed.recovery = seq;
                self.replayed.intended.clear();
            }
            Event::RecoveryIntent(body) => self.brings(seq, body),
            Event::RecoveryOutcome(body) => self.replayed.brought(body),
            _ => {}
        }
    }

    /// Notes what of an intent greffier has, for that application.
    fn brings(&mut self, seq: Seq, body: &RecoveryIntentV1) {
        let writes = (0..).zip(&body.writes).filter_map(|(index, write)| {
            let owned = self.owned.get(&write.key).filter(|owned| owned.uid == write.former)?;
            let app = write.app.parse::<AppName>().ok().filter(|app| *app == owned.app)?;
            let (version, made) = (write.version.clone(), owned.made);
            let goes = owned.keep.is_empty();
            Some((index, (write.key.clone(), Former { app, version, made, goes })))
        });
        let writes: BTreeMap<_, _> = writes.collect();
        if body.recovery == self.replayed.recovery && !writes.is_empty() {
            self.replayed.intended.insert(seq, writes);
        }
    }

    /// The cluster is the one that is kept from now on: what was brought there and nobody wants is
    /// its application's.
    pub(super) fn own_what_stays(&mut self, replaced: bool) {
        if !replaced {
            return;
        }
        if self.replayed.uid != self.cluster.uid {
            self.replayed.written.clear();
        }
        self.replayed.intended.clear();
        self.own_unwanted(|_| true);
        if self.replayed.written.is_empty() && self.replayed.held.is_empty() {
            *self.replayed = Stays::default();
        }
    }

    /// What a replay brought of the application, and what it does not want any more before it was
    /// adopted, is its own: it goes as what it applied would go.
    pub(super) fn own_what_was_brought(&mut self, name: &AppName) {
        let kept = self.cluster.doubt().is_none() && self.replayed.uid == self.cluster.uid;
        if kept && !self.replayed.written.is_empty() {
            self.own_unwanted(|app| app == name);
        }
    }

    fn own_unwanted(&mut self, of: impl Fn(&AppName) -> bool) {
        let unwanted = self.replayed.written.iter().filter(|(key, (former, _))| {
            of(&former.app) && !self.wanted_by.contains_key(key) && !self.owned.contains_key(key)
        });
        for key in unwanted.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let Some((former, uid)) = self.replayed.written.remove(&key) else { continue };
            let there = self.apps.get(&former.app).is_some_and(|app| !app.removing);
            let live = self.live.get(&key).filter(|live| live.uid == uid && !live.deleting);
            let Some(live) = live.filter(|_| there && former.goes) else { continue };
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
                seq: self.seq,
            };
            self.own(&key, owned);
        }
    }

    /// Another cluster takes the place of the former: notes what applications that are held had.
    pub(super) fn note_held(&mut self) {
        let held = self.owned.iter().filter_map(|(key, owned)| {
            let hold = self.apps.get(&owned.app)?.lent?;
            let found = matches!(owned.made, Made::Found(at) if at > hold);
            (!found).then(|| (key.clone(), (owned.app.clone(), owned.made)))
        });
        self.replayed.held = held.collect();
    }
}

impl Stays {
    /// How an object of this uid that the application adopts came to be greffier's in the former
    /// cluster; `None` = it is a find.
    pub(super) fn made(&self, app: &AppName, key: &ObjectKey, uid: &str) -> Option<Made> {
        let brought = self.written.get(key).filter(|(former, brought)| {
            former.app == *app && brought == uid // Somebody may have put another in its place.
        });
        let held = || self.held.get(key).filter(|(former, _)| former == app).map(|(_, made)| *made);
        brought.map(|(former, _)| former.made).or_else(held)
    }

    /// The object is greffier's in the new cluster.
    pub(super) fn adopted(&mut self, key: &ObjectKey) {
        self.written.remove(key);
        self.held.remove(key);
    }

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
    use crate::replay::testing::{Given, key, name, object, objects, said, writes};

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
        given.renders("web", vec![objects(&[C]).remove(0), object(B, 2)]);
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

    /// `web` has A, B and C in the cluster `one`.
    fn estate() -> Given {
        let mut given = Given::synced(objects(&[A, B, C]));
        given.identified("one");
        given
    }

    fn drops_a(given: &mut Given, number: u64) {
        given.push(number);
        given.renders("web", objects(&[B, C]));
    }

    /// Goal: what Git drops between a replay and the first look at the new cluster goes there too, if
    /// the replay made it, and before it was adopted.
    #[test]
    fn what_leaves_git_before_a_replayed_object_is_adopted_goes_all_the_same() {
        for (accepted_first, found) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let mut given = estate();
            replays(&mut given, "two", "web", found);
            if !accepted_first {
                drops_a(&mut given, 2);
            }
            accepted(&mut given, "new-a");
            if accepted_first {
                assert!(!given.world.owned.contains_key(&key(A)), "it is compared first");
                drops_a(&mut given, 2);
            }
            given.syncs("web");
            // What was found after a crash is not known to be greffier's.
            let there = given.world.live.contains_key(&key(A));
            assert_eq!(there, found, "{accepted_first} {found}");
            assert!(given.finishes("web"));
        }
    }

    /// Goal: an application that is held while another cluster takes the place of the former loses
    /// nothing: what it adopts there was its own, and goes when it is released and Git dropped it.
    /// What the hold itself finds stays.
    #[test]
    fn what_a_held_application_adopts_on_another_cluster_is_no_find() {
        for replayed in [true, false] {
            let mut given = estate();
            let then = given.world.clone();
            given.push(2);
            given.renders("web", vec![object(A, 1), object(B, 2), object(C, 1)]);
            given.syncs("web");
            let hold = given.rolls_back("web", &then);
            given.syncs("web");
            if replayed {
                replays(&mut given, "two", "web", false);
            }
            accepted(&mut given, "new-a");
            given.sees(C);
            given.syncs("web");
            assert_eq!(given.world.owned[&key(A)].uid, "new-a");
            drops_a(&mut given, 3);
            given.lets_go("web", hold);
            assert!(given.world.owned.contains_key(&key(A)), "{replayed}");
            given.syncs("web");
            assert!(!given.world.live.contains_key(&key(A)), "{replayed}");
        }
        // Git did not have A when it was held: the hold finds it.
        let mut given = estate();
        let then = given.world.clone();
        drops_a(&mut given, 2);
        given.syncs("web");
        given.sees(A);
        let hold = given.rolls_back("web", &then);
        given.syncs("web");
        assert!(matches!(given.world.owned[&key(A)].made, Made::Found(_)));
        accepted(&mut given, "new-a");
        given.syncs("web");
        given.lets_go("web", hold);
        given.syncs("web");
        assert!(given.world.live.contains_key(&key(A)), "nobody ever said that it is to go");
        assert!(!given.world.owned.contains_key(&key(A)));
    }
}
