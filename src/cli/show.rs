//! `show`: everything known about one thing.

use std::fmt::Write as _;

use super::asker::{Asker, Context, Wanted};
use super::error::Error;
use super::log::{self, Subject};
use super::read::{held, short};
use super::table::local_time;
use super::yaml::to_yaml;
use super::{at, output};
use crate::http::dto;
use crate::model::{Instant, ObjectKey, Seq};
use crate::query::ResourceFilter;
use crate::query::instant::About;
use crate::query::people::Party;
use crate::query::text::clean;
use crate::query::why::{HELD_AT, Reason};

/// How many of its events are shown with a thing.
const EVENTS_SHOWN: usize = 10;

/// The subject with the namespace, where it is an object that does not say its own.
pub(super) fn within(subject: String, namespace: Option<&str>) -> String {
    match (namespace, subject.split_once('/')) {
        (Some(namespace), Some((kind, name))) if !name.contains('/') => {
            format!("{kind}/{namespace}/{name}")
        }
        _ => subject,
    }
}

/// Runs `show`.
pub(super) async fn run(
    context: &Context,
    subject: &str,
    known: Option<&str>,
) -> Result<(), Error> {
    let about = About::named(subject, None);
    let subject = Subject::parse(subject)?;
    let known = known.map(at::parse).transpose()?.map(Instant::or_end);
    if known.is_some() && matches!(subject, Subject::App(_)) {
        return Err(Error::usage("--as-known-at is for objects and events")
            .hint("--at shows an application as it was at an instant"));
    }
    let asker = context.asker_about(about).await?;
    let format = context.global.output;
    let text = match subject {
        Subject::Event(seq) => {
            let row = asker.event(seq, known.as_ref()).await?;
            output::one(&row, format, event_text, |row| format!("#{}", row.seq))
        }
        Subject::App(name) => {
            let app = asker.app(&name).await?;
            let wanted = Wanted { app: Some(name), ..Wanted::default() };
            let (rows, ..) = asker.newest(&wanted, EVENTS_SHOWN).await?;
            output::one(&app, format, |app| app_text(app, &rows), |app| app.name.clone())
        }
        Subject::Object(key) if known.is_some() || context.global.at.is_some() => {
            let key = asker.named(&key).await?.key;
            let found = asker.object_at(&key, known.as_ref()).await?;
            let nothing = found.state.is_none() && found.former.is_empty();
            if nothing && found.next.is_none() && found.certainty == "exact" {
                return Err(Error::usage(format!("nothing had been recorded of {key} by then"))
                    .hint(format!("`greffier log {key}` tells since when")));
            }
            output::one(&found, format, object_at_text, |found| found.object.clone())
        }
        Subject::Object(key) => {
            let key = asker.named(&key).await?.known()?;
            let wanted = Wanted { object: Some(key.to_string()), ..Wanted::default() };
            let (rows, head, _) = asker.newest(&wanted, EVENTS_SHOWN).await?;
            let Some(resource) = find(&asker, &key).await? else {
                return gone(context, &asker, &key, &rows).await;
            };
            let held = of_hold(&asker, &resource).await?;
            let first = rows.first().map_or(head, |row| row.seq);
            let span = (Instant::Event(Seq(first)), Instant::Event(Seq(head)));
            let coverage =
                at::covered(&asker, &About::object(&key), span, context.global.quiet).await?;
            let shown = Shown { of: &resource, held };
            let covered = at::Covered { of: &shown, coverage: &coverage };
            let text = |covered: &at::Covered<'_, Shown<'_>>| object_text(covered.of, &rows);
            output::one(&covered, format, text, |covered| covered.of.of.object.clone())
        }
    };
    output::print(&text)
}

