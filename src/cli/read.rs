//! Verbs that read: `status`, `get`, `tree`, `diff`, `ledger`.

mod recoveries;

use std::fmt::Write as _;

use super::args::{ExitCodeRule, Format, Get, LedgerVerb};
use super::asker::Context;
use super::error::{Error, Exit};
use super::table::{local_time, size, table};
use super::{at, files, log, mark, output, people as persons, salvage, verify};
use crate::http::dto;
use crate::query::ResourceFilter;
use crate::query::instant::About;
use crate::query::text::{clean, count, near_names};

/// Runs `status`.
pub(super) async fn status(context: &Context) -> Result<(), Error> {
    let status = context.asker().await?.status().await?;
    let text =
        output::one(&status, context.global.output, status_text, |status| status.ledger.id.clone());
    output::print(&text)
}

pub(super) fn status_text(status: &dto::Status) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut row = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<9} {}", clean(&text));
    };
    match &status.as_of {
        Some(at) => row("AS OF", format!("{}, event #{}", at::zoned(&at.time), at.seq)),
        None => row("daemon", daemon(status.daemon.as_ref())),
    }
    if let Some(why) = status.daemon.as_ref().and_then(|daemon| daemon.read_only.as_ref()) {
        row("READ-ONLY", format!("nothing is recorded, nothing is written to the cluster: {why}"));
    }
    row("cluster", cluster(&status.cluster));
    if let Some(doubt) = &status.cluster.doubt {
        row("DOUBT", format!("{doubt}; nothing is written (greffier cluster accept)"));
    }
    let head = &status.ledger;
    let behind = match head.seq.saturating_sub(head.folded) {
        0 => String::new(),
        n => format!(", answer is {n} behind"),
    };
    row(
        "ledger",
        format!("{}, last event #{} at {}{behind}", head.id, head.seq, local_time(&head.time)),
    );
    damage(status, &mut row);
    audits(status, &mut row);
    if let Some(freeze) = &status.freeze {
        row("FROZEN", frozen(freeze));
    }
    for repo in &status.repos {
        row(
            "repo",
            match (&repo.error, repo.fetched) {
                (Some(error), _) => format!("{} FAILED: {error}", repo.url),
                (None, true) => format!("{} ok, {}", repo.url, count(repo.refs, "ref")),
                (None, false) => format!("{} not fetched yet", repo.url),
            },
        );
    }
    row("apps", counts(status));
    recoveries::rows(status, &mut row);
    for gate in &status.gates {
        let state = if gate.approved { "approved" } else { "WAITS" };
        let size = count(gate.writes.len() + gate.apps.len(), "write");
        row("gate", format!("{} {state}: {size}", gate.app));
        gate.reasons.iter().for_each(|reason| row("", reason.clone()));
        if !gate.approved {
            row("", format!("to allow it: greffier approve {} {}", gate.app, short(&gate.plan)));
        }
    }
    people(status, &mut row);
    for pause in &status.pauses {
        let until = pause
            .until
            .as_deref()
            .map_or_else(String::new, |until| format!(" until {}", local_time(until)));
        let reason =
            if pause.reason.is_empty() { String::new() } else { format!(": {}", pause.reason) };
        row("paused", format!("{}{until}{reason} (greffier resume {})", pause.app, pause.app));
    }
    for note in &status.suspended {
        row("suspended", format!("{}: {}", note.app, note.what));
    }
    for note in &status.problems {
        row("problem", format!("{}: {}", note.app, note.what));
    }
    out
}

/// Where the ledger is damaged, what that means, and what to do.
fn damage(status: &dto::Status, row: &mut dyn FnMut(&str, String)) {
    let known = status.wholeness.as_ref().filter(|known| !known.damage.is_empty());
    if let Some(known) = known {
        known.damage.iter().for_each(|place| row("DAMAGED", place.clone()));
        row("", known.means.clone());
        row("", known.hint.clone());
    }
}

/// Where who changed what is learned from, and how much of it is known.
fn audits(status: &dto::Status, row: &mut dyn FnMut(&str, String)) {
    status.audit.iter().for_each(|audit| audit_rows(audit, row));
    if !status.audit.is_empty() {
        row("who", known(&status.attribution));
    }
}

