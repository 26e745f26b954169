//! Between the daemon and the world outside: its recorders, the network, and time.

use serde_json::Value;

use super::checker::Was;
use super::daemon::{MAIN, Sim};
use super::jobs::{Action, Done, Job, Reply, Request};
use super::observer::Key;
use crate::cluster::{DeleteResult, Error, Normalised};
use crate::ledger::event::{
    ClusterFoundV1, ClusterLostV1, Event, FetchFailedV1, FetchRecoveredV1, FetchUnchangedV1,
    HistoryRewrittenV1, RefMovedV1, WriteResult,
};
use crate::model::Timestamp;
use crate::reconcile::execute::{self, take_over};
use crate::replay::testing::REPO;

impl Sim {
    // --- recorders

    /// The recorder appends the oldest report.
    pub(super) fn record(&mut self) -> bool {
        let report = self.daemon.as_mut().and_then(|daemon| daemon.observer.queue.pop_front());
        let Some((event, blob)) = report else { return false };
        self.append(event, blob.into_iter().collect());
        true
    }

    /// One word of the observer.
    pub(super) fn watch(&mut self) -> bool {
        if self.away {
            return false;
        }
        let turn = self.random.below(100);
        let Some(daemon) = &mut self.daemon else { return false };
        (0..5).any(|next| daemon.observer.step(turn + next, &self.cluster))
    }

    /// The observer notices that the API server went away or came back.
    pub(super) fn notice(&mut self) -> bool {
        let away = self.away;
        let Some(daemon) = &mut self.daemon else { return false };
        if std::mem::replace(&mut daemon.lost, away) == away {
            return false;
        }
        let event: Event = if away {
            ClusterLostV1 { error: "timeout".into() }.into()
        } else {
            ClusterFoundV1 {}.into()
        };
        daemon.observer.queue.push_back((event, None));
        true
    }

    /// The source looks at the repository.
    pub(super) fn fetch(&mut self) -> bool {
        let Some(daemon) = &mut self.daemon else { return false };
        let known = self.head.repos.get(REPO);
        let failed = known.is_some_and(|repo| repo.error.is_some());
        let started = self.head.started;
        let asked = known.is_some_and(|repo| started < repo.asked);
        let heard = known.is_some_and(|repo| started < repo.heard);
        let repo = REPO.to_owned();
        if self.git.away {
            let told = failed && asked;
            if !told {
                self.append(FetchFailedV1 { repo, error: "away".into() }, Vec::new());
            }
            return !told;
        }
        if daemon.main == self.git.head {
            if failed {
                self.append(FetchRecoveredV1 { repo }, Vec::new());
            } else if !heard {
                self.append(FetchUnchangedV1 { repo }, Vec::new());
            }
            return failed || !heard;
        }
        let (old, new) = (daemon.main.clone(), self.git.head.clone());
        daemon.main.clone_from(&new);
        if let (Some(old), Some(new)) = (&old, &new) {
            let now = self.git.ancestry(new);
            if !now.contains(old) {
                let dropped = self.git.ancestry(old);
                let dropped = dropped.into_iter().filter(|commit| !now.contains(commit)).collect();
                let (repo, name) = (repo.clone(), MAIN.to_owned());
                let (old, new) = (old.clone(), new.clone());
                let (same_tree, follow) = (false, true);
                self.append(
                    HistoryRewrittenV1 { repo, name, old, new, dropped, same_tree, follow },
                    Vec::new(),
                );
            }
        }
        self.append(RefMovedV1 { repo: repo.clone(), name: MAIN.into(), old, new }, Vec::new());
        if failed {
            self.append(FetchRecoveredV1 { repo }, Vec::new());
        }
        true
    }

    /// The cluster is restored from a copy. What was on its way is lost; greffier notices that
    /// the API server went back in time, if it runs.
    pub(super) fn restore(&mut self) {
        let Some(back) = self.cluster.restore() else { return };
        self.restores += 1;
        self.tell(format!("the cluster is restored, at version {}", self.cluster.version()));
        // That greffier removed what is back was forgotten with the removal, as it should be.
        back.iter().for_each(|uid| self.checker.lets_go(uid));
        for request in std::mem::take(&mut self.network.requests) {
            self.answer(&request, Err(lost(&request.action)));
        }
        // A restore takes longer than it takes to record an answer.
        let recognised = self.random.chance(60);
        let Some(mut daemon) = self.daemon.take() else {
            if recognised {
                self.recognise();
            }
            return;
        };
        for job in &mut daemon.jobs {
            if let Job::Execute(execute) = job {
                self.outcomes(execute);
            }
        }
        if !recognised {
            daemon.observer.went_back();
        }
        self.daemon = Some(daemon);
        if recognised {
            self.recognise();
        }
    }

    // --- the network

