//! Events that the fold takes together, told apart: the fold's own match is the exhaustive one.

use super::world::{Touched, World};
use crate::ledger::event::Event;
use crate::model::Seq;

impl World {
    pub(super) fn heard(&mut self, event: &Event) -> Touched {
        match event {
            Event::FetchRecovered(body) => self.fetch_recovered(&body.repo),
            Event::FetchUnchanged(body) => self.fetch_recovered(&body.repo),
            _ => Touched::nothing(),
        }
    }

    pub(super) fn waiting(&mut self, event: &Event) -> Touched {
        match event {
            Event::RemovalAwaited(body) => self.removal_awaited(body),
            Event::WritesSuspended(body) => self.writes_suspended(body),
            _ => Touched::nothing(),
        }
    }

    pub(super) fn ignoring(&mut self, seq: Seq, event: &Event) -> Touched {
        match event {
            Event::IgnoreChecked(body) => self.ignore_checked(body),
            Event::IgnoreFailed(body) => self.ignore_failed(seq, body),
            _ => Touched::nothing(),
        }
    }

    pub(super) fn reached(&mut self, event: &Event) -> Touched {
        match event {
            Event::ClusterLost(body) => self.cluster_lost(&body.error),
            Event::ClusterFound(_) => self.cluster_found(),
            _ => Touched::nothing(),
        }
    }
}
