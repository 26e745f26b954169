//! A plan and its end, for people.

use std::fmt::Write as _;

use super::super::at;
use super::super::doctor::{losses, stages};
use super::super::table::table;
use super::{Planned, Report};
use crate::query::text::{clean, count, list, seconds};
use crate::recovery::Shown;
use crate::recovery::plan::ShownStep;

/// How many objects a hint names.
const NAMED_MAX: usize = 3;

/// What would be written, all of it.
pub(super) fn plan(planned: &Planned) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "onto {} (Kubernetes {}, kube-system {})",
        clean(&planned.server),
        clean(&planned.version),
        clean(&planned.uid)
    );
    out.push_str(&head(&planned.plan));
    let row = |step: &ShownStep| {
        vec![
            step.stage.clone(),
            step.wave.to_string(),
            clean(&step.object).into_owned(),
            clean(&step.version).into_owned(),
            if step.app.is_empty() { "-".to_owned() } else { step.app.clone() },
            step.rules.join(","),
        ]
    };
    if !planned.plan.steps.is_empty() {
        let header = ["STAGE", "WAVE", "OBJECT", "VERSION", "APP", "RULES"];
        out.push_str(&table(&header, planned.plan.steps.iter().map(row)));
    }
    out.push_str(&losses(&planned.plan));
    if !planned.in_the_way.is_empty() {
        let _ = writeln!(out, "IN THE WAY, there already: {}", planned.in_the_way.len());
        for object in &planned.in_the_way {
            let _ = writeln!(out, "  {}", clean(object));
        }
    }
    out
}

/// What would be written, and what would not come back.
pub(super) fn short(shown: &Shown) -> String {
    format!("{}{}", head(shown), losses(shown))
}

fn head(shown: &Shown) -> String {
    let what = if shown.source == "observed" { "observed" } else { "wanted" };
    let objects = count(shown.objects, "object");
    let (to, at) = (shown.to, at::zoned(&shown.at));
    format!("{objects} as {what} at #{to} ({at})\n{}", stages(shown))
}

/// What a person can do where not everything is there as it was to be written: only what helps.
pub(super) fn ways_on(report: &Report) -> Vec<String> {
    let failed = report.failed.iter().map(|one| (&one.object, one.resumable));
    let differs = report.differs.iter().map(|one| (&one.object, one.resumable));
    let (again, there): (Vec<_>, Vec<_>) = failed.chain(differs).partition(|(_, again)| *again);
    let mut ways = Vec::new();
    if !again.is_empty() {
        ways.push("--resume writes what is not there".to_owned());
    }
    if !there.is_empty() {
        let objects = list(there.into_iter().map(|(object, _)| object.clone()), NAMED_MAX);
        ways.push(format!(
            "--resume writes nothing over what is there, and so does not change {objects}: put it \
             back by hand as it was written, or delete it on the target; then --resume writes what \
             is gone, and verifies"
        ));
    }
    let or = if ways.is_empty() { "" } else { "or " };
    ways.push(format!(
        "{or}--abandon {} ends it and leaves everything as it is there, so that another may begin",
        report.recovery
    ));
    ways
}

/// How it ended.
pub(super) fn report(report: &Report) -> String {
    let mut out = String::new();
    let (id, written) = (report.recovery, count(report.written as usize, "object"));
    let found = match report.found {
        0 => String::new(),
        found => format!(" ({found} of them found as they were to be written)"),
    };
    let verdict = if report.verified {
        "VERIFIED: everything that was written is there as it was written"
    } else {
        "NOT VERIFIED"
    };
    let (took, all) = (seconds(report.written_milliseconds), seconds(report.milliseconds));
    let took = match report.now {
        0 => String::new(),
        now if now == report.written => format!(" in {took}"),
        now => format!(", {now} of them now in {took}"),
    };
    let _ = writeln!(
        out,
        "replay #{id} onto {}: {written}{found}{took}; {verdict} ({all} in all)",
        clean(&report.server),
    );
    if !report.again.is_empty() {
        let _ = writeln!(out, "WRITTEN AGAIN, gone since it was written: {}", report.again.len());
        for object in &report.again {
            let _ = writeln!(out, "  {}", clean(object));
        }
    }
    let failed = report.failed.iter().map(|one| (&one.object, &one.why));
    let differs = report.differs.iter().map(|one| (&one.object, &one.why));
    for (title, rows) in
        [("NOT WRITTEN", failed.collect::<Vec<_>>()), ("OTHERWISE THAN WRITTEN", differs.collect())]
    {
        if !rows.is_empty() {
            let _ = writeln!(out, "{title}: {}", rows.len());
            let row = |(object, why): (&String, &String)| {
                vec![clean(object).into_owned(), clean(why).into_owned()]
            };
            out.push_str(&table(&["OBJECT", "WHY"], rows.into_iter().map(row)));
        }
    }
    let shown = Shown {
        missing: report.missing.clone(),
        lost: report.lost.clone(),
        later: report.later.clone(),
        notes: report.notes.clone(),
        ..Shown::default()
    };
    out.push_str(&losses(&shown));
    out
}
