//! The newest instant at which an application was Healthy and Synced, nobody held it, and it asked
//! for something else than it does now: `last-healthy`.
//!
//! [`stretches`] reads from the ledger when it was Healthy; whether it was Synced then is what the
//! plan says of the world as of then, which [`choose`] asks for, the newest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::book::Book;
use crate::ledger::event::{DriftKind, Event, Health};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, CommitId, Digest, Seq};
use crate::plan::Sync;

/// How a person names it.
pub const LAST_HEALTHY: &str = "last-healthy";

/// Bound: how many events of the application are looked at, the newest first.
const EVENTS_MAX: usize = 50_000;
/// How many positions are looked up at a time.
const CHUNK: usize = 256;
/// Bound: at how many instants it is looked whether it was Synced.
const ASKED_MAX: usize = 12;
/// How many stretches that are passed over are told.
const PASSED_MAX: usize = 5;

/// What is in force: the inputs of the render, and its commit.
type Render = (Digest, CommitId);

/// What is known of the application while its events are gone through in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Walk {
    healthy: bool,
    /// Whether its last sync had ended well.
    ended: bool,
    /// The render that is in force.
    render: Option<Render>,
    /// The one that Git asks for.
    git: Option<Render>,
    /// The event that began its hold.
    held: Option<Seq>,
}

/// A stretch of history in which the application was Healthy with one render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    from: Seq,
    to: Seq,
    render: Render,
    ended: bool,
    held: Option<Seq>,
    /// Right before somebody changed something of it.
    before_drift: Vec<Seq>,
}

impl Stretch {
    /// Where it is looked, the newest first.
    fn points(&self) -> Vec<Seq> {
        let (first, last) = (self.before_drift.first(), self.before_drift.last());
        let all = [Some(&self.to), last, first, Some(&self.from)];
        let mut points: Vec<Seq> = all.into_iter().flatten().copied().collect();
        points.dedup();
        points
    }

    fn told(&self, why: &str) -> String {
        let (from, to, commit) = (self.from, self.to, self.render.1.short());
        format!("#{from} to #{to}, Healthy with commit {commit}: {why}")
    }
}

impl Walk {
    fn fold(&mut self, seq: Seq, event: &Event) {
        match event {
            Event::AppHealthChanged(body) => self.healthy = body.now == Health::Healthy,
            Event::SyncFinished(body) => self.ended = body.succeeded,
            Event::RenderSucceeded(body) => {
                self.git = Some((body.inputs, body.revision.commit.clone()));
                if self.held.is_none() {
                    (self.render, self.ended) = (self.git.clone(), false);
                }
            }
            // What a rule decided before somebody held it counts for nothing.
            Event::AppHeld(body) if body.automatic.is_some() && self.held.is_some() => {}
            Event::AppHeld(body) => {
                let render = (body.desired.inputs, body.desired.revision.commit.clone());
                (self.held, self.render, self.ended) = (Some(seq), Some(render), false);
            }
            Event::AppHoldEnded(_) => {
                (self.held, self.render, self.ended) = (None, self.git.clone(), false);
            }
            Event::AppRemoved(_) => *self = Self::default(),
            _ => {}
        }
    }
}

/// Whether an event says something about it.
fn tells(recorded: &Recorded, app: &AppName) -> bool {
    match &recorded.event {
        Some(Event::AppHealthChanged(body)) => body.app == *app,
        Some(Event::SyncFinished(body)) => body.app == *app,
        Some(Event::RenderSucceeded(body)) => body.app == *app,
        Some(Event::AppHeld(body)) => body.app == *app,
        Some(Event::AppHoldEnded(body)) => body.app == *app,
        Some(Event::AppRemoved(body)) => body.app == *app,
        Some(Event::DriftDetected(body)) => {
            body.app == *app && matches!(body.kind, DriftKind::Drift | DriftKind::Deleted)
        }
        _ => false,
    }
}

/// When the application was Healthy, as far as its last events tell, the newest first.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn stretches(book: &dyn Book, app: &AppName) -> Result<Vec<Stretch>, ledger::Error> {
    let mut events: Vec<Arc<Recorded>> = Vec::new();
    let (mut before, mut looked) = (book.head().next(), 0);
    while looked < EVENTS_MAX {
        let found = book.find_before(SubjectKey::app(app.as_str()), before, CHUNK);
        let Some(last) = found.last() else { break };
        before = *last;
        looked += found.len();
        for seq in found {
            events.extend(book.get(seq)?.filter(|recorded| tells(recorded, app)));
        }
    }
    let (mut walk, mut since, mut drifts) = (Walk::default(), Seq::ZERO, Vec::new());
    let mut found = Vec::new();
    let mut over = |walk: &Walk, from: Seq, to: Seq, before_drift: Vec<Seq>| {
        if let (Some(render), true) = (walk.render.clone(), walk.healthy) {
            let (ended, held) = (walk.ended, walk.held);
            found.push(Stretch { from, to, render, ended, held, before_drift });
        }
    };
    for recorded in events.iter().rev() {
        let (seq, Some(event)) = (recorded.seq(), &recorded.event) else { continue };
        let last = Seq(seq.0.saturating_sub(1));
        if let Event::DriftDetected(_) = event {
            drifts.push(last);
            continue;
        }
        let mut next = walk.clone();
        next.fold(seq, event);
        if next != walk {
            over(&walk, since, last, std::mem::take(&mut drifts));
            (walk, since) = (next, seq);
        }
    }
    over(&walk, since, book.head(), drifts);
    found.reverse();
    Ok(found)
}

