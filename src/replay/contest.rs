//! Contests: somebody else keeps changing what greffier keeps putting back.
//!
//! Every time that somebody undoes what greffier wrote is a *flip*: of a path, by a manager. The
//! fourth flip of one path by the same manager within a minute makes it a contest: it is named,
//! and from then on the path is put back after a wait that triples each time, so that two programs
//! that disagree do not keep the API server busy. Ten quiet minutes end it.
//!
//! Until a contest is named, everything is put back at once.
//!
//! Pure: the only times are those at which events were recorded.

use serde::{Deserialize, Serialize};

use super::application::App;
use super::world::{Touched, World};
use crate::ledger::event::{
    ContestEndedV1, ContestNamedV1, DriftDetectedV1, DriftKind, Event, FieldChange,
};
use crate::model::{ObjectKey, Seq, Timestamp, is_by_hand};

/// How many flips make a contest…
const FLIPS_NAMED: usize = 4;
/// …if they come within so long.
const WINDOW_MS: u64 = 60_000;
/// How long the first flip of a contest waits until it is put back; each next one three times as
/// long…
const WAIT_FIRST_MS: u64 = 2_000;
const WAIT_FACTOR: u64 = 3;
/// …and none longer than this.
const WAIT_LONGEST_MS: u64 = 300_000;
/// A contest is over when nothing flipped and nothing was put back for so long.
const QUIET_MS: u64 = 600_000;
/// Bound: how many paths of one object are followed. An object with more of them in contest is
/// put back at once, as before.
const RIVALS_MAX: usize = 100;

/// The path that stands for the object as a whole: it is deleted again and again.
pub const WHOLE_OBJECT: &str = "(the object)";
/// The path that stands for who owns which fields.
pub const OWNERSHIP: &str = "(field ownership)";

/// What somebody is called whom the object does not name. Whoever has the ledger at hand puts the
/// name in its place that is known by then.
pub const RIVAL_UNKNOWN: &str = "somebody unknown";

/// Somebody who changes a path that greffier puts back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    /// The path, as drift names it.
    pub path: String,
    /// The field manager; empty = unknown.
    pub manager: String,
    /// When it flipped lately, at most four times.
    flips: Vec<Timestamp>,
    /// The contest, once it is one.
    pub contest: Option<Contest>,
}

/// A contest over one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contest {
    /// The drift that made it a contest.
    pub since: Seq,
    /// The event that named it, once it is recorded.
    pub named: Option<Seq>,
    /// How many flips it has seen.
    pub flips: u32,
    /// When the last flip is put back.
    pub heals: Timestamp,
    /// When something happened in it last: a flip, or that it was put back.
    last: Timestamp,
}

impl Contest {
    fn new(since: Seq, now: Timestamp) -> Self {
        let heals = now.plus_ms(wait_ms(1));
        Self { since, named: None, flips: 1, heals, last: now }
    }

    fn flips_again(&mut self, now: Timestamp) {
        self.flips = self.flips.saturating_add(1);
        self.heals = now.plus_ms(wait_ms(self.flips));
        self.last = now;
    }

    /// How long its last flip waits until it is put back.
    #[must_use]
    pub fn wait_ms(&self) -> u32 {
        u32::try_from(wait_ms(self.flips)).unwrap_or(u32::MAX)
    }

    /// When it is over if nothing happens any more. What waits to be put back is no quiet.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.last.max(self.heals).plus_ms(QUIET_MS)
    }
}

/// How long the flip waits that is number `flip` of a contest.
fn wait_ms(flip: u32) -> u64 {
    let tripled = WAIT_FACTOR.saturating_pow(flip.saturating_sub(1));
    WAIT_FIRST_MS.saturating_mul(tripled).min(WAIT_LONGEST_MS)
}

impl Rival {
    /// Who it is, as far as the object itself says.
    #[must_use]
    pub fn who(&self) -> &str {
        if self.manager.is_empty() { RIVAL_UNKNOWN } else { &self.manager }
    }

    fn flips(&mut self, seq: Seq, now: Timestamp) {
        if self.contest.as_ref().is_some_and(|contest| contest.ends() <= now) {
            self.contest = None;
            self.flips.clear();
        }
        if let Some(contest) = &mut self.contest {
            return contest.flips_again(now);
        }
        self.flips.retain(|at| now.ms_since(*at) <= WINDOW_MS);
        self.flips.push(now);
        if self.flips.len() >= FLIPS_NAMED {
            self.flips.clear();
            self.contest = Some(Contest::new(seq, now));
        }
    }

    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.contest.is_none() && self.flips.iter().all(|at| now.ms_since(*at) > WINDOW_MS)
    }
}

/// The paths of a drift that are put back. What people add is, where the application is strict.
fn paths(kind: DriftKind, fields: &[FieldChange], strict: bool) -> Vec<&str> {
    match kind {
        DriftKind::Addition if !strict => Vec::new(),
        DriftKind::Drift | DriftKind::Addition => {
            fields.iter().map(|field| field.path.as_str()).collect()
        }
        DriftKind::Deleted => vec![WHOLE_OBJECT],
        DriftKind::OwnershipLost => vec![OWNERSHIP],
        DriftKind::None => Vec::new(),
    }
}

