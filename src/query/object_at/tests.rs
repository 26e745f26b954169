use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::ledger::event::{
    Applied, ClusterIdentifiedV1, ClusterReplacedV1, ClusterRevertedV1, DaemonStartedV1,
    DaemonStoppedV1, IntentRecordedV1, KindListedV1, ObjectGoneV1, ObjectObservedV1,
    OutcomeRecordedV1, Verb as WriteVerb, Write, WriteResult,
};
use crate::ledger::{Batch, Blob, Draft};
use crate::model::{Digest, GroupKind, Protection};
use crate::query::fixture::{Story, key, name};
use crate::replay::LiveObject;

/// What both tell of an object.
type Told = Option<(BlobAddr, String, String, bool)>;

fn of_world(live: Option<&LiveObject>) -> Told {
    live.map(|l| (l.object, l.uid.clone(), l.resource_version.clone(), l.deleting))
}

fn of_state(state: Option<State>) -> Told {
    let state = state?;
    let live = state.live?;
    Some((live.object, state.uid, state.resource_version, live.deleting))
}

#[test]
fn it_is_what_the_world_says_at_every_event_of_a_story() {
    let told = Story::told();
    for seq in 1..=told.ledger.head().0 {
        let world = crate::query::past::world_at(&told.ledger, Seq(seq), false).unwrap();
        for key in told.world.live.keys() {
            let found = last_state(&told.ledger, key, Seq(seq)).unwrap();
            assert_eq!(of_state(found), of_world(world.live.get(key)), "{key} as of #{seq}");
        }
    }
}

fn blob(version: u64) -> Blob {
    Blob::plain(format!("{{\"object\":{{\"v\":{version}}}}}").into_bytes(), None)
}

fn target() -> ObjectKey {
    key("ConfigMap/prod/x")
}

fn observation(uid: u64, version: u64, learned: Learned, deleting: bool) -> ObjectObservedV1 {
    ObjectObservedV1 {
        key: target(),
        version: "v1".into(),
        uid: format!("u{uid}"),
        resource_version: version.to_string(),
        generation: 1,
        added: false,
        learned,
        digest: Digest::of(&version.to_be_bytes()),
        owned: None,
        object: blob(version).addr,
        status: None,
        images: Vec::new(),
        managers: vec![],
        controller: None,
        health: Health::Healthy,
        health_message: String::new(),
        health_rules: 1,
        deleting,
        claimed_by: String::new(),
        protection: Protection::default(),
        managed_by: String::new(),
        scales: None,
    }
}

/// The API server as far as one object goes, and what of it has not been recorded yet: watch
/// events in their order, and answers to writes, in any order to each other.
#[derive(Default)]
struct Server {
    version: u64,
    uid: u64,
    there: bool,
    deleting: bool,
    watch: VecDeque<crate::ledger::Event>,
    answer: Option<(Seq, WriteResult)>,
}

impl Server {
    fn write(&mut self) -> u64 {
        self.version += 1;
        if !self.there {
            self.uid += 1;
            (self.there, self.deleting) = (true, false);
        }
        let seen = observation(self.uid, self.version, Learned::Watched, self.deleting);
        self.watch.push_back(seen.into());
        self.version
    }

    fn delete(&mut self) {
        if self.there {
            self.version += 1;
            self.there = false;
            let (key, uid) = (target(), format!("u{}", self.uid));
            let learned = Learned::Watched;
            self.watch.push_back(ObjectGoneV1 { key, uid, learned }.into());
        }
    }

    fn ask_to_delete(&mut self) {
        if self.there && !self.deleting {
            self.deleting = true;
            self.write();
        }
    }

    fn applied(&self) -> WriteResult {
        WriteResult::Applied(Applied {
            uid: format!("u{}", self.uid),
            resource_version: self.version.to_string(),
            baseline: Digest::of(b"baseline"),
            object: blob(self.version).addr,
            changed: true,
            digest: Digest::of(&self.version.to_be_bytes()),
            managers: Digest::default(),
            health: Health::Healthy,
            health_message: String::new(),
            protection: Protection::default(),
            notes: Box::default(),
        })
    }
}

fn intend(story: &mut Story, verb: WriteVerb, uid: Option<u64>) -> Seq {
    let uid = uid.map(|uid| (format!("u{uid}"), String::new()));
    let write = Write { precondition: uid, ..Write::plain(verb, target(), "v1", "a reason") };
    let other = Write::plain(WriteVerb::Update, key("ConfigMap/prod/other"), "v1", "a reason");
    let (app, writes) = (name("web"), vec![other, write]);
    story.event(IntentRecordedV1 { app, writes, commit: None, timeout_ms: 10_000 })
}