async fn find(asker: &Asker, key: &ObjectKey) -> Result<Option<dto::Resource>, Error> {
    let filter = ResourceFilter {
        namespace: Some(key.namespace().to_owned()),
        kind: Some(key.group_kind().to_string()),
        app: None,
    };
    let found = asker.resources(filter).await?;
    let wanted = key.to_string();
    Ok(found.into_iter().find(|resource| resource.object == wanted))
}

/// An object as it is, and the hold of its application.
#[derive(serde::Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    of: &'a dto::Resource,
    /// By which hold, and what Git says instead; absent where its application is not held.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Reason>,
}

/// What `why` says of the hold of an object's application.
async fn of_hold(asker: &Asker, resource: &dto::Resource) -> Result<Option<Reason>, Error> {
    if resource.app.is_empty() {
        return Ok(None);
    }
    let why = asker.why(&resource.object, None, None).await?;
    Ok(why.reasons.into_iter().find(|reason| reason.code == HELD_AT))
}

/// What was an object, and how it went.
#[derive(serde::Serialize)]
struct Gone<'a> {
    #[serde(flatten)]
    of: &'a dto::ObjectAt,
    /// Who removed it.
    who: Option<&'a dto::Who>,
}

/// Shows an object that is not there: since when, and by whom.
async fn gone(
    context: &Context,
    asker: &Asker,
    key: &ObjectKey,
    rows: &[dto::Event],
) -> Result<(), Error> {
    let found = asker.object_at(key, Some(&Instant::Now)).await?;
    if found.state.is_none() && found.former.is_empty() {
        return Err(Error::usage(format!("nothing was ever seen of {key}"))
            .hint(format!("`greffier log {key}` lists what else is recorded of it")));
    }
    let told = match &found.state {
        Some(state) if !state.present => Some(asker.event(Seq(state.seq), None).await?),
        _ => None,
    };
    let gone = Gone { of: &found, who: told.as_ref().and_then(|event| event.who.as_ref()) };
    let text = |gone: &Gone<'_>| gone_text(gone, rows);
    let text = output::one(&gone, context.global.output, text, |gone| gone.of.object.clone());
    output::print(&text)
}

fn gone_text(gone: &Gone<'_>, rows: &[dto::Event]) -> String {
    let mut out = match &gone.of.state {
        Some(state) if !state.present => {
            let how = if state.learned == "listed" {
                "a list did not show it any more: it went some time before"
            } else {
                "seen as it happened"
            };
            let by = match gone.who {
                Some(who) if !who.claims.is_empty() => {
                    let names: Vec<String> =
                        who.claims.iter().map(|claim| claim.party.text()).collect();
                    format!("{} ({})", names.join(" or "), who.verdict)
                }
                _ => "unknown".to_owned(),
            };
            let since = local_time(&state.recorded);
            format!(
                "{:<10} {}\n{:<10} since {since} (#{}, {how}), by {}\n",
                "object",
                clean(&gone.of.object),
                "GONE",
                state.seq,
                clean(&by)
            )
        }
        _ => object_at_text(gone.of),
    };
    out.push_str(&log::rows(rows, super::args::Format::Table));
    out
}

fn event_text(row: &dto::Event) -> String {
    let mut out = log::rows(std::slice::from_ref(row), super::args::Format::Table);
    let causes: Vec<String> = row.causes.iter().map(|cause| format!("#{cause}")).collect();
    let pairs = [
        ("id", row.id.as_str()),
        ("recorded", &row.time),
        ("actor", &row.actor),
        ("commit", &row.commit),
        ("correlation", &row.correlation),
    ];
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(out, "{name:<12} {}", clean(value));
    }
    if !causes.is_empty() {
        let _ = writeln!(out, "{:<12} {}", "causes", causes.join(", "));
    }
    if let Some(who) = &row.who {
        who_text(who, &mut out);
    }
    if let Some(detail) = &row.detail {
        out.push_str(&crate::query::text::clean_lines(&to_yaml(detail)));
    }
    out
}

