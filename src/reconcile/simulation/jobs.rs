//! What the daemon has under way beside its driver, each as a small machine that the simulation
//! moves on or lets die; and the network between its writes and the API server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::cluster::FakeCluster;
use super::observer::Key;
use crate::cluster::{
    AppliedObject, ApplyRequest, Class, DeleteRequest, DeleteResult, Error, normalize,
};
use crate::ledger::Blob;
use crate::ledger::event::{Event, Verb, Write, WriteResult};
use crate::model::{AppName, CommitId, Digest, ObjectKey, Seq, Timestamp};
use crate::plan::{Comparison, DryRun, kind_rank};
use crate::reconcile::execute::delete::same;
use crate::replay::{LiveObject, OpenIntent};

/// Which write: the intent and the index in it.
pub(super) type Id = (Seq, u32);

/// Something under way.
pub(super) enum Job {
    /// An application is being rendered; the event that comes of it, once that is known.
    Render { app: AppName, commit: CommitId, ended: Option<Box<(Event, Vec<Blob>)>> },
    /// Two objects are being compared.
    Compare { app: AppName, comparison: Comparison },
    /// The API server is being asked what an apply would change.
    Preview { app: AppName, dry_run: DryRun },
    /// An intent is being carried out.
    Execute(Execute),
    /// An intent is being settled.
    Settle { intent: Seq, open: OpenIntent },
}

/// How far an intent has been carried out.
pub(super) struct Execute {
    pub(super) intent: Seq,
    pub(super) app: AppName,
    pub(super) deadline: Timestamp,
    pub(super) queue: VecDeque<(u32, Write)>,
    /// Sent and not answered, with their rank.
    pub(super) waiting: BTreeMap<u32, (bool, usize)>,
    /// Answered and not recorded.
    pub(super) answers: Vec<(u32, WriteResult, Option<Blob>)>,
}

impl Execute {
    pub(super) fn new(intent: Seq, open: OpenIntent) -> Self {
        let writes = open.writes.into_iter().map(|(index, open)| (index, open.write));
        Self {
            intent,
            app: open.app,
            deadline: open.deadline,
            queue: writes.collect(),
            waiting: BTreeMap::new(),
            answers: Vec::new(),
        }
    }

    /// Whether the next write may be sent beside those that wait: only within a group.
    pub(super) fn may_send(&self) -> bool {
        let next = self.queue.front();
        next.is_some_and(|(_, write)| self.waiting.values().all(|other| *other == rank(write)))
    }

    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_empty() && self.answers.is_empty()
    }
}

pub(super) fn rank(write: &Write) -> (bool, usize) {
    (write.verb == Verb::Prune, kind_rank(&write.key))
}

/// What is asked of the API server.
#[derive(Clone)]
pub(super) enum Action {
    Apply(ApplyRequest),
    /// The write and what is known of the object, to tell whether only its status has moved.
    Delete(DeleteRequest, Box<(Write, Option<LiveObject>)>),
    /// The fields of whoever wrote the object before, if greffier's are as it applied them.
    TakeOver {
        key: ObjectKey,
        uid: String,
        baseline: Digest,
    },
}

impl Action {
    pub(super) fn key(&self) -> &ObjectKey {
        match self {
            Self::Apply(request) => &request.key,
            Self::Delete(request, _) => &request.key,
            Self::TakeOver { key, .. } => key,
        }
    }

    /// Carries it out.
    pub(super) fn reach(&self, cluster: &mut FakeCluster) -> Reply {
        match self {
            Self::Apply(request) => match cluster.apply(request) {
                Err(error) if request.uid.is_some() => missing(cluster, &request.key, error),
                ended => ended.map(Done::Applied),
            },
            Self::Delete(request, decided) => delete(cluster, request, decided).map(Done::Deleted),
            Self::TakeOver { key, uid, baseline } => match cluster.take_over(key, uid, *baseline) {
                Ok((raw, surplus)) => Ok(Done::TakenOver { raw, surplus }),
                Err(error) => missing(cluster, key, error),
            },
        }
    }
}

/// What a look at the object shows after a write that was bound to it was refused.
fn missing(cluster: &FakeCluster, key: &ObjectKey, error: Error) -> Reply {
    match cluster.get(key) {
        None if error.class() == Class::Conflict => Ok(Done::Missing(error)),
        _ => Err(error),
    }
}

/// Deletes the object as it was seen, or as it is now if only its status has moved since.
fn delete(
    cluster: &mut FakeCluster,
    request: &DeleteRequest,
    (write, known): &(Write, Option<LiveObject>),
) -> Result<DeleteResult, Error> {
    let error = match cluster.delete(request) {
        Err(error) if error.class() == Class::Conflict => error,
        ended => return ended,
    };
    let found = cluster.get(&request.key).and_then(|raw| normalize(&raw, &Key).ok());
    match (known, found) {
        (Some(known), Some(found)) if same(write, known, &found) => {
            let resource_version = found.resource_version;
            cluster.delete(&DeleteRequest { resource_version, ..request.clone() })
        }
        _ => Err(error),
    }
}

/// An answer that is known.
pub(super) enum Done {
    /// The object that was to be written over is not there.
    Missing(Error),
    Applied(AppliedObject),
    Deleted(DeleteResult),
    TakenOver {
        raw: Value,
        surplus: bool,
    },
}

pub(super) type Reply = Result<Done, Error>;

/// A request on its way.
pub(super) struct Request {
    pub(super) id: Id,
    pub(super) action: Action,
    /// The API server does not carry it out any more after this.
    pub(super) expires: Timestamp,
}

/// The requests on their way, and who still waits for an answer.
#[derive(Default)]
pub(super) struct Network {
    pub(super) requests: Vec<Request>,
    pub(super) heard: BTreeSet<Id>,
}
