//! Commits that greffier makes and pushes, so that Git says what is held.

use serde::{Deserialize, Serialize};

use super::world::{Touched, World};
use crate::ledger::event::{Event, PushEndedV1, PushIntendedV1, PushResult};
use crate::model::{CommitId, Seq, Timestamp};

/// How many commits are remembered that were made and are not fetched. Those that never arrive are
/// told by their intents all the same.
const MADE_MAX: usize = 256;
/// How many commits one hold remembers: tries that were overtaken give way to the next.
const HELD_MAX: usize = 32;

/// A push that has no end yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPush {
    /// What was intended.
    pub body: PushIntendedV1,
    /// Until when it may be under way.
    pub deadline: Timestamp,
    /// Whether it may have been sent by an earlier run of the daemon, or nobody knows what became of
    /// it: then the repository is looked at, and nothing is sent.
    pub settles: bool,
}

/// A commit that says in Git what is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCommit {
    /// The event that intended it.
    pub push: Seq,
    /// The repository.
    pub repo: String,
    /// The full name of the branch.
    pub branch: String,
    /// Whether that is a branch of its own, which somebody has to merge.
    pub proposes: bool,
    /// The commit.
    pub commit: CommitId,
    /// What became of it; `None` = that is not known yet.
    pub result: Option<PushResult>,
}

impl World {
    pub(super) fn pushed(&mut self, seq: Seq, recorded: Timestamp, event: &Event) -> Touched {
        match event {
            Event::PushIntended(body) => self.push_intended(seq, recorded, body),
            Event::PushEnded(body) => self.push_ended(body),
            // The fold's own match is the exhaustive one.
            _ => Touched::nothing(),
        }
    }

    /// A commit became known; nothing is remembered of one that greffier made.
    pub(super) fn arrived(&mut self, commit: &CommitId) -> Touched {
        self.made.remove(commit);
        Touched::nothing()
    }

    fn push_intended(&mut self, seq: Seq, recorded: Timestamp, body: &PushIntendedV1) -> Touched {
        let deadline = recorded.plus_ms(body.timeout_ms.into());
        self.pushes.insert(seq, OpenPush { body: body.clone(), deadline, settles: false });
        self.made.insert(body.commit.clone(), seq);
        while self.made.len() > MADE_MAX {
            let oldest = self.made.iter().min_by_key(|(_, seq)| **seq);
            let Some(oldest) = oldest.map(|(commit, _)| commit.clone()) else { break };
            self.made.remove(&oldest);
        }
        let hold = self.apps.get_mut(&body.app).and_then(|app| app.hold.as_mut());
        if let Some(hold) = hold.filter(|hold| hold.seq == body.hold) {
            // A further try takes the place of the one before.
            hold.commits.retain(|held| held.repo != body.repo || held.branch != body.branch);
            if hold.commits.len() >= HELD_MAX {
                hold.commits.remove(0);
            }
            hold.commits.push(HeldCommit {
                push: seq,
                repo: body.repo.clone(),
                branch: body.branch.clone(),
                proposes: body.proposes,
                commit: body.commit.clone(),
                result: None,
            });
        }
        Touched::nothing()
    }

    fn push_ended(&mut self, body: &PushEndedV1) -> Touched {
        match &body.result {
            PushResult::Unknown(_) => {
                if let Some(open) = self.pushes.get_mut(&body.push) {
                    open.settles = true;
                }
            }
            _ => drop(self.pushes.remove(&body.push)),
        }
        let holds = self.apps.get_mut(&body.app).and_then(|app| app.hold.as_mut());
        let held = holds.into_iter().flat_map(|hold| &mut hold.commits);
        for held in held.filter(|held| held.push == body.push) {
            held.result = Some(body.result.clone());
        }
        Touched::nothing()
    }

    /// What an earlier run may have sent is looked for.
    pub(super) fn orphan_pushes(&mut self) {
        self.pushes.values_mut().for_each(|open| open.settles = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples::sample_events;
    use crate::replay::testing::{Given, commit, name, object};

    fn intended() -> PushIntendedV1 {
        let found = sample_events().into_iter().find_map(|event| match event {
            Event::PushIntended(body) => Some(body),
            _ => None,
        });
        found.unwrap()
    }

    fn ended(push: Seq, result: PushResult) -> PushEndedV1 {
        let PushIntendedV1 { repo, branch, commit, .. } = intended();
        let app = name("web");
        PushEndedV1 { push, app, repo, branch, commit, result, settled: false }
    }

    /// `web` is held, and a commit that says the same is about to be pushed.
    fn pushing() -> (Given, Seq) {
        let mut given = Given::synced(vec![object("ConfigMap/prod/a", 1)]);
        let then = given.world.clone();
        given.push(2);
        given.renders("web", vec![object("ConfigMap/prod/a", 2)]);
        given.syncs("web");
        given.event(given.rollback("web", &then));
        let hold = given.seq();
        given.event(PushIntendedV1 { app: name("web"), hold, commit: commit(7), ..intended() });
        let push = given.seq();
        (given, push)
    }

    #[test]
    fn a_push_is_open_until_it_ended_and_the_hold_says_how() {
        let (mut given, push) = pushing();
        assert!(!given.world.pushes[&push].settles);
        assert_eq!(given.world.made[&commit(7)], push);
        given.event(ended(push, PushResult::Unknown("it hung up".into())));
        assert!(given.world.pushes[&push].settles, "it is looked for, never sent again");
        given.event(ended(push, PushResult::Pushed));
        assert!(given.world.pushes.is_empty());
        let hold = given.world.apps[&name("web")].hold.as_ref().unwrap();
        assert_eq!(hold.commits[0].result, Some(PushResult::Pushed));
    }

    #[test]
    fn what_an_earlier_run_may_have_sent_is_looked_for() {
        let (mut given, push) = pushing();
        given.starts(false);
        assert!(given.world.pushes[&push].settles);
    }

    #[test]
    fn a_further_try_takes_the_place_of_the_one_that_was_overtaken() {
        let (mut given, push) = pushing();
        given.event(ended(push, PushResult::Overtaken("fetch first".into())));
        let hold = given.world.apps[&name("web")].hold.as_ref().unwrap().seq;
        let again = PushIntendedV1 { app: name("web"), hold, commit: commit(8), ..intended() };
        given.event(PushIntendedV1 { attempt: 2, ..again });
        let held = &given.world.apps[&name("web")].hold.as_ref().unwrap().commits;
        let held: Vec<_> = held.iter().map(|held| (&held.commit, &held.result)).collect();
        assert_eq!(held, [(&commit(8), &None)]);
    }
}
