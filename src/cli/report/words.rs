//! What every form of a report says in words.

use jiff::tz::TimeZone;

use crate::http::dto::{ReportHead, Unwatched};
use crate::query::people::Party;
use crate::query::report::{Change, Field, Summary};
use crate::query::text::count;

/// What the report is for, in one sentence.
pub(super) const ABOUT: &str = "greffier keeps a Kubernetes cluster as Git repositories say, and records every change that it makes or sees in an append-only, hash-linked ledger. This report is read from that ledger.";
/// How to check it.
pub(super) const CHECK: &str = "`greffier ledger verify`, run where the ledger lies, reads every record and checks that each event names the hash of the one before it. `greffier show '#N' -o json` shows the hash of event N: where it is the one printed here, the ledger still has the very events that this report was made from, for a hash covers every event before it. Keep this report in another place than the ledger.";
/// What the strengths mean.
pub(super) const STRENGTHS: [(&str, &str); 5] = [
    (
        "exact",
        "the API server's own record of the request shows the very version that resulted, or greffier made the change itself",
    ),
    ("unique", "exactly one recorded request can have made the change"),
    ("ambiguous", "several recorded requests can have made it; all are named"),
    (
        "field-manager",
        "no request is known; the object names a field manager, which any client can choose: a claim, not evidence",
    ),
    ("unknown", "nothing tells who it was"),
];
/// What a credential is.
pub(super) const CREDENTIAL: &str = "A name in parentheses, or after the word credential, is a credential: whoever holds it is taken for its owner. A person is named only where greffier's configuration says whose credential it was at that time. What a client says about itself is marked claimed.";

/// A time with its zone: `2026-11-20 14:00:00 +01:00`.
pub(super) fn zoned(time: &str, zone: &TimeZone) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// What the zone is called.
pub(super) fn zone_name(zone: &TimeZone) -> String {
    match zone.iana_name() {
        Some("UTC") => "UTC".to_owned(),
        Some(name) => name.to_owned(),
        None => "the local zone".to_owned(),
    }
}

/// The span, with its zone and its events.
pub(super) fn span(head: &ReportHead, zone: &TimeZone) -> String {
    let (from, to) = (zoned(&head.from, zone), zoned(&head.to, zone));
    let events = match head.last - head.after.min(head.last) {
        0 => "no events".to_owned(),
        _ => format!("events #{} to #{}", head.after + 1, head.last),
    };
    format!("from {from} to {to} ({}): {events}", zone_name(zone))
}

/// What the report is about, as names and values.
pub(super) fn head(head: &ReportHead, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let at = |seq: u64, time: String, hash: &str| match hash {
        "" => "none".to_owned(),
        hash => format!("#{seq}, {time}, hash {hash}"),
    };
    let whole = |text: &str, what: &str| match text {
        "" => format!("all {what}"),
        only => format!("only {only}"),
    };
    vec![
        ("Ledger", head.ledger.clone()),
        ("Span", span(head, zone)),
        ("Applications", whole(&head.app, "applications")),
        ("Namespaces", whole(&head.namespace, "namespaces")),
        ("The ledger begins", zoned(&head.begins, zone)),
        ("Last event of the span", at(head.last, zoned(&head.to, zone), &head.last_hash)),
        (
            "Last event when the report was made",
            at(head.head, zoned(&head.head_time, zone), &head.head_hash),
        ),
        ("Made by", format!("greffier {}", head.version)),
    ]
}

/// What was not watched, or not heard of the audit. Never empty: that no gap is known is said.
pub(super) fn coverage(head: &ReportHead, all: &Summary, zone: &TimeZone) -> Vec<String> {
    let mut lines: Vec<String> = head.coverage.iter().map(|span| unwatched(span, zone)).collect();
    let audit = &all.audit;
    if audit.records == 0 {
        lines.push("no record of the API server's audit was read in the span: changes by others rest on field managers, which are claims".to_owned());
    }
    if audit.gaps > 0 {
        let changes = count(usize::try_from(audit.gaps).unwrap_or(usize::MAX), "change");
        let first: Vec<String> =
            audit.gap_events.iter().take(5).map(|seq| format!("#{seq}")).collect();
        lines.push(format!(
            "audit records are missing: none explains {changes} ({}{})",
            first.join(", "),
            if audit.gap_events.len() > 5 { ", …" } else { "" }
        ));
    }
    for trouble in &audit.troubles {
        let (seq, time) = (trouble.seq, zoned(&trouble.time, zone));
        lines.push(format!("audit, {time} (#{seq}): {}", trouble.what));
    }
    if lines.is_empty() {
        lines.push("no gap was recorded in this interval".to_owned());
    }
    lines
}