/// A source of records, and how far it was read.
fn audit_rows(audit: &dto::Audit, row: &mut dyn FnMut(&str, String)) {
    let source = &audit.source;
    if let Some(why) = &audit.unreadable {
        row("audit", format!("{source} CANNOT BE READ: {why}"));
    }
    if let Some(read) = &audit.read {
        let newest = audit.newest.as_deref().map(local_time);
        let newest = newest.map_or_else(String::new, |at| format!(" up to {at}"));
        let unknown = match audit.unknown {
            0 => String::new(),
            n => format!(", {n} to kinds that were not known"),
        };
        let records = count(usize::try_from(audit.records).unwrap_or(usize::MAX), "record");
        let (writes, at) = (audit.recorded, local_time(read));
        row("audit", format!("{source}: {records}{newest}, {writes} of writes{unknown} (at {at})"));
    }
    if let (Some(trouble), Some(at)) = (&audit.trouble, &audit.troubled) {
        row("", format!("{trouble} ({})", local_time(at)));
    }
}

fn daemon(daemon: Option<&dto::Daemon>) -> String {
    match daemon {
        None => "not running".to_owned(),
        Some(daemon) => {
            let mode = if daemon.observe { ", only observing: nothing is written" } else { "" };
            format!("greffier {} running, pid {}{mode}", daemon.version, daemon.pid)
        }
    }
}

/// How well it is known who made the changes since the start.
fn known(attribution: &dto::Attribution) -> String {
    let dto::Attribution { exact, unique, ambiguous, unknown } = *attribution;
    let (known, all) = (exact + unique, exact + unique + ambiguous + unknown);
    let changes = count(usize::try_from(all).unwrap_or(usize::MAX), "change");
    format!(
        "of {changes} by others since the start it is known who made {known} \
         ({exact} exact, {unique} unique); {ambiguous} ambiguous, {unknown} unknown"
    )
}

fn frozen(freeze: &dto::Freeze) -> String {
    let until = freeze.until.as_deref().map(local_time);
    let until = until.map_or_else(String::new, |until| format!(" until {until}"));
    let by = if freeze.by.is_empty() { String::new() } else { format!(" by {}", freeze.by) };
    let reason =
        if freeze.reason.is_empty() { String::new() } else { format!(": {}", freeze.reason) };
    format!("nothing is written{until}, since #{}{by}{reason} (greffier unfreeze)", freeze.seq)
}

/// What people decided against Git, and what others did.
fn people(status: &dto::Status, row: &mut dyn FnMut(&str, String)) {
    for contest in &status.contests {
        row("contest", format!("{} {}: {}", contest.app, contest.object, contest.what));
    }
    for hold in &status.held {
        row("HELD", held(hold));
    }
    for hold in &status.holds {
        row("KEPT", kept(hold));
    }
    for drift in &status.drifts {
        let by = &drift.whom;
        let what = if drift.fields.is_empty() { "deleted".into() } else { drift.fields.join(", ") };
        row("drift", format!("{} {} {what} by {by} (#{})", drift.app, drift.object, drift.seq));
        row("", format!("to keep it: {}", drift.keep.join(" or ")));
    }
}

/// An application that is held as it was at an earlier instant.
pub(super) fn held(hold: &dto::AppHold) -> String {
    let until = hold.until.as_deref().map(local_time);
    let until = until.map_or_else(String::new, |until| format!(" until {until}"));
    let by = if hold.by.is_empty() { String::new() } else { format!(" by {}", hold.by) };
    let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
    let dto::AppHold { app, to, at, commit, waits, tree, .. } = hold;
    let release = match tree.as_str() {
        "" => format!("greffier release {app}"),
        root => format!("with its tree: greffier release {root} --tree"),
    };
    let waits = match waits.as_str() {
        "" => String::new(),
        waits => format!("; {} of Git waits", short(waits)),
    };
    let pinned = match hold.pinned.len() {
        0 => String::new(),
        n => format!(", {} by digest", count(n, "image")),
    };
    let (at, commit) = (local_time(at), short(commit));
    let commits: String = hold.commits.iter().map(|text| format!("; {text}")).collect();
    format!(
        "{app} as at #{to} ({at}, {commit}{pinned}){until}{by}{why}{waits}{commits} ({release})"
    )
}