/// Plays what `choices` say; returns the ledger.
fn play(choices: &[u8]) -> Story {
    let mut story = Story::told();
    let mut server = Server { version: 100, ..Server::default() };
    let mut open: Option<(Seq, bool)> = None;
    for choice in choices {
        match choice % 9 {
            0 => drop(server.write()),
            1 => server.delete(),
            2 => server.ask_to_delete(),
            3 if open.is_none() => {
                open = Some((intend(&mut story, WriteVerb::Update, None), false));
            }
            4 if open.is_none() && server.there => {
                open = Some((intend(&mut story, WriteVerb::Prune, Some(server.uid)), true));
            }
            // The request is carried out, and answered at some time.
            5 if server.answer.is_none() => {
                if let Some((intent, deletes)) = open {
                    let result = match (deletes, server.there) {
                        (true, true) => {
                            server.ask_to_delete();
                            WriteResult::Deleted
                        }
                        (true, false) => WriteResult::AlreadyGone,
                        (false, _) => {
                            server.write();
                            server.applied()
                        }
                    };
                    server.answer = Some((intent, result));
                }
            }
            6 => {
                if let Some((intent, result)) = server.answer.take() {
                    let (app, results) = (name("web"), vec![(1, result)]);
                    story.event(OutcomeRecordedV1 { app, intent, results });
                    open = None;
                }
            }
            _ => {
                if let Some(event) = server.watch.pop_front() {
                    story.event(event);
                }
            }
        }
    }
    story
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn it_is_what_the_world_says_whatever_comes_late(
        choices in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let story = play(&choices);
        let mut world = crate::replay::World::default();
        for seq in 1..=story.ledger.head().0 {
            let recorded = story.ledger.get(Seq(seq)).unwrap().unwrap();
            crate::query::past::fold(&mut world, &recorded);
            let found = last_state(&story.ledger, &target(), Seq(seq)).unwrap();
            prop_assert_eq!(of_state(found), of_world(world.live.get(&target())), "as of {}", seq);
        }
    }
}

/// A watched kind, then a stop and a start; `seen` is what the list shows afterwards.
fn with_gap(seen: Option<Draft>) -> (Story, Seq, Seq) {
    let mut story = Story::told();
    story.add(Batch {
        blobs: vec![blob(1), blob(2)],
        drafts: vec![Draft::new(observation(1, 1, Learned::Watched, false))],
    });
    let stop = story.event(DaemonStoppedV1 { reason: "SIGTERM".into() });
    story.event(DaemonStartedV1 { version: "0.1.0".into(), observe: false, pid: 8 });
    if let Some(seen) = seen {
        story.add(seen);
    }
    let kind = GroupKind::new("", "ConfigMap");
    let (objects, resource_version, named) = (0, String::new(), Vec::new());
    let listed = story.event(KindListedV1 { kind, objects, resource_version, named });
    (story, stop, listed)
}

fn moment(story: &Story, seq: Seq, later_ns: i64) -> At {
    let recorded = story.ledger.get(seq).unwrap().unwrap().envelope.recorded;
    let time = Timestamp(recorded.0 + later_ns);
    At { seq, time, timed: true, what: String::new() }
}

#[test]
fn what_nobody_saw_is_a_gap() {
    let (story, stop, listed) = with_gap(None);
    let ask = |at: &At| object_at(&story.ledger, &target(), at).unwrap();
    let before = ask(&moment(&story, Seq(stop.0 - 1), 0));
    assert_eq!((before.certainty, before.unwatched), (Certainty::Exact, None));
    let within = ask(&moment(&story, stop, 1));
    assert_eq!(within.certainty, Certainty::Gap);
    assert_eq!(within.unwatched.unwrap().to.unwrap().seq, listed);
    assert!(within.state.is_some() && within.next.is_none());
    assert_eq!(ask(&moment(&story, listed, 0)).certainty, Certainty::Exact);
    // Something that may have come and gone.
    let other = key("ConfigMap/prod/nobody");
    let other = object_at(&story.ledger, &other, &moment(&story, stop, 1)).unwrap();
    assert_eq!((other.certainty, other.state), (Certainty::Gap, None));
}

