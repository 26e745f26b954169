//! What is to be looked at in the outside world.

use std::collections::BTreeSet;

use super::{Command, Machine};
use crate::replay::World;

impl Machine {
    /// Says which repositories are mirrored, and which objects are watched by name.
    pub(super) fn attend(&mut self, world: &World, commands: &mut Vec<Command>) {
        let repos: BTreeSet<String> = world
            .apps
            .values()
            .filter(|app| !app.spec.skip)
            .flat_map(|app| app.spec.sources.iter().map(|source| source.repo.clone()))
            .collect();
        if self.tracked.as_ref() != Some(&repos) {
            self.tracked = Some(repos.clone());
            commands.push(Command::Track(repos));
        }
        let named = world.to_be_named();
        if !named.is_subset(&self.named) {
            self.named.extend(named);
            commands.push(Command::Name(self.named.clone()));
        }
    }
}