fn kept(hold: &dto::Hold) -> String {
    let what = match hold.what.as_str() {
        "fields" => hold.fields.join(", "),
        "absence" => "deleted".to_owned(),
        "object before" => format!("as before #{}", hold.from),
        _ => format!("as at #{}", hold.from),
    };
    let until = hold.until.as_deref().map(local_time);
    let until = until.map_or_else(String::new, |until| format!(" until {until}"));
    let by = if hold.by.is_empty() { String::new() } else { format!(" by {}", hold.by) };
    let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
    let (app, object, seq) = (&hold.app, &hold.object, hold.seq);
    format!("{app} {object} {what}{until}{by}{why} (greffier release {seq})")
}

fn cluster(cluster: &dto::Cluster) -> String {
    if cluster.server.is_empty() && cluster.lost.is_none() {
        return "not known yet".to_owned();
    }
    let state = match &cluster.lost {
        Some(error) => format!("LOST: {error}"),
        None => format!(
            "Kubernetes {}, {}, {} of {} kinds listed",
            cluster.version,
            count(cluster.objects, "object"),
            cluster.listed,
            cluster.kinds
        ),
    };
    format!("{} {state}", cluster.server)
}

fn counts(status: &dto::Status) -> String {
    let words = |counts: &std::collections::BTreeMap<String, usize>| {
        counts.iter().map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    };
    match status.apps {
        0 => "none; add one with `greffier app add -f root.yaml`".to_owned(),
        n => {
            let since = status.cluster.lost_since.as_deref().map(local_time);
            let as_of = match (&status.cluster.lost, since) {
                (None, _) => String::new(),
                (Some(_), since) => format!(
                    " (as last seen{}: the API server cannot be reached)",
                    since.map_or_else(String::new, |since| format!(" before {since}"))
                ),
            };
            format!("{n}: {}; {}{as_of}", words(&status.sync), words(&status.health))
        }
    }
}

pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// Runs `get`.
pub(super) async fn get(context: &Context, what: Get) -> Result<(), Error> {
    let format = context.global.output;
    match what {
        Get::Events(args) => log::run(context, *args).await,
        Get::Marks => mark::list(context).await,
        Get::People => persons::list(context).await,
        Get::Apps { names } => {
            let apps = context.asker().await?.apps().await?;
            let apps = chosen(apps, &names)?;
            output::print(&output::list(&apps, format, apps_table, |app| app.name.clone()))
        }
        Get::Repos => {
            let repos = context.asker().await?.status().await?.repos;
            output::print(&output::list(&repos, format, repos_table, |repo| repo.url.clone()))
        }
        Get::Resources { app, namespace, kind } => {
            let about = About::app(app.as_deref().unwrap_or_default());
            let filter = ResourceFilter { namespace, kind, app };
            let found = context.asker_about(about).await?.resources(filter).await?;
            output::print(&output::list(&found, format, resources_table, |r| r.object.clone()))
        }
    }
}

fn chosen(apps: Vec<dto::App>, names: &[String]) -> Result<Vec<dto::App>, Error> {
    for name in names {
        if !apps.iter().any(|app| app.name == *name) {
            let near = near_names(name, apps.iter().map(|app| app.name.as_str()));
            let hint = if near.is_empty() {
                "`greffier get apps` lists them".to_owned()
            } else {
                format!("did you mean {}?", near.join(", "))
            };
            return Err(Error::usage(format!("there is no application `{name}`")).hint(hint));
        }
    }
    Ok(apps.into_iter().filter(|app| names.is_empty() || names.contains(&app.name)).collect())
}

