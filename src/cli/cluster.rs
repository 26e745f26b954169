//! `cluster`: which one is kept; `cluster accept`: keep the one that answers, shown first.

use std::fmt::Write as _;

use super::args::{ClusterArgs, ClusterVerb, Format};
use super::asker::{Asker, Context};
use super::change::{accepted, asked};
use super::error::Error;
use super::output;
use super::table::{local_time, table};
use crate::http::dto;
use crate::query::cluster::{Accepting, AppAfter, Known};
use crate::query::text::{clean, count, list};

/// How many objects are shown of what would follow.
const OBJECTS_SHOWN_MAX: usize = 100;
/// How many of those are named that nobody wants.
const LEFT_SHOWN_MAX: usize = 20;

/// Runs `cluster`.
pub(super) async fn run(context: &Context, args: ClusterArgs) -> Result<(), Error> {
    match args.verb {
        None => {
            let known = match context.asker().await? {
                Asker::Daemon(client, at) => client.get("cluster", &at.query()).await?,
                Asker::Files(files) => files.cluster(),
            };
            let text = output::one(&known, context.global.output, text, |known| known.uid.clone());
            output::print(&text)
        }
        Some(ClusterVerb::Accept { plan, reason, yes }) => accept(context, plan, reason, yes).await,
    }
}

async fn accept(context: &Context, plan: bool, reason: String, yes: bool) -> Result<(), Error> {
    let client = context.daemon().await?;
    let ask = dto::AcceptBody { plan: true, reason, ..dto::AcceptBody::default() };
    let shown: Accepting = client.post("cluster/accept", &ask).await?;
    if plan {
        let uid = |shown: &Accepting| shown.cluster.uid.clone();
        return output::print(&output::one(&shown, context.global.output, plan_text, uid));
    }
    if context.global.output == Format::Table && (!context.global.quiet || !yes) {
        output::say(plan_text(&shown).trim_end());
    }
    if !yes {
        asked("accepted", "greffier cluster accept --yes")?;
    }
    // What was shown, and nothing else. Who does not ask was shown nothing to agree to.
    let hash = if yes { String::new() } else { shown.hash };
    let doubt = shown.cluster.doubt.as_ref().map(|doubt| doubt.seq).unwrap_or_default();
    let uid = shown.cluster.uid.clone();
    let body = dto::AcceptBody { uid, doubt, hash, plan: false, ..ask };
    let done: dto::Accepted = client.post("cluster/accept", &body).await?;
    accepted(context, &done, &format!("cluster {} is kept from here on", clean(&body.uid)))
}

/// Which cluster it is, for people.
pub(super) fn text(known: &Known) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut row = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<9} {}", clean(&text));
    };
    if known.uid.is_empty() {
        row("cluster", "not known yet".to_owned());
    } else {
        row("cluster", format!("{} at {}, Kubernetes {}", known.uid, known.server, known.version));
    }
    if let Some(error) = &known.lost {
        row("", format!("UNREACHABLE: {error}"));
    }
    if !known.kept.is_empty() {
        let since = format!("since #{} ({})", known.since, local_time(&known.since_at));
        row("kept", format!("{} {since}", known.kept));
    }
    if let Some(doubt) = &known.doubt {
        row("DOUBT", format!("{} ({})", doubt.what, local_time(&doubt.at)));
        row("", "nothing is written, and nothing that is absent counts as deleted".to_owned());
        row("", "to keep the cluster that answers: greffier cluster accept".to_owned());
    }
    for former in &known.formers {
        let span = format!("#{} to #{}", former.since, former.until);
        row("former", format!("{} {span}, until #{} was accepted", former.uid, former.accepted));
    }
    out
}

/// The columns of [`row`].
const HEADER: [&str; 10] =
    ["APP", "CREATE", "WRITE", "COMPARE", "SAME", "GATED", "REMOVE", "DEFINE", "OTHER", "NOTE"];

/// What would be done for an application.
fn row(app: &AppAfter) -> Vec<String> {
    let AppAfter { create, update, compare, same, gated, remove, define, other, .. } = app;
    let counts = [create, update, compare, same, gated, remove, define, other];
    let notes = [app.restrained.as_str(), app.not_known.as_str()];
    let notes: Vec<&str> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    let counts = counts.iter().map(ToString::to_string);
    [app.app.clone()].into_iter().chain(counts).chain([notes.join("; ")]).collect()
}

/// What would follow, for people.
fn plan_text(shown: &Accepting) -> String {
    let mut out = String::new();
    let cluster = &shown.cluster;
    let what = cluster.doubt.as_ref().map(|doubt| doubt.what.as_str()).unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", clean(what));
    let _ =
        writeln!(out, "kept from here on: {} at {}", clean(&cluster.uid), clean(&cluster.server));
    let _ = writeln!(
        out,
        "of {} it is forgotten that greffier applied them to the former cluster: {} are here all the \
         same and become greffier's own again, {} do not",
        count(shown.forgotten, "object"),
        shown.here,
        shown.forgotten.saturating_sub(shown.here),
    );
    let _ = writeln!(out, "objects: {}", shown.summary());
    out.push_str(&table(&HEADER, shown.apps.iter().map(row)));
    for gone in &shown.gone {
        let _ = writeln!(out, "GOES with what Git dropped: {}", clean(&gone.text()));
    }
    objects(&mut out, shown);
    if !shown.left.is_empty() {
        let _ = writeln!(
            out,
            "greffier applied {} once, here or to the former cluster, that no application wants, and \
             leaves them: {}",
            count(shown.left.len(), "object"),
            list(shown.left.iter().cloned(), LEFT_SHOWN_MAX),
        );
    }
    out
}

/// What would become of each object, as far as a terminal bears it.
fn objects(out: &mut String, shown: &Accepting) {
    let all = shown.apps.iter().flat_map(|app| app.objects.iter().map(|object| (&app.app, object)));
    let count = all.clone().count();
    if count == 0 {
        return;
    }
    let rows = all.take(OBJECTS_SHOWN_MAX).map(|(app, object)| {
        vec![object.fate.clone(), app.clone(), object.object.clone(), object.why.clone()]
    });
    out.push_str(&table(&["WHAT", "APP", "OBJECT", "WHY"], rows));
    if let more @ 1.. = count.saturating_sub(OBJECTS_SHOWN_MAX) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "and {more} more (greffier cluster accept --plan -o json has all)");
    }
}
