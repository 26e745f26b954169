//! Objects of no application that a person brings back.

use super::{Command, Machine};
use crate::replay::World;

impl Machine {
    /// Each is carried out once. Nothing else waits for it.
    pub(super) fn restore(&mut self, world: &World, commands: &mut Vec<Command>) {
        let open = world.restores.keys().filter(|seq| !self.busy.contains(seq));
        let open: Vec<_> = open.copied().collect();
        self.busy.extend(&open);
        commands.extend(open.into_iter().map(Command::Restore));
    }
}
