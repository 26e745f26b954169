//! How long reports are collected so that they share an append.
//!
//! Each append is a group of the ledger with an `fdatasync` of its own, and wakes everybody who
//! reads the tail. What comes out of the blue is recorded at once; the longer a flood goes on,
//! the more of it is collected.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(40);

/// How long to wait for more, growing while there is more.
#[derive(Debug)]
pub(super) struct Linger {
    next: Duration,
}

impl Linger {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The flood goes on: waits, longer from time to time.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.grow()).await;
    }

    /// The flood is over.
    pub(super) fn end(&mut self) {
        self.next = FIRST;
    }

    fn grow(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(LONGEST);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_collected_for_longer_and_longer_and_a_new_one_begins_anew() {
        let mut linger = Linger::new();
        let waits: Vec<_> = (0..5).map(|_| linger.grow().as_millis()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 40]);
        linger.end();
        assert_eq!(linger.grow(), FIRST);
    }
}
