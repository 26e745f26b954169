//! The newest instant at which an application was Healthy and Synced and asked for something else
//! than it does now: `last-healthy`.

use std::sync::Arc;

use super::super::book::Book;
use super::super::instant::At;
use crate::ledger::event::{Event, Health};
use crate::ledger::store::SubjectKey;
use crate::ledger::{self, Recorded};
use crate::model::{AppName, Digest, Seq};

/// How a person names it.
pub const LAST_HEALTHY: &str = "last-healthy";

/// Bound: how many events of the application are looked at, the newest first.
const EVENTS_MAX: usize = 50_000;
/// How many positions are looked up at a time.
const CHUNK: usize = 256;

/// What is known of the application while its events are gone through in order.
#[derive(Default)]
struct Walk {
    healthy: bool,
    synced: bool,
    /// The inputs of the render that is in force.
    inputs: Option<Digest>,
    /// Those of the render that Git asks for.
    git: Option<Digest>,
    held: bool,
}

impl Walk {
    /// The inputs with which all is well.
    fn well(&self) -> Option<Digest> {
        self.inputs.filter(|_| self.healthy && self.synced)
    }

    fn fold(&mut self, event: &Event) {
        match event {
            Event::AppHealthChanged(body) => self.healthy = body.now == Health::Healthy,
            Event::SyncFinished(body) => self.synced = body.succeeded,
            Event::RenderSucceeded(body) => {
                self.git = Some(body.inputs);
                if !self.held {
                    (self.inputs, self.synced) = (self.git, false);
                }
            }
            Event::AppHeld(body) => {
                (self.held, self.inputs, self.synced) = (true, Some(body.desired.inputs), false);
            }
            Event::AppHoldEnded(_) => {
                (self.held, self.inputs, self.synced) = (false, self.git, false);
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
        _ => false,
    }
}

/// The last instant at which the application was Healthy and every object as it was to be, with
/// other inputs than those in `present`. `None` when there was none among its last events.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn last_healthy(
    book: &dyn Book,
    app: &AppName,
    present: &[Digest],
) -> Result<Option<At>, ledger::Error> {
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
    let (mut walk, mut found) = (Walk::default(), None::<Seq>);
    for recorded in events.iter().rev() {
        let well = walk.well();
        if let Some(event) = &recorded.event {
            walk.fold(event);
        }
        let other = well.filter(|inputs| !present.contains(inputs));
        if other.is_some() && walk.well() != well {
            found = Some(Seq(recorded.seq().0 - 1));
        }
    }
    // What is well now asks for what it does now, unless something else came meanwhile.
    if walk.well().is_some_and(|inputs| !present.contains(&inputs)) {
        found = Some(book.head());
    }
    let Some(seq) = found else { return Ok(None) };
    let time = book.get(seq)?.map(|recorded| recorded.envelope.recorded).unwrap_or_default();
    Ok(Some(At { seq, time, timed: false, what: LAST_HEALTHY.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::ledger::event::{AppHealthChangedV1, AppHoldEndedV1, HoldEnd, SyncFinishedV1};
    use crate::query::fixture::Story;
    use crate::replay::testing::{Given, name, object};

    /// The events of `given` in a ledger of their own, whose first event is another.
    fn recorded(given: &Given) -> Ledger {
        let mut story = Story::empty();
        for (.., event) in &given.events {
            story.event(event.clone());
        }
        story.ledger
    }

    fn health(given: &mut Given, now: Health) {
        let was = given.world.apps[&name("web")].health;
        let (app, message) = (name("web"), String::new());
        given.event(AppHealthChangedV1 { app, was, now, message });
    }

    fn found(given: &Given) -> Option<u64> {
        let app = &given.world.apps[&name("web")];
        let present: Vec<Digest> =
            [app.of_git(), app.desired.as_ref()].into_iter().flatten().map(|d| d.inputs).collect();
        let ledger = recorded(given);
        let at = last_healthy(&ledger, &name("web"), &present).unwrap();
        ledger.shutdown();
        at.map(|at| at.seq.0 - 1)
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
        let released = given.seq().0;
        assert_eq!(found(&given), Some(released - 1));
        assert!(released > well);
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
        assert_eq!(found(&given), Some(released - 1));
    }
}
