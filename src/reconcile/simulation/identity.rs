//! Another cluster takes the place of the one that is kept, or it is restored from a backup; and a
//! person says which is kept from then on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cluster::FakeCluster;
use super::daemon::{Daemon, Sim};
use super::jobs::{Execute, Job};
use super::observer::Observer;
use super::outside::lost;
use super::story::{FOREIGN, Story};
use crate::cluster::Error;
use crate::command::Command;
use crate::ledger::event::{
    ClusterIdentifiedV1, ClusterReplacedV1, ClusterRevertedV1, Event, IntentSettledV1, WriteResult,
};
use crate::model::{GroupKind, ObjectKey, Seq};
use crate::reconcile::execute;
use crate::replay::testing::key;
use crate::replay::{OpenIntent, World};

/// Where every cluster answers.
const SERVER: &str = "https://api";
/// How far the uids of two clusters are apart.
const UIDS_EACH: u64 = 1_000_000;

/// Which cluster answers.
#[derive(Default)]
pub(super) struct Place {
    number: u64,
    /// How many there were.
    clusters: u64,
    /// It was restored, and greffier has not recorded that.
    reverted: bool,
    /// One that answered before, and may again.
    aside: Option<(u64, bool, FakeCluster)>,
    /// How often another answered.
    pub(super) changes: usize,
    /// How often a person accepted one.
    pub(super) accepted: usize,
}

impl Place {
    fn uid(&self) -> String {
        format!("cluster-{}", self.number)
    }

    /// An event was recorded.
    pub(super) fn recorded(&mut self, event: &Event) {
        match event {
            Event::ClusterReverted(body) if body.uid == self.uid() => self.reverted = false,
            Event::ClusterAccepted(_) => self.accepted += 1,
            _ => {}
        }
    }
}

fn who_answers(known: &World, uid: String) -> Event {
    let (version, server) = ("v1.36.3".to_owned(), SERVER.to_owned());
    let kept = known.cluster.identity.kept.clone();
    if kept.is_empty() || kept == uid {
        ClusterIdentifiedV1 { uid, version, server }.into()
    } else {
        ClusterReplacedV1 { kept, uid, version, server }.into()
    }
}

fn set_back(uid: String) -> Event {
    let (version, server, kind) = ("v1.36.3".into(), SERVER.into(), GroupKind::new("", "Secret"));
    ClusterRevertedV1 { uid, version, server, kind, observed: 2, revision: 1 }.into()
}

impl Sim {
    /// What observes on behalf of a daemon that starts: it asks first who answers.
    pub(super) fn observer(&self, world: &World) -> Observer {
        let (mut observer, uid) = (Observer::new(world), self.place.uid());
        let other = world.cluster.uid != uid;
        if self.place.reverted || other && !world.cluster.uid.is_empty() {
            observer.begin_anew();
        }
        if self.place.reverted {
            observer.queue.push_front((set_back(uid), None));
        } else if other {
            observer.queue.push_front((who_answers(world, uid), None));
        }
        observer
    }

    /// Whether a write may be sent: to the kept cluster, by all that is recorded and folded.
    pub(super) fn permitted(&self, daemon: &Daemon) -> bool {
        let uid = self.place.uid();
        let is_kept = |world: &World| world.cluster.uid == uid && world.cluster.doubt().is_none();
        !self.place.reverted && is_kept(&self.head) && is_kept(&daemon.world)
    }

    /// Why the next write of an intent is not sent.
    pub(super) fn unsent(&self, daemon: &Daemon, job: &Execute) -> Option<WriteResult> {
        if job.deadline <= self.now {
            return Some(WriteResult::NotSent("too late".into()));
        }
        let open = daemon.world.intents.get(&job.intent);
        if open.is_some_and(|open| open.orphaned) {
            return Some(WriteResult::NotSent("another cluster answered meanwhile".into()));
        }
        let (subject, server) = ("write".to_owned(), SERVER.to_owned());
        let error = Error::NotTheKept { subject, server };
        (!self.permitted(daemon)).then(|| execute::failure(&error))
    }