fn unwatched(span: &Unwatched, zone: &TimeZone) -> String {
    let from = match span.from.as_str() {
        "" => "from before the ledger begins".to_owned(),
        from => format!("from {} (#{})", zoned(from, zone), span.from_seq),
    };
    let to = match (&span.to, span.to_seq) {
        (Some(to), Some(seq)) => format!("to {} (#{seq})", zoned(to, zone)),
        _ => "until the report was made".to_owned(),
    };
    let word = if span.lossy { "not watched" } else { "seen late" };
    format!("{word} {from} {to}: {}", span.what)
}

/// The counts of the summary.
pub(super) fn counts(all: &Summary) -> Vec<(&'static str, u64)> {
    vec![
        ("Changes of objects", all.changes),
        ("Failed syncs and renders", all.failed_syncs),
        ("Failed writes", all.failed_writes),
        ("Drifts found", all.drifts),
        ("Drifts put back", all.put_back),
        ("Objects pruned", all.prunes),
        ("Plans gated", all.gates),
        ("Plans approved", all.approvals),
        ("Pauses", all.pauses),
        ("Freezes", all.freezes),
        ("Holds of hand edits", all.holds),
        ("Rewritten histories (force-pushes)", all.force_pushes),
        ("Another cluster answered, or one set back", all.cluster_doubts),
        ("Objects written to another cluster", all.replayed),
        ("Objects not written to another cluster", all.not_replayed),
        ("Audit records read", all.audit.records),
        ("Changes without an audit record", all.audit.gaps),
    ]
}

/// Who, and how well that is known.
pub(super) fn who(row: &Change) -> String {
    let glue = if row.strength == "ambiguous" { " or " } else { ", " };
    parties(&row.who, glue)
}

/// Names with `glue` between them; `unknown` when there are none.
pub(super) fn parties(parties: &[Party], glue: &str) -> String {
    match parties {
        [] => "unknown".to_owned(),
        parties => parties.iter().map(Party::text).collect::<Vec<_>>().join(glue),
    }
}

/// A field: `.spec.replicas 2 → 5`.
pub(super) fn field(field: &Field) -> String {
    let value = |json: &str| if json.is_empty() { "(absent)".to_owned() } else { json.to_owned() };
    format!("{} {} → {}", field.path, value(&field.was), value(&field.now))
}

/// What changed, one entry each.
pub(super) fn changed(row: &Change) -> Vec<String> {
    let mut found: Vec<String> = row.fields.iter().map(field).collect();
    if row.more_fields {
        found.push("and more".to_owned());
    }
    if !row.text.is_empty() {
        found.push(row.text.clone());
    }
    found
}

/// When: a time, or an interval.
pub(super) fn when(row: &Change, zone: &TimeZone) -> String {
    match row.not_before.as_str() {
        "" => zoned(&row.time, zone),
        from => format!("between {} and {}", zoned(from, zone), zoned(&row.time, zone)),
    }
}

/// Why it was done, with the commit behind it.
pub(super) fn why(row: &Change) -> Vec<String> {
    let mut found = Vec::new();
    if !row.why.is_empty() {
        found.push(row.why.clone());
    }
    if !row.asked_by.is_empty() {
        found.push(format!("asked for by {}", parties(&row.asked_by, ", ")));
    }
    if let Some(commit) = &row.commit {
        let party = |party: &Option<Party>| {
            party.as_ref().map_or_else(|| "unknown".to_owned(), Party::text)
        };
        found.push(format!(
            "commit {}: author {}, committer {}, signer {}, pusher {}",
            commit.id,
            party(&commit.author),
            party(&commit.committer),
            commit.signer,
            commit.pusher
        ));
    }
    found
}

/// The events that it rests on.
pub(super) fn evidence(row: &Change) -> String {
    row.evidence.iter().map(|seq| format!("#{seq}")).collect::<Vec<_>>().join(" ")
}
