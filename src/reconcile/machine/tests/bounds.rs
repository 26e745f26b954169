//! How much is intended at once.

use super::*;

#[test]
fn large_plans_become_several_intents() {
    let mut sim = Sim::web(auto(), maps(600));
    sim.runs();
    assert_eq!(sim.given.world.owned.len(), 600);
    assert_eq!(sim.count("apply.intent"), 3);
    assert_eq!(sim.told("sync.finished"), 1);
}

impl Sim {
    fn open(&self, app: &str) -> usize {
        let intents = self.given.world.intents.values();
        intents.filter(|intent| intent.app == name(app)).map(|intent| intent.writes.len()).sum()
    }

    fn carries_out_first(&mut self) {
        let first = self.held.remove(0);
        self.carries_out(first);
        self.runs();
    }
}

#[test]
fn no_more_is_intended_than_can_be_sent_in_time() {
    let mut sim = Sim::web(auto(), maps(1_500));
    sim.hold = vec!["execute"];
    sim.runs();
    assert_eq!(sim.open("web"), APP_WRITES_MAX);
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!(sim.open("web"), APP_WRITES_MAX, "nothing more before an intent has ended");
    assert!(!sim.machine.has_room());
    sim.carries_out_first();
    let owned = sim.given.world.owned.len();
    assert_eq!((sim.open("web"), owned), (APP_WRITES_MAX, INTENT_WRITES_MAX));
    sim.releases();
    assert_eq!((sim.open("web"), sim.given.world.owned.len()), (0, 1_500));
    assert_eq!(sim.count("sync.finished"), 1);
}

#[test]
fn the_intents_of_an_application_are_carried_out_one_after_the_other() {
    let mut sim = Sim::web(auto(), maps(APP_WRITES_MAX));
    sim.hold = vec!["execute"];
    sim.runs();
    assert_eq!((sim.count("apply.intent"), sim.held.len()), (2, 1));
    sim.carries_out_first();
    assert_eq!(sim.held.len(), 1, "the second follows the first");
    sim.releases();
    assert_eq!(sim.given.world.owned.len(), APP_WRITES_MAX);
}

#[test]
fn a_small_application_does_not_wait_for_large_ones() {
    let mut sim = Sim::web(auto(), maps(10 * APP_WRITES_MAX));
    sim.hold = vec!["execute"];
    sim.runs();
    let late = "ConfigMap/prod/late";
    sim.given.declares(&application("zoo", auto()), Origin::Config);
    sim.at(1, "zoo", objects(&[late]));
    sim.machine.touch(Touched::all());
    sim.runs();
    assert_eq!((sim.open("web"), sim.open("zoo")), (APP_WRITES_MAX, 1));
    sim.hold.clear();
    let zoo = sim.held.pop().unwrap();
    sim.hold = vec!["execute"];
    sim.carries_out(zoo);
    assert!(sim.live(late));
}
