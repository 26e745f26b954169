//! Rollbacks that nobody asks for: what the rule of an application says about a bad revision.

use std::collections::BTreeSet;

use super::{Command, Machine};
use crate::ledger::Draft;
use crate::ledger::event::{
    AppHeldV1, AutoRollback, AutoRollbackRefusedV1, Event, HeldRender, RollbackCause,
};
use crate::model::AppName;
use crate::plan::{self, Compared, Plan};
use crate::replay::{App, World};

/// How the instant is named, as people name it.
const LAST_HEALTHY: &str = "last-healthy";

impl Machine {
    /// Rolls an application back by itself, or says once why it is not.
    pub(super) fn roll_back(
        &self,
        world: &World,
        (name, app): (&AppName, &App),
        plan: &Plan,
        compared: &Compared,
    ) -> Option<Command> {
        // What is not told yet is told first.
        let from = world.why_rolled_back(app).filter(|_| plan.health == app.health)?;
        let causes: BTreeSet<_> = from.health.into_iter().chain([from.render]).collect();
        let draft = |event: Event| causes.iter().copied().fold(Draft::new(event), Draft::caused_by);
        if app.trials.trial.as_ref().is_some_and(|trial| trial.again) {
            let once =
                "it was rolled back from before and came again: that is done once".to_owned();
            return Some(Command::Append(vec![draft(refused(name, from, vec![once]))]));
        }
        let Some(well) = &app.trials.well else {
            let nothing = "no earlier render of it was Healthy and as Git says".to_owned();
            return Some(Command::Append(vec![draft(refused(name, from, vec![nothing]))]));
        };
        let event = Event::from(AppHeldV1 {
            app: name.clone(),
            tree: None,
            to: well.to,
            at: well.at,
            said: LAST_HEALTHY.to_owned(),
            desired: HeldRender::from(&well.desired),
            left: Vec::new(),
            images: Vec::new(),
            approves: None,
            until: None,
            reason: reason(&from),
            automatic: Some(Box::new(from.clone())),
        });
        let exceeds = self.exceeds(world, name, &event, compared);
        if exceeds.is_empty() {
            return Some(Command::RollBack(Box::new(draft(event))));
        }
        Some(Command::Append(vec![draft(refused(name, from, exceeds))]))
    }

    /// Which of its deletions would wait for a person.
    fn exceeds(
        &self,
        world: &World,
        name: &AppName,
        event: &Event,
        compared: &Compared,
    ) -> Vec<String> {
        let mut then = world.clone();
        let (seq, now) = (world.seq.next(), world.now);
        let _ = then.apply(seq, now, event);
        let gate = plan::plan(&then, name, &self.limits, compared).and_then(|plan| plan.gate);
        let reasons = gate.into_iter().flat_map(|gate| gate.reasons);
        reasons.map(|reason| format!("its deletions would wait: {}", reason.what)).collect()
    }
}

fn refused(app: &AppName, from: AutoRollback, reasons: Vec<String>) -> Event {
    AutoRollbackRefusedV1 { app: app.clone(), from, reasons }.into()
}

/// Why, in words.
fn reason(from: &AutoRollback) -> String {
    let seconds = from.after_ms / 1_000;
    let what = match from.why {
        RollbackCause::Degraded => format!("turned Degraded {seconds} s after its first write"),
        RollbackCause::NotHealthy => format!("is not Healthy {seconds} s after its first write"),
    };
    let message = if from.message.is_empty() { "" } else { ": " };
    format!("by rule: commit {} {what}{message}{}", from.commit.short(), from.message)
}