/// Who made the change: the verdict, each claim with what it rests on, and what is behind it.
fn who_text(who: &dto::Who, out: &mut String) {
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "{name:<12} {}", clean(text));
        }
    };
    let seqs =
        |seqs: &[u64]| seqs.iter().map(|seq| format!("#{seq}")).collect::<Vec<_>>().join(", ");
    row(
        "who",
        &format!("{}{}", who.verdict, if who.claims.is_empty() { ": nobody is known" } else { "" }),
    );
    for claim in &who.claims {
        let mut parts = vec![claim.party.text()];
        for (word, text) in [("by credential", &claim.credential), ("of pod", &claim.pod)] {
            if !text.is_empty() {
                parts.push(format!("{word} {text}"));
            }
        }
        if !claim.evidence.is_empty() {
            parts.push(format!("as {} tells", seqs(&claim.evidence)));
        }
        row("", &parts.join(", "));
    }
    if who.more > 0 {
        row("", &format!("or one of {} more", who.more));
    }
    row("because of", &seqs(&who.causes));
    row("not sent", &who.admitted.join(", "));
    row("why not more", &who.why);
    if let Some(gap) = who.gap {
        row("audit gap", &format!("suspected (#{gap})"));
    }
    if let Some(own) = &who.own {
        let of = if own.app.is_empty() { String::new() } else { format!(" of {}", own.app) };
        row("intent", &format!("#{}{of}: {}", own.intent, own.reason));
        row("commit", &own.commit);
        let party = |party: &Option<Party>| party.as_ref().map(Party::text).unwrap_or_default();
        row("author", &party(&own.author_party));
        row("committer", &party(&own.committer_party));
        row("signer", &own.signature.text());
        row("pusher", &own.pusher);
    }
}

fn app_text(app: &dto::App, rows: &[dto::Event]) -> String {
    let mut out = String::new();
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "{name:<10} {}", clean(text));
        }
    };
    row("name", &app.name);
    row("sync", &app.sync);
    row("health", &join(&app.health, &app.health_message));
    for source in &app.sources {
        let lends = if source.lends.is_empty() {
            String::new()
        } else {
            format!(" (lends ${})", source.lends)
        };
        let commit = source.commit.get(..10).unwrap_or_default();
        let mut parts = vec![source.repo.as_str(), &source.revision, &source.path, commit];
        parts.retain(|part| !part.is_empty());
        row("source", &format!("{}{lends}", parts.join(" ")));
    }
    row("commit", &app.commit);
    row("policy", &app.policy.join("+"));
    row("origin", &app.origin);
    if let Some(sync) = &app.last_sync {
        let word = if sync.succeeded { "complete" } else { "NOT COMPLETE" };
        row("last sync", &format!("{} {word}: {}", local_time(&sync.time), sync.message));
    }
    if let Some(hold) = &app.held {
        row("HELD", &held(hold));
    }
    if let Some(pause) = &app.paused {
        row("paused", &join(pause.until.as_deref().unwrap_or("until resumed"), &pause.reason));
    }
    if let Some(gate) = &app.gate {
        let command = format!("greffier approve {} {}", app.name, short(&gate.plan));
        row("gate", &format!("waits for approval ({command})"));
        gate.reasons.iter().for_each(|reason| row("", reason));
    }
    row("problem", app.render_problem.as_deref().unwrap_or_default());
    for what in &app.suspended {
        row("suspended", what);
    }
    for what in &app.warnings {
        row("warning", what);
    }
    out.push_str(&log::rows(rows, super::args::Format::Table));
    out
}

fn join(word: &str, message: &str) -> String {
    if message.is_empty() { word.to_owned() } else { format!("{word}: {message}") }
}

