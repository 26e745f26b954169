//! `doctor --recovery`: if the cluster burned now, what would not return?

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::args::DoctorArgs;
use super::asker::Context;
use super::at;
use super::error::{Error, Exit};
use super::output;
use super::table::table;
use crate::config::Config;
use crate::http::dto;
use crate::query::recovery::Asked;
use crate::query::text::{clean, count};
use crate::recovery::plan::ShownRule;
use crate::recovery::{Loss, Shown};

/// Everything that the answer rests on.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    /// Whether everything would return.
    pub(super) returns: bool,
    /// The ledger's key.
    pub(super) key: Key,
    /// How old the last observation is, in seconds; `None` where there is none.
    pub(super) observed_seconds: Option<u64>,
    #[serde(flatten)]
    pub(super) recovery: dto::Recovery,
}

/// The ledger's key, as this user's configuration names it.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    /// The file.
    pub(super) file: String,
    /// Whether it is there.
    pub(super) present: bool,
    /// Whether it is outside the data directory: a copy of that must not have it.
    pub(super) outside: bool,
}

impl Key {
    fn of(config: &Config) -> Self {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self {
            file: config.key_file.display().to_string(),
            present: config.key_file.is_file(),
            outside: !real(&config.key_file).starts_with(real(&config.data_dir)),
        }
    }
}

/// Runs `doctor`.
pub(super) async fn run(context: &Context, args: DoctorArgs) -> Result<(), Error> {
    let DoctorArgs { recovery: _, apps, live, include_unowned } = args;
    let asked = Asked { apps, live, unowned: include_unowned };
    let recovery = context.asker().await?.recovery(&asked).await?;
    let key = Key::of(context.config());
    let now = match &context.global.at {
        Some(_) => seconds(&recovery.plan.at),
        None => Some(jiff::Timestamp::now().as_second()),
    };
    let age = now.zip(seconds(&recovery.observed_at)).map(|(now, then)| now.saturating_sub(then));
    let diagnosis = Diagnosis {
        returns: recovery.plan.returns() && key.present && key.outside && !damaged(&recovery),
        key,
        observed_seconds: age.map(|age| u64::try_from(age).unwrap_or(0)),
        recovery,
    };
    let name = |found: &Diagnosis| if found.returns { "returns" } else { "incomplete" }.to_owned();
    output::print(&output::one(&diagnosis, context.global.output, text, name))?;
    if diagnosis.returns { Ok(()) } else { Err(Error::new(Exit::Differs, "")) }
}

fn damaged(recovery: &dto::Recovery) -> bool {
    recovery.wholeness.as_ref().is_some_and(|known| !known.damage.is_empty())
}

fn seconds(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// The answer for people.
pub(super) fn text(found: &Diagnosis) -> String {
    let mut out = String::new();
    let plan = &found.recovery.plan;
    let gone = plan.missing.len() + plan.lost.len();
    let verdict = match gone {
        _ if !found.key.present => "nothing of it without the ledger's key".to_owned(),
        _ if damaged(&found.recovery) => "nothing of it: the ledger is DAMAGED".to_owned(),
        0 => "everything that is recorded as wanted would return".to_owned(),
        gone => format!("{} would NOT return", count(gone, "thing")),
    };
    let what = if plan.source == "observed" { "observed" } else { "wanted" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "if the cluster burned at #{} ({}): {} would be replayed as {what}; {verdict}",
        plan.to,
        at::zoned(&plan.at),
        count(plan.objects, "object"),
    );
    let key = &found.key;
    let state = match (key.present, key.outside) {
        (false, _) => "NOT THERE: nothing can be replayed without it",
        (true, false) => "INSIDE the data directory: whoever copies that has it too",
        (true, true) => "there, outside the data directory; is there a copy elsewhere?",
    };
    let _ = writeln!(out, "  key {}: {state}", clean(&key.file));
    found.recovery.wholeness.iter().for_each(|known| out.push_str(&wholeness(known)));
    let _ = match found.observed_seconds {
        Some(seconds) => writeln!(
            out,
            "  the cluster was last observed to change at #{}, {seconds} s ago",
            found.recovery.observed
        ),
        None => writeln!(out, "  no object of the cluster was ever observed"),
    };
    if !found.recovery.cluster_lost.is_empty() {
        let _ = writeln!(out, "  it cannot be reached: {}", clean(&found.recovery.cluster_lost));
    }
    out.push_str(&stages(plan));
    out.push_str(&losses(plan));
    out
}

/// Whether a replay can read the ledger to its end.
fn wholeness(known: &dto::Wholeness) -> String {
    let checked = match (known.checked, &known.checked_at) {
        (Some(seq), Some(at)) => format!("read up to #{seq} and checked ({})", at::zoned(at)),
        _ => "not read and checked yet since the start; greffier ledger verify does".to_owned(),
    };
    if known.damage.is_empty() {
        return format!("  ledger {checked}\n");
    }
    let places = known.damage.iter().map(|place| format!("  ledger DAMAGED: {}\n", clean(place)));
    let means = "    a replay reads all of it, and fails until it is whole again";
    places.chain([format!("{means}\n    {}\n", clean(&known.hint))]).collect()
}

/// How much is written together, in order.
pub(super) fn stages(plan: &Shown) -> String {
    let stages: Vec<String> = plan.stages.iter().map(|(stage, n)| format!("{stage} {n}")).collect();
    if stages.is_empty() { String::new() } else { format!("  in order: {}\n", stages.join(", ")) }
}

/// What does not come back, and what comes back later.
pub(super) fn losses(plan: &Shown) -> String {
    let mut out = String::new();
    let row = |loss: &Loss| {
        let (subject, why) = (clean(&loss.subject).into_owned(), clean(&loss.why).into_owned());
        vec![loss.kind.as_str().to_owned(), subject, why]
    };
    for (title, found) in [
        ("NOT RESTORABLE, although it is wanted", &plan.missing),
        ("DOES NOT COME BACK", &plan.lost),
        ("comes back later or when it is asked for", &plan.later),
    ] {
        if !found.is_empty() {
            let _ = writeln!(out, "{title}: {}", found.len());
            out.push_str(&table(&["WHY", "WHAT", "IN WORDS"], found.iter().map(row)));
        }
    }
    for (title, rules) in [("left out", &plan.skips), ("taken out of manifests", &plan.rules)] {
        if !rules.is_empty() {
            let _ = writeln!(out, "{title}:");
            let row = |rule: &ShownRule| {
                vec![rule.rule.clone(), rule.objects.to_string(), rule.what.clone()]
            };
            out.push_str(&table(&["RULE", "OBJECTS", "WHAT"], rules.iter().map(row)));
        }
    }
    for note in &plan.notes {
        let _ = writeln!(out, "note: {}", clean(note));
    }
    out
}
