//! What the ledger says was written, held against the API server's own audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::cluster::ControlPlane;
use crate::daemon::Greffier;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Requests of greffier that changed or tried to change something in the namespace.
    pub(crate) writes: usize,
    /// Writes that intents name.
    pub(crate) intended: usize,
}

/// Checks a ledger against the audit log, for one namespace: the ledger has no gap; every write
/// of greffier is in an intent, and was received once; every write of an intent has one end.
pub(crate) fn checked(greffier: &Greffier, ns: &str) -> Audit {
    let events = greffier.json(&["log", "--all", "-n", "10000000", "-o", "json"]);
    let events = events.as_array().unwrap();
    let mut seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "no gap, no duplicate");
    let ledger = greffier.json(&["ledger", "info", "-o", "json"])["ledger_id"].clone();
    let ledger = ledger.as_str().unwrap();
    let intents = intents(events);
    ends(events, &intents);
    let intents: BTreeSet<String> =
        intents.iter().map(|(seq, index)| format!("{ledger}-{seq}-{index}")).collect();
    let received = received(ns);
    for (id, line) in &received {
        assert!(intents.contains(id), "{id} has no intent: {line}");
    }
    Audit { writes: received.len(), intended: intents.len() }
}

/// Every write of every intent.
fn intents(events: &[Value]) -> BTreeSet<(u64, u64)> {
    let intents = events.iter().filter(|event| event["kind"] == "apply.intent");
    let writes = intents.flat_map(|event| {
        let writes = event["detail"]["writes"].as_array().unwrap().len() as u64;
        let seq = event["seq"].as_u64().unwrap();
        (0..writes).map(move |index| (seq, index))
    });
    writes.collect()
}

/// Every write has exactly one end, be it recorded as it came or settled later.
fn ends(events: &[Value], intents: &BTreeSet<(u64, u64)>) {
    let mut ended: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    let kinds = ["apply.outcome", "apply.settled"];
    for event in events.iter().filter(|event| kinds.iter().any(|kind| event["kind"] == *kind)) {
        let intent = event["detail"]["intent"].as_u64().unwrap();
        for result in event["detail"]["results"].as_array().unwrap() {
            // An index and how it ended; what is unknown has not ended.
            if result[1].get("Unknown").is_none() {
                *ended.entry((intent, result[0].as_u64().unwrap())).or_default() += 1;
            }
        }
    }
    for write in intents {
        assert_eq!(ended.get(write), Some(&1), "the ends of write {write:?}");
    }
}

/// The writes of greffier in a namespace that the API server received, by audit id; none twice.
fn received(ns: &str) -> BTreeMap<String, String> {
    let audit = fs::read_to_string(ControlPlane::shared().audit_log()).unwrap();
    let mut found = BTreeMap::new();
    for line in audit.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let ours = event["user"]["username"] == "greffier" && event["objectRef"]["namespace"] == ns;
        let reads = ["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb);
        // A dry run changes nothing and needs no intent.
        let dry = event["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun=All"));
        if !ours || reads || dry || event["stage"] != "ResponseComplete" {
            continue;
        }
        let id = event["auditID"].as_str().unwrap().to_owned();
        if let Some(first) = found.insert(id.clone(), line.to_owned()) {
            panic!("{id} was received twice:\n{first}\n{line}");
        }
    }
    found
}
