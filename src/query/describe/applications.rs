//! What people are told of applications that come and go.

use super::{Described, NAMED_MAX, Tone, clean_key, origin};
use crate::ledger::event::{AppDeclaredV1, AppRemovedV1, Event, Origin};
use crate::model::Seq;
use crate::query::text::{clip, count, list, repo_name};

/// An application was defined, or defined differently.
pub(super) fn declared(body: &AppDeclaredV1, by: &str) -> Described {
    if body.origin == Origin::Unconfigured {
        let text = "the configuration file does not name it any more: it stays as it is";
        return Described::of_app(&body.app, text.to_owned()).tone(Tone::Warn);
    }
    let manifest: serde_json::Value = serde_json::from_slice(&body.manifest).unwrap_or_default();
    let source = manifest.pointer("/spec/source").or_else(|| manifest.pointer("/spec/sources/0"));
    let text = |field: &str| source.and_then(|s| s.get(field)).and_then(|v| v.as_str());
    let from = match text("repoURL") {
        Some(repo) => {
            let revision = clip(text("targetRevision").unwrap_or("HEAD"), 60);
            let path = clip(text("path").unwrap_or("."), 100);
            format!(": {} {revision} {path}", repo_name(repo))
        }
        None => String::new(),
    };
    Described::of_app(&body.app, format!("application defined {}{from}", origin(&body.origin, by)))
}

/// An application that went because of a rollback, or of a release.
pub(super) fn because(described: Described, event: &Event, causes: &[Seq]) -> Described {
    match (event, causes.first()) {
        (Event::AppRemoved(_), Some(cause)) => Described {
            summary: format!("{}, because of #{cause}", described.summary),
            ..described
        },
        _ => described,
    }
}

/// An application was removed, and what becomes of its objects.
pub(super) fn removed(body: &AppRemovedV1, by: &str) -> Described {
    let orphans = &body.orphans;
    let objects = match orphans.len() {
        _ if body.cascade => "its objects are removed first".to_owned(),
        0 => "nothing of it is left".to_owned(),
        n => {
            let names = list(orphans.iter().map(clean_key), NAMED_MAX);
            format!("{} LEFT and nobody's: {names}", count(n, "object"))
        }
    };
    let text = format!("application removed {}; {objects}", origin(&body.origin, by));
    let described = Described::of_app(&body.app, text).tone(Tone::Warn);
    Described { objects: orphans.clone(), ..described }
}
