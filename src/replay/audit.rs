//! How far the API server's audit was read, and what was recorded of it lately.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::world::{Touched, World};
use crate::ledger::event::{AuditReadV1, AuditReceivedV1, AuditTrouble, AuditTroubledV1, Event};
use crate::model::{Digest, Seq, Timestamp};

/// Bound: how many recorded requests are known again. More than are ever appended at once, so
/// that a crash in the middle doubles nothing.
const RECENT_MAX: usize = 8_192;
/// Bound: how many sources are remembered.
const SOURCES_MAX: usize = 16;

/// What tells a request from every other one, in short.
pub type Mark = [u8; 16];

/// Where audit records come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSource {
    /// The file that was read last: device and inode; zero for the webhook.
    pub file: (u64, u64),
    /// The offset behind the last whole line.
    pub offset: u64,
    /// The event that says so; zero while nothing was read.
    pub read: Seq,
    /// When that was recorded.
    pub at: Timestamp,
    /// The end of the newest request that was read.
    pub newest: Option<Timestamp>,
    /// How many records were read in all.
    pub records: u64,
    /// How many of them were recorded.
    pub recorded: u64,
    /// How many had been recorded before.
    pub duplicates: u64,
    /// How many wrote to something of an unknown kind.
    pub unknown: u64,
    /// Why it cannot be read, while it cannot.
    pub unreadable: Option<String>,
    /// The last trouble besides: what, in words, how often, and when it was recorded.
    pub trouble: Option<(AuditTrouble, String, u64, Timestamp)>,
}

/// What is known of the API server's audit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditState {
    /// Each source by its name: a file's path, or `webhook`.
    pub sources: BTreeMap<String, AuditSource>,
    /// What was recorded lately, oldest first, at most [`RECENT_MAX`].
    recent: VecDeque<Mark>,
    /// The same, in order.
    marks: BTreeSet<Mark>,
}

impl AuditState {
    /// What tells a request from every other one: all that the API server says of it together.
    /// Its audit id is chosen by the client and is not enough.
    #[must_use]
    pub fn mark(event: &AuditReceivedV1) -> Mark {
        let AuditReceivedV1 { audit_id, verb, key, subresource, user, source_ip, .. } = event;
        let name = if verb == "deletecollection" { key.name() } else { "" };
        let numbers = (event.received.0, event.completed.0, event.code);
        let text = format!(
            "{audit_id:?} {verb:?} {:?} {:?} {:?} {name:?} {subresource:?} {:?} {source_ip:?} {numbers:?}",
            key.group(),
            key.kind(),
            key.namespace(),
            user.name
        );
        let digest = Digest::of(text.as_bytes());
        let mut mark = Mark::default();
        mark.iter_mut().zip(digest.0).for_each(|(own, byte)| *own = byte);
        mark
    }

    /// Whether the request was recorded lately.
    #[must_use]
    pub fn has(&self, mark: &Mark) -> bool {
        self.marks.contains(mark)
    }

    /// Takes an event over, apart from when it was recorded.
    pub fn note(&mut self, event: &Event) {
        self.fold(Seq(1), Timestamp::default(), event);
    }

    fn fold(&mut self, seq: Seq, recorded: Timestamp, event: &Event) {
        match event {
            Event::AuditReceived(body) => self.received(body),
            Event::AuditRead(body) => self.read(seq, recorded, body),
            Event::AuditTroubled(body) => self.troubled(recorded, body),
            _ => {}
        }
    }

    fn received(&mut self, body: &AuditReceivedV1) {
        let mark = Self::mark(body);
        if self.marks.insert(mark) {
            self.recent.push_back(mark);
        }
        while self.recent.len() > RECENT_MAX {
            if let Some(oldest) = self.recent.pop_front() {
                self.marks.remove(&oldest);
            }
        }
    }

    fn source(&mut self, name: &str) -> &mut AuditSource {
        if !self.sources.contains_key(name) && self.sources.len() >= SOURCES_MAX {
            let stale = self.sources.iter().min_by_key(|(_, source)| source.at);
            if let Some(name) = stale.map(|(name, _)| name.clone()) {
                self.sources.remove(&name);
            }
        }
        self.sources.entry(name.to_owned()).or_default()
    }

    fn read(&mut self, seq: Seq, recorded: Timestamp, body: &AuditReadV1) {
        let source = self.source(&body.source);
        (source.file, source.offset) = (body.file, body.offset);
        (source.read, source.at) = (seq, recorded);
        source.newest = source.newest.max(body.newest);
        source.records += body.records;
        source.recorded += body.recorded;
        source.duplicates += body.duplicates;
        source.unknown += body.unknown;
    }

    fn troubled(&mut self, recorded: Timestamp, body: &AuditTroubledV1) {
        let source = self.source(&body.source);
        match body.trouble {
            AuditTrouble::Over => source.unreadable = None,
            AuditTrouble::Unreadable => source.unreadable = Some(body.what.clone()),
            trouble => {
                source.trouble = Some((trouble, body.what.clone(), body.count, recorded));
            }
        }
    }
}

impl World {
    /// What the API server's audit told. Who did something decides nothing about what is done.
    pub(super) fn audited(&mut self, seq: Seq, recorded: Timestamp, event: &Event) -> Touched {
        self.attributed.fold(event);
        self.audit.fold(seq, recorded, event);
        Touched::nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples::received;

    fn numbered(number: u64) -> AuditReceivedV1 {
        AuditReceivedV1 { audit_id: number.to_string(), ..received() }
    }

    #[test]
    fn a_request_is_known_again_until_many_others_came() {
        let mut state = AuditState::default();
        for number in 0..RECENT_MAX as u64 + 1 {
            state.note(&numbered(number).into());
            state.note(&numbered(number).into());
        }
        assert!(!state.has(&AuditState::mark(&numbered(0))));
        assert!(state.has(&AuditState::mark(&numbered(1))));
        assert_eq!((state.recent.len(), state.marks.len()), (RECENT_MAX, RECENT_MAX));
    }

    /// A client that sends somebody else's audit id does not hide its own write.
    #[test]
    fn a_copied_audit_id_makes_no_duplicate() {
        let mut state = AuditState::default();
        state.note(&received().into());
        let mut forged = received();
        forged.user.name = "mallory".into();
        assert!(!state.has(&AuditState::mark(&forged)));
        let later = AuditReceivedV1 { completed: Timestamp(1), ..received() };
        assert!(!state.has(&AuditState::mark(&later)));
        // The same request, of which one source tells less.
        let less = AuditReceivedV1 { resource_version: String::new(), ..received() };
        assert!(state.has(&AuditState::mark(&less)));
    }

    #[test]
    fn a_source_is_readable_again_when_that_is_over() {
        let mut state = AuditState::default();
        let trouble = |trouble, what: &str| AuditTroubledV1 {
            source: "f".into(),
            trouble,
            what: what.into(),
            count: 2,
        };
        state.note(&trouble(AuditTrouble::Unreadable, "gone").into());
        assert_eq!(state.sources["f"].unreadable.as_deref(), Some("gone"));
        state.note(&trouble(AuditTrouble::Malformed, "not JSON").into());
        state.note(&trouble(AuditTrouble::Over, "").into());
        let source = &state.sources["f"];
        assert_eq!(source.unreadable, None);
        assert!(matches!(source.trouble, Some((AuditTrouble::Malformed, _, 2, _))));
    }
}
