//! The handlers for what an application renders to and what that would change.

use axum::Json;
use axum::extract::{Path, Query, State as Having};
use axum::http::StatusCode;
use serde::Deserialize;

use super::api::{Answer, Asked, Given, about, exists};
use super::convert;
use super::dto;
use super::error::Error;
use super::server::State;
use crate::model::ObjectKey;
use crate::query::desired::{Desired, desired};
use crate::query::instant::{About, At};
use crate::query::trial::{Wanted, gather, shown};
use crate::query::{self, AppView};
use crate::reconcile::{Definition, Trial, TrialError};
use crate::replay::World;

impl From<TrialError> for Error {
    fn from(error: TrialError) -> Self {
        let message = error.to_string();
        let (status, code, hint) = match error {
            TrialError::UnknownApp(_) => (StatusCode::NOT_FOUND, "unknown_app", ""),
            TrialError::Revision(_) => (
                StatusCode::NOT_FOUND,
                "unknown_revision",
                "push it first, and let greffier fetch it: `greffier refresh`",
            ),
            TrialError::Render { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "does_not_render", ""),
        };
        Self::new(status, code, message, hint)
    }
}

/// Which revision.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RevisionQuery {
    rev: Option<String>,
    at: Option<String>,
}

impl RevisionQuery {
    fn revision(&self) -> Option<String> {
        self.rev.clone().filter(|revision| !revision.is_empty())
    }

    /// The instant: only where no revision is given.
    async fn instant(&self, state: &State, name: &str) -> Result<Option<At>, Error> {
        let at = state.asked_at(self.at.as_deref(), About::app(name)).await?;
        if at.is_some() && self.revision().is_some() {
            return Err(Error::bad_request("an instant and a revision do not go together"));
        }
        Ok(at)
    }
}

pub(super) async fn render(
    Having(state): Having<State>,
    Path(name): Path<String>,
    asked: Asked<RevisionQuery>,
) -> Answer<dto::Rendered> {
    let Query(asked) = asked?;
    if let Some(at) = asked.instant(&state, &name).await? {
        let reader = |world: &World, view: &AppView<'_>| desired(world, view);
        let pending = about(&state, Some(&at), name.clone(), reader).await?;
        let read = state.book_at(Some(&at), move |book| pending.read(book));
        return Ok(Json(rendered(name, read.await??)));
    }
    // An application that is not there is named with those that look like it.
    exists(&state, &name).await?;
    let Trial { revisions, objects, tool, warnings } =
        state.trial(name.clone(), asked.revision()).await?;
    let objects = objects.into_iter().map(|object| dto::RenderedObject {
        object: object.key.to_string(),
        wave: object.wave,
        origin: object.origin,
        manifest: shown(&object.key, object.manifest),
    });
    let commits = revisions.into_iter().map(|revision| revision.commit.to_string()).collect();
    Ok(Json(dto::Rendered { app: name, commits, tool, warnings, objects: objects.collect() }))
}

pub(super) async fn definition(
    Having(state): Having<State>,
    Path(name): Path<String>,
) -> Answer<Definition> {
    let found = about(&state, None, name, |world, view| Definition::of(world, view.name)).await?;
    found.map(Json).ok_or_else(|| Error::internal("the application is gone"))
}

pub(super) async fn diff(
    Having(state): Having<State>,
    Path(name): Path<String>,
    asked: Asked<RevisionQuery>,
) -> Answer<dto::Diff> {
    let Query(asked) = asked?;
    let at = asked.instant(&state, &name).await?;
    let Some(revision) = asked.revision() else {
        let gathered = about(&state, at.as_ref(), name.clone(), |world, view| {
            let commit = view.app.commit().map(ToString::to_string).unwrap_or_default();
            (query::diff::gather(world, view), commit)
        });
        let (pending, commit) = gathered.await?;
        let sandbox = state.sandbox();
        let read = state.book_at(at.as_ref(), move |book| pending.read(book, &sandbox));
        let diff = read.await??;
        return Ok(Json(convert::diff(&name, commit, diff)));
    };
    exists(&state, &name).await?;
    let trial = state.trial(name.clone(), Some(revision.clone())).await?;
    let objects = trial.objects.into_iter();
    let wanted = objects.map(|object| Wanted { key: object.key, manifest: object.manifest });
    compare(&state, name, revision, wanted.collect()).await
}

pub(super) async fn diff_against(
    Having(state): Having<State>,
    Path(name): Path<String>,
    body: Given<dto::DiffBody>,
) -> Answer<dto::Diff> {
    let Json(dto::DiffBody { objects }) = body?;
    let wanted: Result<Vec<Wanted>, _> = objects
        .into_iter()
        .map(|object| {
            object.object.parse::<ObjectKey>().map(|key| Wanted { key, manifest: object.manifest })
        })
        .collect();
    let wanted = wanted.map_err(|error| Error::bad_request(error.to_string()))?;
    compare(&state, name, String::new(), wanted).await
}

async fn compare(
    state: &State,
    name: String,
    what: String,
    wanted: Vec<Wanted>,
) -> Answer<dto::Diff> {
    let pending =
        about(state, None, name.clone(), |world, view| gather(world, view.name, wanted)).await?;
    let ledger = state.ledger.clone();
    let sandbox = state.sandbox();
    let diff = state.blocking(move || pending.read(&ledger, &sandbox)).await??;
    Ok(Json(convert::diff(&name, what, diff)))
}

/// What an application was to be, as it goes over the wire.
#[must_use]
pub fn rendered(app: String, desired: Desired) -> dto::Rendered {
    let objects = desired.objects.into_iter().map(|object| dto::RenderedObject {
        object: object.key.to_string(),
        wave: object.wave,
        origin: object.origin,
        manifest: object.manifest,
    });
    let commits = desired.commits.iter().map(ToString::to_string).collect();
    let (tool, warnings) = (desired.tool, desired.unknown);
    dto::Rendered { app, commits, tool, warnings, objects: objects.collect() }
}