#[test]
fn what_was_found_changed_changed_in_between() {
    let gone = ObjectGoneV1 { key: target(), uid: "u1".into(), learned: Learned::Listed };
    let (story, stop, listed) = with_gap(Some(Draft::new(gone)));
    let found = object_at(&story.ledger, &target(), &moment(&story, stop, 1)).unwrap();
    assert_eq!(found.certainty, Certainty::Interval);
    assert!(found.state.unwrap().live.is_some() && found.next.unwrap().live.is_none());
    let after = object_at(&story.ledger, &target(), &moment(&story, listed, 0)).unwrap();
    assert_eq!((after.certainty, after.next), (Certainty::Exact, None));
    assert!(after.state.unwrap().live.is_none());
}

#[test]
fn what_was_so_by_then_as_known_now_is_the_answer_to_a_time_and_not_to_a_position() {
    let stop = {
        let (story, stop, _) = with_gap(None);
        moment(&story, stop, 0)
    };
    // The clock of the test runs between the two stories; the stated times are relative to now.
    let (lo, hi) = (Timestamp(stop.time.0 + 3_600_000_000_000), 3_601_000_000_000);
    let valid = ValidTime { lo, hi: Timestamp(stop.time.0 + hi), basis: Basis::ManagedFields };
    let draft = Draft::new(observation(1, 2, Learned::Listed, false)).valid(valid);
    let (story, stop, _) = with_gap(Some(draft));
    let versions = |at: &At, last| {
        let book = super::super::past::AsOf::new(&story.ledger, last);
        let found = object_at(&book, &target(), at).unwrap();
        (found.state.unwrap().resource_version, found.certainty)
    };
    let head = story.ledger.head();
    let early = At { time: Timestamp(lo.0 - 1), ..moment(&story, stop, 0) };
    let late = At { time: Timestamp(valid.hi.0 + 1), ..early.clone() };
    assert_eq!(versions(&early, head), ("1".into(), Certainty::Interval));
    assert_eq!(versions(&late, head), ("2".into(), Certainty::Interval));
    let position = At { timed: false, ..late.clone() };
    assert_eq!(versions(&position, head).0, "1");
    // As known before the list came, nothing tells of it.
    assert_eq!(versions(&late, stop), ("1".into(), Certainty::Gap));
}

/// The kind is listed and shows nothing more.
fn listed(story: &mut Story) -> Seq {
    let kind = GroupKind::new("", "ConfigMap");
    let (objects, resource_version, named) = (0, String::new(), Vec::new());
    story.event(KindListedV1 { kind, objects, resource_version, named })
}

fn identity(uid: &str) -> (String, String, String) {
    (uid.into(), "v1.36.3".into(), "https://127.0.0.1:6443".into())
}

#[test]
fn what_was_seen_of_another_cluster_answers_up_to_the_event_that_tells_of_it() {
    let (mut story, _, before) = with_gap(None);
    let (uid, version, server) = identity("c-2");
    let kept = "c-1".to_owned();
    let replaced = story.event(ClusterReplacedV1 { kept, uid, version, server });
    let seen = listed(&mut story);
    let (uid, version, server) = identity("c-1");
    story.event(ClusterIdentifiedV1 { uid, version, server });
    story.add(Draft::new(observation(1, 1, Learned::Listed, false)));
    let again = listed(&mut story);
    let (uid, version, server) = identity("c-1");
    let kind = GroupKind::new("", "ConfigMap");
    let (observed, revision) = (9, 5);
    story.event(ClusterRevertedV1 { uid, version, server, kind, observed, revision });
    let last = listed(&mut story);
    let ask = |seq: Seq| {
        let at = object_at(&story.ledger, &target(), &moment(&story, seq, 0)).unwrap();
        (at.state.is_some_and(|state| state.live.is_some()), at.certainty)
    };
    assert_eq!(ask(before), (true, Certainty::Exact));
    assert_eq!(ask(replaced), (false, Certainty::Exact), "it is of the other cluster from here");
    assert_eq!(ask(seen), (false, Certainty::Exact), "it is not there");
    assert_eq!(ask(again), (true, Certainty::Exact), "the former answers again");
    assert_eq!(ask(last), (false, Certainty::Exact), "it was not there when the copy was made");
    for seq in 1..=story.ledger.head().0 {
        let world = crate::query::past::world_at(&story.ledger, Seq(seq), false).unwrap();
        let found = last_state(&story.ledger, &target(), Seq(seq)).unwrap();
        assert_eq!(of_state(found), of_world(world.live.get(&target())), "as of #{seq}");
    }
}
