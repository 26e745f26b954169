//! What is said, and when: as soon as it is known, again when it turns out otherwise, and at last
//! that it is not known.

use super::judge::Judgement;
use super::observation::{State, Told};
use super::{LAG_MS, Machine, OBSERVED_MAX, WAIT_MS, minus};
use crate::ledger::Draft;
use crate::ledger::event::{AuditGapSuspectedV1, Verdict};
use crate::model::{Seq, Timestamp};

impl Machine {
    /// When something is to be decided although nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let (at, _) = self.open.first()?;
        Some((*at).max(self.started).plus_ms(WAIT_MS))
    }

    /// What was recorded up to then is not waited for any more. After a start the records of
    /// before it are still to be read: the wait begins anew.
    pub(super) fn over(&self) -> Timestamp {
        let over = minus(self.now, WAIT_MS);
        if over < self.started { self.over_at_start } else { over }
    }

    /// Decides what can be decided `now`: what is to be recorded.
    pub fn settle(&mut self, now: Timestamp) -> Vec<Draft> {
        self.now = self.now.max(now);
        let mut drafts = Vec::new();
        for seq in std::mem::take(&mut self.dirty) {
            drafts.extend(self.decide(seq));
        }
        let over = self.over();
        while let Some((at, seq)) = self.open.first().copied().filter(|(at, _)| *at <= over) {
            self.open.remove(&(at, seq));
            drafts.extend(self.give_up(seq, None));
        }
        while self.observed.len() > OBSERVED_MAX {
            let Some((seq, observation)) = self.observed.iter().next() else { break };
            let (seq, waiting) = (*seq, matches!(observation.state, State::Open));
            if waiting && self.reading.on {
                drafts.extend(self.give_up(seq, Some("too many other changes waited with it")));
            }
            self.forget(seq);
        }
        self.forget_old(over);
        drafts
    }

    fn decide(&mut self, seq: Seq) -> Option<Draft> {
        let observation = self.observed.get(&seq)?;
        // A deletion may turn out to be somebody else's: the API server says "deleted" to both.
        let was_own = matches!(observation.state, State::Own(_));
        let deletes = observation.nature.deletes();
        if was_own && !deletes || matches!(observation.state, State::Settled) {
            return None;
        }
        let judgement = self.judge(observation);
        let at = observation.recorded;
        let told = match &observation.state {
            State::Told(told) => Some(told.clone()),
            _ => None,
        };
        match judgement {
            Judgement::Wait => None,
            Judgement::Own(own) if told.is_none() && !was_own => {
                self.settle_as(seq, at, State::Own(own));
                None
            }
            Judgement::Own(_) => None,
            Judgement::Unrecorded if told.is_none() && !was_own => {
                self.settle_as(seq, at, State::Settled);
                None
            }
            Judgement::Unrecorded => None,
            Judgement::Found(finding) => {
                let replaces = match &told {
                    // It is corrected when it has come back with its number.
                    Some(told) if told.seq.is_none() || told.says(&finding) => return None,
                    Some(told) => told.seq.map(|seq| (seq, told.verdict)),
                    None => None,
                };
                let waiting = at > self.over() && finding.verdict > Verdict::Exact;
                let body = observation.resolved(finding, replaces, waiting);
                self.settle_as(seq, at, State::Told(Told::of(&body, None)));
                Some(Draft::new(body).caused_by(seq))
            }
        }
    }

    fn settle_as(&mut self, seq: Seq, at: Timestamp, state: State) {
        self.open.remove(&(at, seq));
        if let Some(observation) = self.observed.get_mut(&seq) {
            observation.state = state;
        }
    }

    /// Nothing more is waited for.
    fn give_up(&mut self, seq: Seq, why: Option<&str>) -> Option<Draft> {
        let observation = self.observed.get(&seq)?;
        let at = observation.recorded;
        let draft = match self.guess(observation, why) {
            Some(finding) => {
                Some(Draft::new(observation.resolved(finding, None, false)).caused_by(seq))
            }
            None if self.reading.on && observation.is_expected() => {
                let gap = AuditGapSuspectedV1 {
                    observation: seq,
                    key: observation.key.clone(),
                    waited_ms: self.now.ms_since(at),
                    why: self.incomplete(observation).unwrap_or_else(|| {
                        "records of that time were read, and none is of this change".to_owned()
                    }),
                };
                Some(Draft::new(gap).caused_by(seq))
            }
            None => None,
        };
        self.settle_as(seq, at, State::Settled);
        draft
    }

    fn forget_old(&mut self, over: Timestamp) {
        while let Some((seq, observation)) = self.observed.iter().next() {
            let (seq, waits) = (*seq, matches!(observation.state, State::Open));
            let needless = !self.reading.on && !waits;
            if observation.recorded > over && !needless {
                break;
            }
            if waits {
                break;
            }
            self.forget(seq);
        }
        self.records.forget(minus(over, LAG_MS));
    }

    fn forget(&mut self, seq: Seq) {
        let Some(observation) = self.observed.remove(&seq) else { return };
        self.open.remove(&(observation.recorded, seq));
        self.dirty.remove(&seq);
        if let Some(chain) = self.chains.get_mut(&observation.key) {
            chain.retain(|other| *other != seq);
            if chain.is_empty() {
                self.chains.remove(&observation.key);
            }
        }
        if let Some(dependents) = self.dependents.get_mut(&observation.owner) {
            dependents.retain(|other| *other != seq);
            if dependents.is_empty() {
                self.dependents.remove(&observation.owner);
            }
        }
    }
}
