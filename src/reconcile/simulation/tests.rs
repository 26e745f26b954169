//! Many seeds, and what is known to be worth repeating.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use super::cluster::FakeCluster;
use super::contract::{CASES, Subject};
use super::observer::Key;
use super::story::{Counts, Story};
use crate::cluster::{
    AppliedObject, ApplyRequest, DeleteRequest, DeleteResult, Error, Normalised, normalize,
};
use crate::model::ObjectKey;

/// How many seeds are run when nobody says otherwise.
const SEEDS: u64 = 200;
/// After how many wrong seeds a thread ends.
const WRONG_MAX: usize = 5;
/// How much of a trace is printed.
const TRACE_MAX: usize = 400;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Runs one seed; says what went wrong, with the trace.
fn run(seed: u64) -> Result<Counts, String> {
    let story = RefCell::new(Story::new(seed));
    let steps = 100 + usize::try_from(seed % 7).unwrap() * 150;
    let ended = catch_unwind(AssertUnwindSafe(|| story.borrow_mut().run(steps)));
    let wrong = match ended {
        Ok(Ok(counts)) => return Ok(counts),
        Ok(Err(wrong)) => wrong,
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(text) => format!("a panic: {text}"),
            None => "a panic".to_owned(),
        },
    };
    let trace = &story.try_borrow().unwrap_or_else(|_| panic!("seed {seed}: {wrong}")).sim.trace;
    let shown = trace.len().saturating_sub(TRACE_MAX);
    Err(format!("{}\nGREFFIER_SEED={seed}: {wrong}", trace[shown..].join("\n")))
}

/// Runs `count` seeds from `first` on, on every core; says what they came to.
fn run_all(first: u64, count: u64) {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let total = std::thread::scope(|scope| {
        let thread = |number| {
            let seeds = (first + number..first + count).step_by(usize::try_from(threads).unwrap());
            scope.spawn(move || {
                let (mut sum, mut wrong) = (Counts::default(), Vec::new());
                for seed in seeds {
                    match run(seed) {
                        Ok(counts) => sum.add(counts),
                        Err(what) => wrong.push((seed, what)),
                    }
                    if wrong.len() >= WRONG_MAX {
                        break;
                    }
                }
                (sum, wrong)
            })
        };
        let running: Vec<_> = (0..threads).map(thread).collect();
        let (mut total, mut wrong) = (Counts::default(), Vec::new());
        for thread in running {
            match thread.join() {
                Ok((sum, of_thread)) => {
                    total.add(sum);
                    wrong.extend(of_thread);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        let seeds: Vec<u64> = wrong.iter().map(|(seed, _)| *seed).collect();
        if let Some((_, what)) = wrong.into_iter().min_by_key(|(seed, _)| *seed) {
            panic!("{what}\nwrong seeds: {seeds:?}");
        }
        total
    });
    let Counts {
        events,
        sent,
        effects,
        kills,
        holds,
        rollbacks,
        trees,
        brought,
        restores,
        accepted,
    } = total;
    println!(
        "{count} seeds from {first}: {events} events, {kills} kills, {holds} holds, {rollbacks} \
         rollbacks, {trees} of trees, {brought} objects brought back, {restores} restores, {accepted} clusters accepted, {sent} requests, {effects} with an effect"
    );
    assert!(kills as u64 > count / 2 && effects as u64 > count, "hardly anything happened");
    assert!(rollbacks as u64 > count / 10, "hardly anybody went back");
    assert!(trees as u64 > count / 10, "hardly anybody took a tree back");
    assert!(brought as u64 > count / 10, "hardly anybody brought an object back");
    assert!(accepted as u64 > count / 10, "hardly ever another cluster");
}

#[test]
fn whatever_happens_no_rule_is_broken_and_the_cluster_ends_as_git_says() {
    if let Some(seed) = from_environment("GREFFIER_SEED") {
        match run(seed) {
            Ok(counts) => println!("seed {seed}: {counts:?}"),
            Err(wrong) => panic!("{wrong}"),
        }
        return;
    }
    let first = from_environment("GREFFIER_SEED_FIRST").unwrap_or(0);
    run_all(first, from_environment("GREFFIER_SEEDS").unwrap_or(SEEDS));
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let (mut one, mut two) = (Story::new(6), Story::new(6));
    let _ = (one.run(300), two.run(300));
    assert!(one.sim.trace.len() > 100);
    assert_eq!(one.sim.trace, two.sim.trace);
}

/// For seconds, minutes and an hour: what it costs does not depend on how long it lasts.
#[test]
fn an_api_server_may_be_away_for_an_hour() {
    for seed in 0..20 {
        let [seconds, minutes, hour] = [5_000, 300_000, 3_600_000].map(|ms| {
            let mut story = Story::new(seed);
            story.outage(ms).unwrap_or_else(|wrong| {
                panic!("{}\nseed {seed}, {ms} ms: {wrong}", story.sim.trace.join("\n"))
            })
        });
        assert!(seconds > 0, "seed {seed}: the outage is not even noticed");
        assert_eq!((minutes, hour), (seconds, seconds), "seed {seed}: it is told again and again");
    }
}

/// The fake, in the place of an API server.
#[derive(Default)]
struct Fake {
    cluster: FakeCluster,
    namespaces: usize,
}

impl Subject for Fake {
    fn namespace(&mut self) -> String {
        self.namespaces += 1;
        let name = format!("n{}", self.namespaces);
        self.cluster.update_as("people", &ObjectKey::new("", "Namespace", "", &name), |_| {});
        name
    }

    fn apply(&mut self, request: &ApplyRequest) -> Result<AppliedObject, Error> {
        self.cluster.apply(request)
    }

    fn delete(&mut self, request: &DeleteRequest) -> Result<DeleteResult, Error> {
        self.cluster.delete(request)
    }

    fn get(&mut self, key: &ObjectKey) -> Option<Value> {
        self.cluster.get(key)
    }

    fn apply_as(&mut self, manager: &str, key: &ObjectKey, manifest: &Value) {
        self.cluster.apply_as(manager, key, manifest, true).unwrap();
    }

    fn merge_as(&mut self, manager: &str, key: &ObjectKey, patch: &Value) {
        if patch.pointer("/metadata/managedFields").is_some() {
            return self.cluster.disown(key);
        }
        self.cluster.update_as(manager, key, |object| merge(object, patch));
    }

    fn remove(&mut self, key: &ObjectKey) {
        self.cluster.delete_as_a_person(key);
    }

    fn until_gone(&mut self, key: &ObjectKey) {
        while self.cluster.get(key).is_some() {
            assert!(self.cluster.control(), "{key} stays for ever");
        }
    }

    fn normalise(&self, raw: &Value) -> Normalised {
        normalize(raw, &Key).unwrap()
    }
}

/// JSON merge patch.
fn merge(value: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *value = patch.clone();
        return;
    };
    for (name, patch) in fields {
        if patch.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut value[name], patch);
        }
    }
}

#[test]
fn the_fake_cluster_does_what_an_api_server_does() {
    for (name, case) in CASES {
        println!("{name}");
        case(&mut Fake::default());
    }
}
