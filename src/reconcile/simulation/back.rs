//! People who take a tree back to an earlier instant, and let go of it.

use super::story::Story;
use crate::command::tree::{Asked, Member, release_tree, roll_back_tree};
use crate::command::{Command, Restored};
use crate::ledger::event::{BackTo, Event};
use crate::query::instant::At;
use crate::replay::testing::name;

/// The application with others below it.
const ROOT: &str = "root";

impl Story {
    /// Somebody goes back, or follows Git again, in one of these ways.
    pub(super) fn go_back(&mut self) {
        match self.sim.random.below(9) {
            0..3 => self.roll_back_tree(),
            3 => self.release_tree(),
            _ => self.bring_back(),
        }
    }

    /// Somebody takes the tree back, in one batch.
    fn roll_back_tree(&mut self) {
        let sim = &mut self.sim;
        let Some(past) = sim.random.pick(&self.past) else { return };
        let to = At { seq: past.seq, time: past.now, timed: false, what: String::new() };
        let members = Member::of(past, ROOT);
        let ms = u64::try_from(sim.random.below(300_000)).unwrap();
        let until = sim.random.chance(50).then(|| sim.now.plus_ms(ms + 1));
        let asked = Asked { to, said: "then".into(), until, reason: String::new() };
        let Some(daemon) = &sim.daemon else { return };
        let newest = daemon.world.seq == sim.head.seq;
        let tree = roll_back_tree(&daemon.world, sim.now, ROOT, &members, &asked);
        let Ok(tree) = tree else { return };
        let mut held = Vec::new();
        for event in tree.events {
            let app = match &event {
                Event::AppHeld(body) => Some(body.app.clone()),
                _ => None,
            };
            let seq = sim.append(event, Vec::new());
            held.extend(app.map(|app| (app, seq)));
        }
        sim.checker.trees += usize::from(!held.is_empty());
        // What is decided from what is known now holds all of it, each with the root.
        for (app, seq) in held.iter().filter(|_| newest) {
            let hold = sim.head.apps.get(app).and_then(|app| app.hold.as_ref());
            let with = hold.and_then(|hold| hold.tree.as_ref());
            if hold.map(|hold| hold.seq) != Some(*seq) || with != Some(&name(ROOT)) {
                sim.checker.fail(format!("{app} is not held with its tree by #{seq}: {hold:?}"));
            }
        }
    }

    /// Somebody brings one object back as an application wanted it before.
    fn bring_back(&mut self) {
        let sim = &mut self.sim;
        let Some(past) = sim.random.pick(&self.past) else { return };
        let wanted = past.apps.iter().flat_map(|(app, state)| {
            let objects = state.desired.iter().flat_map(|desired| desired.objects.values());
            objects.map(move |object| (app.clone(), object.clone()))
        });
        let wanted: Vec<_> = wanted.filter(|(_, object)| !object.key.is_application()).collect();
        let Some((app, object)) = sim.random.pick(&wanted).cloned() else { return };
        let ms = u64::try_from(sim.random.below(300_000)).unwrap();
        let until = sim.random.chance(50).then(|| sim.now.plus_ms(ms + 1));
        let (restored, from) = (Restored::object(app, object, false), BackTo::Instant(past.seq));
        let reason = String::new();
        self.tell_greffier(&Command::Restore { restored, from, until, reason });
    }

    /// Somebody lets go of the tree: nothing stays held with it.
    fn release_tree(&mut self) {
        let sim = &mut self.sim;
        let Some(daemon) = &sim.daemon else { return };
        let newest = daemon.world.seq == sim.head.seq;
        let Ok(events) = release_tree(&daemon.world, ROOT) else { return };
        for event in events {
            sim.append(event, Vec::new());
        }
        let root = Some(name(ROOT));
        let left = sim
            .head
            .apps
            .iter()
            .find(|(_, app)| app.hold.as_ref().is_some_and(|hold| hold.tree == root));
        if let (Some((app, _)), true) = (left, newest) {
            sim.checker.fail(format!("{app} is held with a tree that was released"));
        }
    }
}