    /// How an intent is settled while looking tells nothing.
    pub(super) fn unsettled(
        &mut self,
        daemon: &Daemon,
        intent: Seq,
        open: &mut OpenIntent,
    ) -> Option<(bool, bool)> {
        if daemon.world.cluster.doubt().is_none() {
            return (self.away || !self.permitted(daemon)).then_some((false, false));
        }
        let left = std::mem::take(&mut open.writes).into_keys();
        let results = left.map(|index| (index, WriteResult::NotSent("in doubt".into()))).collect();
        let app = open.app.clone();
        self.append(IntentSettledV1 { app, intent, results }, Vec::new());
        Some((true, false))
    }

    /// What was on its way is lost, and what was answered is recorded before greffier notices.
    fn cut_off(&mut self) {
        for request in std::mem::take(&mut self.network.requests) {
            self.answer(&request, Err(lost(&request.action)));
        }
        let Some(mut daemon) = self.daemon.take() else { return };
        for job in &mut daemon.jobs {
            if let Job::Execute(execute) = job {
                self.outcomes(execute);
            }
        }
        self.daemon = Some(daemon);
    }

    /// The cluster was restored, and greffier recognises it, if it runs.
    pub(super) fn recognise(&mut self) {
        self.place.reverted = true;
        self.place.changes += 1;
        let uid = self.place.uid();
        if let Some(daemon) = &mut self.daemon {
            daemon.observer.begin_anew();
            daemon.observer.queue.push_back((set_back(uid), None));
        }
    }

    /// Another cluster answers: the one before, or a new one. Says whether it is new.
    pub(super) fn switch(&mut self) -> bool {
        self.cut_off();
        let back = self.random.chance(50);
        let aside = self.place.aside.take();
        let new = aside.is_none() || !back;
        let (number, reverted, cluster) = match aside.filter(|_| back) {
            Some(aside) => aside,
            None => {
                self.place.clusters += 1;
                let number = self.place.clusters;
                (number, false, FakeCluster::with_uids_from(number * UIDS_EACH))
            }
        };
        let former = std::mem::replace(&mut self.cluster, cluster);
        let place = &mut self.place;
        place.aside = Some((place.number, place.reverted, former));
        (place.number, place.reverted) = (number, reverted);
        place.changes += 1;
        let uid = place.uid();
        self.tell(format!("{uid} answers"));
        let event = if reverted { set_back(uid) } else { who_answers(&self.head, uid) };
        if let Some(daemon) = &mut self.daemon {
            daemon.observer.begin_anew();
            daemon.observer.queue.push_back((event, None));
        }
        new
    }

    /// What a person says who wants the cluster that answers.
    pub(super) fn acceptance(&self) -> Option<Command> {
        let cluster = &self.head.cluster;
        let (uid, doubt) = (cluster.uid.clone(), cluster.doubt()?.seq());
        Some(Command::AcceptCluster { uid, doubt, reason: String::new() })
    }
}

impl Story {
    /// Somebody wants the cluster that answers.
    pub(super) fn accept_cluster(&mut self) {
        if let Some(command) = self.sim.acceptance() {
            self.tell_greffier(&command);
        }
    }

    /// Another cluster answers. What people have is there as well.
    pub(super) fn switch(&mut self) {
        for (key, before) in &self.foreign {
            if self.sim.cluster.get(key).as_ref() != Some(before) {
                self.sim.checker.wrong.get_or_insert(format!("{key} is nobody's and was changed"));
            }
        }
        if self.sim.switch() {
            self.foreign = settle_in(&mut self.sim);
            return;
        }
        let theirs = FOREIGN.iter().map(|text| key(text));
        self.foreign =
            theirs.filter_map(|k| Some((k.clone(), self.sim.cluster.get(&k)?))).collect();
    }
}

/// What people have in a new cluster.
pub(super) fn settle_in(sim: &mut Sim) -> BTreeMap<ObjectKey, Value> {
    for namespace in ["Namespace/prod", "Namespace/argocd"] {
        sim.cluster.update_as("people", &key(namespace), |_| {});
    }
    let theirs = FOREIGN.iter().map(|text| {
        let key = key(text);
        sim.cluster.update_as("people", &key, |value| value["data"] = json!({"k": "theirs"}));
        let there = sim.cluster.get(&key).unwrap();
        (key, there)
    });
    theirs.collect()
}