fn apps_table(apps: &[dto::App], wide: bool) -> String {
    let mut header = vec!["NAME", "SYNC", "HEALTH", "COMMIT", "OBJECTS", "NOTE"];
    if wide {
        header.extend(["POLICY", "REPO", "PATH", "REVISION", "NAMESPACE", "ORIGIN"]);
    }
    table(
        &header,
        apps.iter().map(|app| {
            let commit = app.commit.get(..10).unwrap_or(&app.commit).to_owned();
            let mut row = vec![
                app.name.clone(),
                app.sync.clone(),
                app.health.clone(),
                commit,
                app.objects.to_string(),
                app.note.clone(),
            ];
            if wide {
                row.extend([
                    app.policy.join("+"),
                    app.repo.clone(),
                    app.path.clone(),
                    app.revision.clone(),
                    app.namespace.clone(),
                    app.origin.clone(),
                ]);
            }
            row
        }),
    )
}

fn repos_table(repos: &[dto::Repo], _wide: bool) -> String {
    table(
        &["REPOSITORY", "STATE", "REFS"],
        repos.iter().map(|repo| {
            let state = match (&repo.error, repo.fetched) {
                (Some(error), _) => format!("failed: {error}"),
                (None, true) => "ok".to_owned(),
                (None, false) => "not fetched yet".to_owned(),
            };
            vec![repo.url.clone(), state, repo.refs.to_string()]
        }),
    )
}

fn resources_table(resources: &[dto::Resource], wide: bool) -> String {
    let mut header = vec!["OBJECT", "APP", "SYNC", "HEALTH"];
    if wide {
        header.extend(["VERSION", "SEEN", "NOTE"]);
    }
    table(
        &header,
        resources.iter().map(|r| {
            let mut row = vec![r.object.clone(), r.app.clone(), r.sync.clone(), r.health.clone()];
            if wide {
                let note = if r.why.is_empty() { &r.health_message } else { &r.why };
                row.extend([
                    r.version.clone(),
                    r.seen.as_deref().map(local_time).unwrap_or_default(),
                    note.clone(),
                ]);
            }
            row
        }),
    )
}

/// Runs `tree`.
pub(super) async fn tree(context: &Context, app: &str) -> Result<(), Error> {
    let root = context.asker_about(About::app(app)).await?.tree(app).await?;
    output::print(&output::one(&root, context.global.output, tree_text, |root| root.name.clone()))
}

pub(super) fn tree_text(root: &dto::Node) -> String {
    let mut out = String::new();
    branch(root, "", "", &mut out);
    out
}

fn branch(node: &dto::Node, first: &str, rest: &str, out: &mut String) {
    let states: Vec<&str> = [node.sync.as_str(), node.health.as_str()]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect();
    let note =
        if node.note.is_empty() { String::new() } else { format!("  {}", clean(&node.note)) };
    let _ = writeln!(out, "{first}{}  [{}]{note}", clean(&node.name), states.join(", "));
    for (index, child) in node.children.iter().enumerate() {
        let last = index + 1 == node.children.len();
        let (head, tail) = if last { ("└── ", "    ") } else { ("├── ", "│   ") };
        branch(child, &format!("{rest}{head}"), &format!("{rest}{tail}"), out);
    }
}

/// Runs `diff`.
pub(super) async fn diff(context: &Context, app: &str, rule: ExitCodeRule) -> Result<(), Error> {
    let diff = context.asker_about(About::app(app)).await?.diff(app).await?;
    told(context, &diff, rule, diff_text)
}

/// Prints a difference with `text` for people, and ends as the rule says.
pub(super) fn told(
    context: &Context,
    diff: &dto::Diff,
    rule: ExitCodeRule,
    text: impl FnOnce(&dto::Diff) -> String,
) -> Result<(), Error> {
    let format = context.global.output;
    let people = matches!(format, Format::Table | Format::Wide);
    if !people || !diff.objects.is_empty() {
        output::print(&match format {
            Format::Name => {
                diff.objects.iter().map(|object| format!("{}\n", object.object)).collect()
            }
            _ => output::one(diff, format, text, |_| String::new()),
        })?;
    }
    if people && !context.global.quiet {
        for what in &diff.unknown {
            output::say(&format!("note: not compared: {}", clean(what)));
        }
        for what in &diff.notes {
            output::say(&format!("note: {}", clean(what)));
        }
    }
    if diff.objects.is_empty() || rule == ExitCodeRule::Never {
        return Ok(());
    }
    Err(Error::new(Exit::Differs, ""))
}