fn object_text(Shown { of: resource, held }: &Shown<'_>, rows: &[dto::Event]) -> String {
    let mut out = String::new();
    let held = held.as_ref().map(|reason| match reason.seq {
        Some(seq) => format!("{} (#{seq})", reason.text),
        None => reason.text.clone(),
    });
    let pairs = [
        ("object", resource.object.clone()),
        ("version", resource.version.clone()),
        ("app", resource.app.clone()),
        ("sync", join(&resource.sync, &resource.why)),
        ("hold", held.unwrap_or_default()),
        ("health", join(&resource.health, &resource.health_message)),
        ("seen", resource.seen.as_deref().map(local_time).unwrap_or_default()),
    ];
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(out, "{name:<10} {}", clean(value));
    }
    out.push_str(&log::rows(rows, super::args::Format::Table));
    out
}

/// An object as of an instant: what it was, how certain that is, and the object itself.
pub(super) fn object_at_text(found: &dto::ObjectAt) -> String {
    let mut out = String::new();
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "{name:<10} {}", clean(text));
        }
    };
    row("object", &found.object);
    row("as of", &format!("{}, event #{}", at::zoned(&found.at.time), found.at.seq));
    row(
        "certainty",
        match found.certainty.as_str() {
            "exact" => "exact: it was watched then",
            "interval" => "interval: it was not watched then, and was found changed afterwards",
            _ => "gap: it was not watched then; nothing tells whether it was something else",
        },
    );
    for span in &found.at.unwatched {
        row("", &at::span_text(span));
    }
    match &found.state {
        None if !found.former.is_empty() => {
            row("state", "NOT SEEN in the cluster as it is then");
            row("former", &found.former);
        }
        None => row("state", "nothing had been recorded of it by then"),
        Some(state) => state_rows(state, &mut row),
    }
    if let Some(next) = &found.next {
        let what = if next.present { "found changed" } else { "found gone" };
        row("next", &format!("{what} at {} (#{})", at::zoned(&next.recorded), next.seq));
    }
    if let Some(manifest) = found.state.as_ref().and_then(|state| state.manifest.as_ref()) {
        out.push_str("---\n");
        out.push_str(&crate::query::text::clean_lines(&to_yaml(manifest)));
    }
    out
}

fn state_rows(state: &dto::ObjectState, row: &mut dyn FnMut(&str, &str)) {
    let what = match (state.present, state.deleting) {
        (false, _) => "gone",
        (true, true) => "there, being deleted",
        (true, false) => "there",
    };
    let how = match state.learned.as_str() {
        "watched" => "seen as it happened",
        "answered" => "the answer to greffier's own write",
        _ => "found by a list: it became so some time before",
    };
    row("state", &format!("{what} since {} (#{}, {how})", at::zoned(&state.recorded), state.seq));
    if state.learned == "listed" && state.valid_from != state.valid_to {
        let (from, to) = (at::zoned(&state.valid_from), at::zoned(&state.valid_to));
        row("changed", &format!("between {from} and {to}, as far as stated"));
    }
    row("health", &join(&state.health, &state.health_message));
    row("uid", &state.uid);
    row("version", &state.resource_version);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: of what is gone it is said since when and by whom, and where nobody knows, that.
    #[test]
    fn what_is_gone_is_said_to_be() {
        let state = dto::ObjectState { seq: 7, learned: "watched".into(), ..Default::default() };
        let of = dto::ObjectAt {
            object: "ConfigMap/hand/later".into(),
            state: Some(state),
            ..Default::default()
        };
        let text = gone_text(&Gone { of: &of, who: None }, &[]);
        assert!(text.contains("GONE"), "{text}");
        assert!(text.contains("(#7, seen as it happened), by unknown"), "{text}");
        let party = Party { name: "alice".into(), ..Party::default() };
        let claim = dto::Claim { party, ..Default::default() };
        let who = dto::Who { verdict: "exact".into(), claims: vec![claim], ..Default::default() };
        let text = gone_text(&Gone { of: &of, who: Some(&who) }, &[]);
        assert!(text.contains("by credential alice (exact)"), "{text}");
    }
}
