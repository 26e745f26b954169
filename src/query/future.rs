//! What happens because of an event that was just recorded.

use super::describe::of_event;
use super::text::list;
use crate::ledger::event::Event;
use crate::model::{Actor, Seq};
use crate::plan::{Compared, Limits, plan};
use crate::replay::World;

/// What is decided about the objects of `event` once it is folded, in sentences.
#[must_use]
pub fn because_of(
    mut world: World,
    compared: &Compared,
    limits: &Limits,
    seq: Seq,
    event: &Event,
) -> Vec<String> {
    let now = world.now;
    let _ = world.apply(seq, now, event);
    let about = of_event(event, &Actor::default(), None);
    let app = about.app.parse().ok();
    let Some(plan) = app.and_then(|name| plan(&world, &name, limits, compared)) else {
        return Vec::new();
    };
    let gated = plan.gate.iter().flat_map(|gate| &gate.writes);
    let waits: Vec<String> = gated.map(|write| write.key.to_string()).collect();
    let mut told: Vec<String> = about
        .objects
        .iter()
        .filter_map(|key| {
            let object = plan.objects.iter().find(|object| object.key == *key)?;
            let write = plan.writes.iter().find(|write| write.key == *key);
            Some(match write {
                Some(write) => format!("{} {key} now: {}", write.verb.as_str(), write.reason),
                None => format!("{key}: {}", object.why),
            })
        })
        .collect();
    if !waits.is_empty() {
        told.push(format!("waits for approval: {}", list(waits, 3)));
    }
    told
}