impl App {
    /// Counts the flips of a drift that was not known; `self.drift` is what was known before.
    pub(super) fn flipped(&mut self, seq: Seq, now: Timestamp, body: &DriftDetectedV1) {
        // What was changed and not put back yet was not flipped again.
        let (known, strict) = (self.drift.get(&body.key), self.spec.strict);
        let known = known.map_or_else(Vec::new, |known| paths(known.kind, &known.fields, strict));
        let flipped = paths(body.kind, &body.fields, strict).into_iter();
        let flipped: Vec<&str> = flipped.filter(|path| !known.contains(path)).collect();
        let mut managers: Vec<&str> = body.managers.iter().map(|m| m.manager.as_str()).collect();
        managers.sort_unstable();
        managers.dedup();
        if body.kind == DriftKind::Addition {
            // What programs add is left to them.
            managers.retain(|manager| is_by_hand(manager));
        } else if managers.is_empty() {
            managers.push("");
        }
        if flipped.is_empty() || managers.is_empty() {
            return;
        }
        let rivals = self.rivals.entry(body.key.clone()).or_default();
        rivals.retain(|rival| !rival.is_forgotten(now));
        for path in flipped {
            for manager in &managers {
                let is = |rival: &Rival| rival.path == path && rival.manager == *manager;
                if !rivals.iter().any(is) && rivals.len() < RIVALS_MAX {
                    let (path, manager) = (path.to_owned(), (*manager).to_owned());
                    rivals.push(Rival { path, manager, flips: Vec::new(), contest: None });
                }
                rivals.iter_mut().filter(|rival| is(rival)).for_each(|rival| rival.flips(seq, now));
            }
        }
    }

    /// The object was put back.
    pub(super) fn put_back(&mut self, key: &ObjectKey, now: Timestamp) {
        let rivals = self.rivals.get_mut(key).into_iter().flatten();
        for contest in rivals.filter_map(|rival| rival.contest.as_mut()) {
            contest.last = contest.last.max(now);
        }
    }

    /// The contests, by object.
    pub fn contests(&self) -> impl Iterator<Item = (&ObjectKey, &Rival, &Contest)> {
        let rivals =
            self.rivals.iter().flat_map(|(key, rivals)| rivals.iter().map(move |r| (key, r)));
        rivals.filter_map(|(key, rival)| Some((key, rival, rival.contest.as_ref()?)))
    }

    /// The contest that a drift of `key` waits for before it is put back: only where every path
    /// of it is in a contest, because what else somebody changed is put back at once.
    #[must_use]
    pub fn waits_in_contest(&self, key: &ObjectKey) -> Option<(&Rival, &Contest)> {
        let drift = self.drift.get(key)?;
        let rivals = self.rivals.get(key)?;
        let contest_of = |path: &str| {
            let of_path = rivals.iter().filter(|rival| rival.path == path);
            let contests = of_path.filter_map(|rival| Some((rival, rival.contest.as_ref()?)));
            contests.max_by_key(|(_, contest)| contest.heals)
        };
        let paths = paths(drift.kind, &drift.fields, self.spec.strict);
        let contests: Option<Vec<_>> = paths.into_iter().map(contest_of).collect();
        contests?.into_iter().max_by_key(|(_, contest)| contest.heals)
    }

    /// When time alone changes something about a contest of the application.
    pub fn contest_deadlines(&self) -> impl Iterator<Item = Timestamp> {
        self.contests().flat_map(|(_, _, contest)| [contest.heals, contest.ends()])
    }
}

impl World {
    pub(super) fn contest(&mut self, seq: Seq, event: &Event) -> Touched {
        match event {
            Event::ContestNamed(body) => self.contest_named(seq, body),
            Event::ContestEnded(body) => self.contest_ended(body),
            // The fold's own match is the exhaustive one.
            _ => Touched::nothing(),
        }
    }

    fn contest_named(&mut self, seq: Seq, body: &ContestNamedV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        let rivals = app.rivals.get_mut(&body.key).into_iter().flatten();
        for rival in rivals.filter(|r| r.path == body.path && r.manager == body.manager) {
            if let Some(contest) = &mut rival.contest {
                contest.named = Some(seq);
            }
        }
        Touched::nothing()
    }

    fn contest_ended(&mut self, body: &ContestEndedV1) -> Touched {
        let Some(app) = self.apps.get_mut(&body.app) else { return Touched::nothing() };
        let Some(rivals) = app.rivals.get_mut(&body.key) else { return Touched::nothing() };
        // One that went on meanwhile is none that ended.
        let now = self.now;
        rivals.retain(|rival| {
            let named = rival.path == body.path && rival.manager == body.manager;
            !(named && rival.contest.as_ref().is_some_and(|contest| contest.ends() <= now))
        });
        if rivals.is_empty() {
            app.rivals.remove(&body.key);
        }
        Touched::app(&body.app)
    }
}
