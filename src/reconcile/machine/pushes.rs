//! Commits that say in Git what is held.

use super::{Command, Machine};
use crate::replay::World;

impl Machine {
    /// Each is pushed once, or looked for. Nothing else waits for it.
    pub(super) fn push(&mut self, world: &World, commands: &mut Vec<Command>) {
        let open = world.pushes.keys().filter(|seq| !self.busy.contains(seq));
        let open: Vec<_> = open.copied().collect();
        self.busy.extend(&open);
        commands.extend(open.into_iter().map(Command::Push));
    }
}