    /// One request is carried out, refused or lost; its answer arrives or does not.
    pub(super) fn deliver(&mut self) -> bool {
        if self.network.requests.is_empty() {
            return false;
        }
        let at = self.random.below(self.network.requests.len());
        let fate = if self.faults { self.random.below(100) } else { 99 };
        if self.away {
            let request = self.network.requests.remove(at);
            // Some were under way when the API server went: nobody knows.
            if fate < 30 {
                self.answer(&request, Err(lost(&request.action)));
            } else {
                self.answer(&request, Err(unavailable(&request.action, 503)));
            }
            return true;
        }
        match fate {
            0..8 => {
                let request = self.network.requests.remove(at);
                let error = self.injected(&request.action);
                self.answer(&request, Err(error));
            }
            8..14 => {
                let request = self.network.requests.remove(at);
                self.answer(&request, Err(lost(&request.action)));
            }
            14..22 => {
                let request = self.network.requests.remove(at);
                let _ = self.reach(&request);
                self.answer(&request, Err(lost(&request.action)));
            }
            22..27 => {
                // Whoever asked gives up; the request is on its way all the same.
                let request = self.network.requests.remove(at);
                self.answer(&request, Err(lost(&request.action)));
                self.network.requests.push(request);
            }
            _ => {
                let request = self.network.requests.remove(at);
                let reply = self.reach(&request);
                self.answer(&request, reply);
            }
        }
        true
    }

    fn reach(&mut self, request: &Request) -> Reply {
        let key = request.action.key();
        let uid = self.cluster.uid(key);
        let options = self.cluster.get(key).map(|live| options(&live)).unwrap_or_default();
        let before = self.cluster.version();
        let reply = request.action.reach(&mut self.cluster);
        let effect = self.cluster.version() != before;
        let (seq, index) = request.id;
        let how = match &reply {
            Ok(Done::Applied(object)) => {
                format!("applied, version {}", object.raw["metadata"]["resourceVersion"])
            }
            Ok(Done::Deleted(how)) => format!("{how:?}"),
            Ok(Done::TakenOver { .. }) => "taken over".to_owned(),
            Ok(Done::Missing(error)) => format!("{error}, and there is none"),
            Err(error) => error.to_string(),
        };
        self.tell(format!("request {seq}-{index} reaches the API server: {how}"));
        let was = Was { uid: uid.as_deref(), effect, options: &options };
        self.checker.reached(request.id, &request.action, &reply, was);
        reply
    }

    fn injected(&mut self, action: &Action) -> Error {
        let subject = action.key().to_string();
        match self.random.below(6) {
            0 => Error::Conflict { subject, message: "injected".into() },
            1 => unavailable(action, 500),
            2 => Error::Throttled { subject, retry_after: std::time::Duration::from_secs(1) },
            3 => Error::FateUnknown { subject, status: 504, message: "injected".into() },
            4 => Error::NotFound { subject },
            _ => Error::Refused {
                subject,
                status: 422,
                reason: "Invalid".into(),
                message: "injected".into(),
            },
        }
    }

    /// The answer arrives, if somebody still waits for it.
    pub(super) fn answer(&mut self, request: &Request, reply: Reply) {
        if !self.network.heard.remove(&request.id) {
            return;
        }
        let (intent, index) = request.id;
        let (result, blob) = match reply {
            Ok(Done::Applied(object)) => {
                let Some(daemon) = &self.daemon else { return };
                let Action::Apply(sent) = &request.action else { return };
                let last = |returned: &Normalised| self.last_applied(daemon, returned);
                let changed = object.changed.unwrap_or(true);
                execute::outcome(
                    &Key,
                    object.raw.clone(),
                    changed,
                    None,
                    Some(&sent.manifest),
                    last,
                )
            }
            Ok(Done::Deleted(DeleteResult::Deleted)) => (WriteResult::Deleted, None),
            Ok(Done::Deleted(_)) => (WriteResult::AlreadyGone, None),
            Ok(Done::Missing(error)) => (WriteResult::Gone(error.to_string()), None),
            Ok(Done::TakenOver { raw, surplus }) => {
                let taken = execute::outcome(&Key, raw, false, None, None, |_| None);
                take_over::with_surplus(taken, surplus)
            }
            Err(error) => (execute::failure(&error), None),
        };
        let jobs = self.daemon.iter_mut().flat_map(|daemon| &mut daemon.jobs);
        for job in jobs {
            if let Job::Execute(job) = job
                && job.intent == intent
            {
                job.waiting.remove(&index);
                job.answers.push((index, result, blob));
                return;
            }
        }
    }

    // --- time

    /// The clock moves on. What expires on the way is carried out just before, or never.
    pub(super) fn pass(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        while let Some(at) = self.network.requests.iter().position(|r| r.expires <= until) {
            let request = self.network.requests.remove(at);
            if !self.away && self.random.chance(50) {
                let _ = self.reach(&request);
            }
            self.answer(&request, Err(lost(&request.action)));
        }
        self.now = self.now.max(until);
        self.cluster.beat();
    }

    /// When something happens by itself next, if nothing else does.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        let daemon = self.daemon.as_ref()?;
        // What is shown as made is settled at once: only the deadline is left to wait for.
        let settles = daemon.jobs.iter().filter_map(|job| match job {
            Job::Settle { open, .. } => Some(open.deadline.plus_ms(1)),
            _ => None,
        });
        let requests = self.network.requests.iter().map(|request| request.expires);
        settles.chain(requests).chain(daemon.machine.deadline()).min()
    }
}

pub(super) fn lost(action: &Action) -> Error {
    let after = std::time::Duration::from_secs(10);
    Error::TimedOut { subject: action.key().to_string(), write: true, after }
}

fn unavailable(action: &Action, status: u16) -> Error {
    Error::Unavailable { subject: action.key().to_string(), status, message: "injected".into() }
}

/// What an object's annotation says about its removal.
pub(super) fn options(live: &Value) -> String {
    let annotations = &live["metadata"]["annotations"];
    annotations[super::trees::SYNC_OPTIONS].as_str().unwrap_or_default().to_owned()
}
