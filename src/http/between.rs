//! `GET /between`: what changed between two instants; `GET /apps/{name}/against`: what two
//! applications, or an application then and a revision now, are to be.

use axum::Json;
use axum::extract::{Path, Query, State as Having};
use serde::Deserialize;

use super::api::{Answer, Asked, about};
use super::dto;
use super::error::Error;
use super::server::State;
use crate::model::{AppName, Instant, ObjectKey};
use crate::query::between::{self, Of};
use crate::query::coverage::{self, Moment, Scope};
use crate::query::desired::{self, DesiredManifest, desired};
use crate::query::instant::{About, At};
use crate::query::{AppView, Book, UnknownApp};
use crate::replay::World;
use crate::{http, ledger};

/// Between which instants, and of what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BetweenQuery {
    from: String,
    to: Option<String>,
    app: Option<String>,
    object: Option<String>,
    namespace: Option<String>,
}

impl BetweenQuery {
    fn of(&self) -> Result<Of, Error> {
        let wrong = |error: crate::model::ParseIdError| Error::bad_request(error.to_string());
        match (&self.app, &self.object, &self.namespace) {
            (Some(app), None, None) => Ok(Of::App(app.parse::<AppName>().map_err(wrong)?)),
            (None, Some(key), None) => Ok(Of::Object(key.parse::<ObjectKey>().map_err(wrong)?)),
            (None, None, Some(namespace)) => Ok(Of::Namespace(namespace.clone())),
            _ => Err(Error::bad_request("say one of `app`, `object` and `namespace`")),
        }
    }
}

/// What an instant is about, and whose watching counts.
#[must_use]
pub fn about_of(of: &Of) -> (About, Scope) {
    match of {
        Of::App(app) => (About::app(app.as_str()), Scope::All),
        Of::Object(key) => (About::object(key), Scope::Object(key.clone())),
        Of::Namespace(_) => (About::default(), Scope::All),
    }
}

pub(super) async fn between(
    Having(state): Having<State>,
    asked: Asked<BetweenQuery>,
) -> Answer<dto::Between> {
    let Query(asked) = asked?;
    let of = match asked.of()? {
        Of::Object(key) => Of::Object(state.named(key).await?),
        of => of,
    };
    let (about, scope) = about_of(&of);
    let from = state.asked(&asked.from, about.clone(), Instant::or_begin).await?;
    let to = asked.to.as_deref().filter(|to| !to.is_empty()).unwrap_or("@");
    let to = state.asked(to, about, Instant::or_end).await?;
    in_order(&from, &to)?;
    let people = state.read(|world, _| world.people.clone()).await?;
    let found = match &of {
        Of::Object(key) => {
            let (key, range) = (key.clone(), (from.seq, to.seq));
            let work = move |book: &dyn Book| between::object((book, &people), &key, range);
            state.book_at(None, work).await??.into_iter().collect()
        }
        _ => {
            let first = inventory(&state, &from, &of).await?;
            let last = inventory(&state, &to, &of).await?;
            if let (Of::App(name), false, false) = (&of, first.1, last.1) {
                return Err(UnknownApp { name: name.to_string(), near: Vec::new() }.into());
            }
            let range = (from.seq, to.seq);
            let work = move |book: &dyn Book| {
                between::compare((book, &people), (&first.0, &last.0), range)
            };
            state.book_at(None, work).await??
        }
    };
    let ledger = state.ledger.clone();
    let made = move || between_dto(&ledger, &from, &to, &scope, found);
    Ok(Json(state.blocking(made).await??))
}

fn in_order(from: &At, to: &At) -> Result<(), Error> {
    if from.seq <= to.seq {
        return Ok(());
    }
    let message = format!("{} (#{}) comes after {} (#{})", from.time, from.seq, to.time, to.seq);
    Err(Error { hint: "`from` is the earlier of the two".into(), ..Error::bad_request(message) })
}

/// What there was, and whether an application of that name was.
async fn inventory(state: &State, at: &At, of: &Of) -> Result<(between::Inventory, bool), Error> {
    let of = of.clone();
    let reader = move |world: &World, _: &crate::plan::Compared| {
        let known = !matches!(&of, Of::App(name) if !world.apps.contains_key(name));
        (between::inventory(world, &of), known)
    };
    state.read_at(Some(at), reader).await
}

/// What changed, with what was not watched in between.
///
/// # Errors
/// What the ledger says about a record that cannot be read.
pub fn between_dto(
    book: &dyn Book,
    from: &At,
    to: &At,
    scope: &Scope,
    objects: Vec<between::ObjectBetween>,
) -> Result<dto::Between, ledger::Error> {
    let moment = |at: &At| Moment { seq: at.seq, time: at.time };
    let spans = coverage::read(book, scope, moment(from), moment(to))?;
    Ok(dto::Between {
        from: super::past::with_spans(from, false, &[]),
        to: super::past::with_spans(to, false, &[]),
        unwatched: spans.iter().map(super::past::unwatched).collect(),
        objects,
    })
}

/// The other side of a comparison.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AgainstQuery {
    /// Another application.
    other: Option<String>,
    /// A revision of the same.
    rev: Option<String>,
    at: Option<String>,
}

pub(super) async fn against(
    Having(state): Having<State>,
    Path(name): Path<String>,
    asked: Asked<AgainstQuery>,
) -> Answer<dto::Diff> {
    let Query(AgainstQuery { other, rev, at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::app(&name)).await?;
    let first = wanted(&state, at.as_ref(), &name).await?;
    match (other, rev) {
        (Some(other), None) => {
            let second = wanted(&state, at.as_ref(), &other).await?;
            Ok(Json(http::diff_dto(&name, other, desired::two(&first, &second, false))))
        }
        (None, Some(rev)) => {
            let trial = state.trial(name.clone(), Some(rev.clone())).await?;
            let objects = trial.objects.into_iter().map(|object| DesiredManifest {
                manifest: crate::plan::secret::shown(&object.key, object.manifest),
                key: object.key,
                wave: object.wave,
                origin: object.origin,
            });
            let second = desired::Desired { objects: objects.collect(), ..Default::default() };
            Ok(Json(http::diff_dto(&name, rev, desired::two(&first, &second, true))))
        }
        _ => Err(Error::bad_request("say one of `other` and `rev`")),
    }
}

async fn wanted(state: &State, at: Option<&At>, name: &str) -> Result<desired::Desired, Error> {
    let reader = |world: &World, view: &AppView<'_>| desired(world, view);
    let pending = about(state, at, name.to_owned(), reader).await?;
    Ok(state.book_at(at, move |book| pending.read(book)).await??)
}