/// The difference as text: `-` is the cluster, `+` is Git, or the hold that is named.
pub(super) fn diff_text(diff: &dto::Diff) -> String {
    let commit = diff.commit.get(..10).unwrap_or("none");
    diff_against(diff, &format!("at {commit}"), "git")
}

/// The difference between the cluster and something else: `-` is the cluster, `+` the other.
pub(super) fn diff_against(diff: &dto::Diff, at: &str, side: &str) -> String {
    use anstyle::AnsiColor;
    let (red, green) = (AnsiColor::Red.on_default(), AnsiColor::Green.on_default());
    let bold = anstyle::Style::new().bold();
    let mut out = String::new();
    for object in &diff.objects {
        let key = clean(&object.object);
        let (wanted, not) = match object.hold {
            Some(dto::DiffHold { seq, to }) => {
                let held = format!("held/{key} as at #{to} by hold #{seq}");
                (held, format!("(not in what hold #{seq} holds)"))
            }
            None => (format!("{side}/{key} {at}"), "(not in Git)".to_owned()),
        };
        let (live, git) = match object.change.as_str() {
            "missing" => ("(not in the cluster)".into(), wanted),
            "extra" => (format!("live/{key}"), not),
            _ => (format!("live/{key}"), wanted),
        };
        let _ = writeln!(out, "{bold}--- {live}{bold:#}\n{bold}+++ {git}{bold:#}");
        if !object.why.is_empty() {
            let _ = writeln!(out, "    {}", clean(&object.why));
        }
        for field in &object.fields {
            let _ = writeln!(out, "@@ {} @@", clean(&field.path));
            for (value, sign, style) in [(&field.live, '-', red), (&field.git, '+', green)] {
                if !value.is_empty() {
                    let _ = writeln!(out, "{style}{sign}{}{style:#}", clean(value));
                }
            }
        }
    }
    out
}

/// Runs `ledger`.
pub(super) async fn ledger(context: &Context, verb: LedgerVerb) -> Result<(), Error> {
    match verb {
        LedgerVerb::Verify => verify::run(context).await,
        LedgerVerb::Salvage(args) => salvage::run(context, &args),
        LedgerVerb::Info => {
            let client = context.client();
            let info = match client.probe().await {
                Ok(()) => client.get("ledger", "").await?,
                Err(crate::http::ClientError::Unreachable { .. }) => {
                    crate::http::ledger_dto(&files::open(context.config())?.info())
                }
                Err(error) => return Err(error.into()),
            };
            let text = output::one(&info, context.global.output, ledger_text, |info| {
                info.ledger_id.clone()
            });
            output::print(&text)
        }
    }
}

fn ledger_text(info: &dto::Ledger) -> String {
    let time = |time: &Option<String>| time.as_deref().map_or_else(|| "-".to_owned(), local_time);
    let index = if info.index_bytes == 0 {
        "not open".to_owned()
    } else {
        format!("{}, up to event #{}", size(info.index_bytes), info.index_seq)
    };
    let checked = match (info.checked, &info.checked_at) {
        (Some(seq), Some(at)) => format!("up to #{seq}, at {}", local_time(at)),
        _ => "not since it was opened (greffier ledger verify)".to_owned(),
    };
    let rows = [
        ("ledger", info.ledger_id.clone()),
        ("head", format!("#{} {}", info.head, info.head_hash)),
        (
            "events",
            format!("{}, from {} to {}", info.events, time(&info.oldest), time(&info.newest)),
        ),
        ("blobs", info.blobs.to_string()),
        (
            "segments",
            format!(
                "{} in {}",
                size(info.segment_bytes),
                count(usize::try_from(info.segments).unwrap_or(usize::MAX), "file")
            ),
        ),
        ("index", index),
        ("key", info.key_fingerprint.clone().unwrap_or_else(|| "not at hand".to_owned())),
        ("damage", info.damage.clone().unwrap_or_else(|| "none met".to_owned())),
        ("checked", checked),
    ];
    rows.iter().map(|(name, text)| format!("{name:<9} {}\n", clean(text))).collect()
}