/// What comes next in the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It has to be known whether it was Synced as of that event.
    Ask(Seq),
    /// It is over.
    Over(Choice),
}

/// How the search ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The last event of the instant; `None` = there was none.
    pub found: Option<Seq>,
    /// The commit that was in force.
    pub commit: Option<CommitId>,
    /// What came after it and is not it, and why, the newest first.
    pub passed: Vec<String>,
}

impl Choice {
    /// What was chosen and what was passed over, for people.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let (Some(seq), Some(commit)) = (self.found, &self.commit) else { return Vec::new() };
        let chosen = format!(
            "{LAST_HEALTHY} is #{seq}: the last instant at which it was Healthy and Synced and \
             nobody held it, with something else than now (commit {})",
            commit.short()
        );
        let passed = self.passed.iter().take(PASSED_MAX);
        let mut notes: Vec<String> = std::iter::once(chosen)
            .chain(passed.map(|passed| format!("passed over: {passed}")))
            .collect();
        if let more @ 1.. = self.passed.len().saturating_sub(PASSED_MAX) {
            notes.push(format!("passed over: {more} more before these"));
        }
        notes
    }
}

/// Goes through the stretches, the newest first, for the instant that is meant. `present` are the
/// inputs that are asked for now; `known` is whether it was Synced, as far as that was asked for.
#[must_use]
pub fn choose(stretches: &[Stretch], present: &[Digest], known: &BTreeMap<Seq, Sync>) -> Next {
    let mut choice = Choice::default();
    // Between a render and the end of its sync is no matter where that ended well.
    let ended =
        |render: &Render| stretches.iter().any(|other| other.ended && other.render == *render);
    for stretch in stretches {
        if let Some(hold) = stretch.held {
            choice.passed.push(stretch.told(&format!("held, by hold #{hold}")));
            continue;
        }
        if present.contains(&stretch.render.0) {
            continue;
        }
        if !stretch.ended {
            if !ended(&stretch.render) {
                choice.passed.push(stretch.told("its sync had not ended well"));
            }
            continue;
        }
        let mut sync = Sync::Unknown;
        for point in stretch.points() {
            sync = match known.get(&point) {
                Some(sync) => *sync,
                None if known.len() >= ASKED_MAX => return Next::Over(choice),
                None => return Next::Ask(point),
            };
            if sync == Sync::Synced {
                (choice.found, choice.commit) = (Some(point), Some(stretch.render.1.clone()));
                return Next::Over(choice);
            }
        }
        choice.passed.push(stretch.told(sync.as_str()));
    }
    Next::Over(choice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::ledger::event::{AppHealthChangedV1, AppHoldEndedV1, HoldEnd, SyncFinishedV1};
    use crate::plan::{Compared, plan};
    use crate::query::fixture::Story;
    use crate::replay::World;
    use crate::replay::testing::{Given, name, object};

    /// The events of `given` in a ledger of their own, whose first event is another.
    fn recorded(given: &Given) -> Ledger {
        let mut story = Story::empty();
        for (.., event) in &given.events {
            story.event(event.clone());
        }
        story.ledger
    }

    /// The world as of an event of `given`.
    fn world_at(given: &Given, last: Seq) -> World {
        let mut world = World::default();
        for (seq, time, event) in given.events.iter().filter(|(seq, ..)| *seq <= last) {
            let _ = world.apply(*seq, *time, event);
        }
        world
    }

    fn health(given: &mut Given, now: Health) {
        let was = given.world.apps[&name("web")].health;
        let (app, message) = (name("web"), String::new());
        given.event(AppHealthChangedV1 { app, was, now, message });
    }

    fn choice(given: &Given) -> Choice {
        let app = &given.world.apps[&name("web")];
        let present: Vec<Digest> =
            [app.of_git(), app.desired.as_ref()].into_iter().flatten().map(|d| d.inputs).collect();
        let ledger = recorded(given);
        let stretches = stretches(&ledger, &name("web")).unwrap();
        let mut known = BTreeMap::new();
        let choice = loop {
            match choose(&stretches, &present, &known) {
                Next::Over(choice) => break choice,
                Next::Ask(seq) => {
                    let world = world_at(given, Seq(seq.0 - 1));
                    let planned = plan(&world, &name("web"), &given.limits, &Compared::new());
                    assert_eq!(known.insert(seq, planned.unwrap().sync), None, "asked twice");
                }
            }
        };
        ledger.shutdown();
        choice
    }

    fn found(given: &Given) -> Option<u64> {
        choice(given).found.map(|seq| seq.0 - 1)
    }

    fn deploys(given: &mut Given, number: u64) {
        given.push(number);
        given.renders("web", vec![object("ConfigMap/prod/a", number)]);
        given.syncs("web");
    }

    #[test]
    fn it_is_the_last_instant_before_something_else_that_was_healthy_and_synced() {
        let mut given = Given::synced(vec![object("ConfigMap/prod/a", 1)]);
        assert_eq!(found(&given), None, "never healthy");
        health(&mut given, Health::Healthy);
        given.finishes("web");
        assert_eq!(found(&given), None, "that is the present state");
        let well = given.seq().0;
        deploys(&mut given, 2);
        // The commit and then the render came after it.
        assert_eq!(found(&given), Some(well + 1));
        health(&mut given, Health::Degraded);
        given.finishes("web");
        assert_eq!(found(&given), Some(well + 1));
        // Another commit that is no better: still the first.
        deploys(&mut given, 3);
        given.finishes("web");
        let third = given.seq().0;
        assert!(third > well && found(&given) == Some(well + 1));
        // Healthy and never finished is not synced.
        health(&mut given, Health::Healthy);
        deploys(&mut given, 4);
        let fourth = found(&given).unwrap();
        assert!(fourth > third, "the third was well in the end: {fourth}");
    }

    #[test]
    fn what_is_held_is_what_was_in_force() {
        let mut given = Given::synced(vec![object("ConfigMap/prod/a", 1)]);
        health(&mut given, Health::Healthy);
        given.finishes("web");
        let (then, well) = (given.world.clone(), given.seq().0);
        deploys(&mut given, 2);
        health(&mut given, Health::Degraded);
        let hold = given.rolls_back("web", &then);
        given.syncs("web");
        given.finishes("web");
        health(&mut given, Health::Healthy);
        // Git goes on and is not in force: it was never well.
        given.push(3);
        given.renders("web", vec![object("ConfigMap/prod/a", 3)]);
        assert_eq!(found(&given), None, "what is held is the only thing that was ever well");
        let (app, end) = (name("web"), HoldEnd::Released);
        given.event(AppHoldEndedV1 { app, hold, end, holds: Vec::new() });
        // What was held is passed over, and what was there by itself before is it.
        let chosen = choice(&given);
        assert_eq!(chosen.found.map(|seq| seq.0 - 1), Some(well + 1));
        assert!(
            chosen.passed[0].ends_with(&format!("held, by hold #{}", hold.0 + 1)),
            "{chosen:?}"
        );
        let notes = chosen.notes();
        assert!(notes[0].contains("the last instant") && notes[1].contains("passed over"));
        let failed = SyncFinishedV1 {
            app: name("web"),
            commit: given.revision().commit,
            succeeded: false,
            message: String::new(),
            counts: (0, 0, 0),
            request: None,
            approval: None,
        };
        given.event(failed);
        assert_eq!(found(&given), Some(well + 1));
    }

    /// Goal: Healthy is not enough: what somebody had changed and was left so, or what the policy
    /// leaves, was not as Git says.
    #[test]
    fn an_instant_at_which_it_was_out_of_sync_is_passed_over() {
        let one = |number| object("ConfigMap/prod/a", number);
        let mut given = Given::app("web", serde_json::json!({"automated": {"prune": true}}));
        given.renders("web", vec![one(1)]);
        given.syncs("web");
        health(&mut given, Health::Healthy);
        given.finishes("web");
        let well = given.seq().0;
        deploys(&mut given, 2);
        given.finishes("web");
        let second = given.seq().0;
        // Nobody heals it.
        given.sees("ConfigMap/prod/a");
        given.finds("web", "ConfigMap/prod/a", DriftKind::Drift);
        let drifted = given.seq().0;
        deploys(&mut given, 3);
        given.finishes("web");
        let at = found(&given).unwrap();
        assert!(second <= at && at < drifted, "{second} {at} {drifted}: before it was changed");
        assert!(at > well);
    }

    /// Goal: the search ends, and what it asks for is bounded.
    #[test]
    fn no_more_than_so_many_instants_are_looked_at() {
        let stretch = |n: u64| Stretch {
            from: Seq(n * 10),
            to: Seq(n * 10 + 5),
            render: (Digest::of(&n.to_le_bytes()), crate::replay::testing::commit(n)),
            ended: true,
            held: None,
            before_drift: Vec::new(),
        };
        let stretches: Vec<Stretch> = (1..100).rev().map(stretch).collect();
        let mut known = BTreeMap::new();
        let choice = loop {
            match choose(&stretches, &[], &known) {
                Next::Ask(seq) => known.insert(seq, Sync::OutOfSync),
                Next::Over(choice) => break choice,
            };
        };
        assert_eq!((choice.found, known.len()), (None, ASKED_MAX));
    }
}
