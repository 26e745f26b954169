//! The whole daemon is killed at random moments, again and again, while Git and people go on.
//!
//! `KILLS=n` says how often (30 when it does not), `GREFFIER_SEED=n` repeats a run as far as the
//! machine's own timing lets it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::audit::checked;
use crate::cluster::ControlPlane;
use crate::daemon::{Greffier, KEPT, application, config_map, until};
use crate::keep::{live, namespace};

const KILLS: u64 = 30;
/// How many objects there are at most.
const OBJECTS: u64 = 6;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}")))
}

/// Somebody pushes.
fn push(greffier: &Greffier, random: &mut Random, wanted: &mut BTreeMap<u64, u64>, round: u64) {
    let n = random.below(OBJECTS);
    let file = format!("web/c{n}.yaml");
    if random.below(4) == 0 && wanted.len() > 3 && wanted.remove(&n).is_some() {
        greffier.repo.remove(&file);
    } else {
        wanted.insert(n, round);
        greffier.repo.write(&file, &config_map(&format!("c{n}"), &round.to_string()));
    }
    greffier.repo.push(&format!("round {round}"));
}

/// Somebody changes an object by hand, if it is there.
fn edit(ns: &str, random: &mut Random) {
    let object = format!("cm/c{}", random.below(OBJECTS));
    let args: &[&str] = match random.below(3) {
        0 => &["patch", &object, "-n", ns, "--type=merge", "-p", r#"{"data":{"key":"by hand"}}"#],
        1 => &["label", &object, "-n", ns, "by=hand", "--overwrite"],
        _ => &["delete", &object, "-n", ns, "--ignore-not-found", "--wait=false"],
    };
    let output = ControlPlane::shared().kubectl("alice").args(args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || error.contains("NotFound"), "{args:?}: {error}");
}

#[test]
fn random_kills_while_git_and_people_go_on_end_as_git_says() {
    let kills = number("KILLS", KILLS);
    let seed = number("GREFFIER_SEED", std::process::id().into());
    println!("{kills} kills, seed {seed}; set KILLS and GREFFIER_SEED to repeat");
    let mut random = Random(seed);
    let (app, ns) = ("kills-web".to_owned(), namespace("kills"));
    let greffier = Greffier::new()
        .configure("[cluster]\nwrite_timeout = \"1s\"\n[gate]\napp_percent_max = 100");
    let mut wanted = BTreeMap::new();
    for n in 0..OBJECTS {
        wanted.insert(n, 0);
        greffier.repo.write(&format!("web/c{n}.yaml"), &config_map(&format!("c{n}"), "0"));
    }
    greffier.repo.push("first");
    let root = application(&app, &greffier.repo.url(), "web", &ns, KEPT);
    let greffier = greffier.root(&root);
    greffier.start();
    greffier.wait_synced(&app, &greffier.repo.head());
    greffier.kill();
    for round in 1..=kills {
        if random.below(2) == 0 {
            push(&greffier, &mut random, &mut wanted, round);
        }
        let mut daemon = greffier.spawn(&[]);
        match random.below(4) {
            0 => push(&greffier, &mut random, &mut wanted, round),
            1 => edit(&ns, &mut random),
            _ => {}
        }
        // Not for synchronisation: it spreads the kills over start, replay, lists and writes.
        std::thread::sleep(Duration::from_micros(random.below(600_000)));
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
    greffier.start();
    // Where chance has edited one object again and again, a contest would wait for minutes.
    greffier.cli_ends(0, &["sync", &app, "--no-wait"]);
    until("everything is as Git says", || {
        let all = (0..OBJECTS).all(|n| {
            let value = wanted.get(&n).map(ToString::to_string).unwrap_or_default();
            live(&ns, &format!("cm/c{n}"), ".data.key") == value
        });
        all.then_some(())
    });
    greffier.wait_synced(&app, &greffier.repo.head());
    let audit = checked(&greffier, &ns);
    println!("{kills} kills: {audit:?}");
    assert!(audit.writes > 0);
}
