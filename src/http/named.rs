//! `GET /named`: which object is meant by a name in short.

use axum::Json;
use axum::extract::{Query, State as Having};
use serde::Deserialize;

use super::api::{Answer, Asked};
use super::dto;
use super::error::Error;
use super::server::State;
use crate::model::ObjectKey;
use crate::query::instant::About;
use crate::query::why::{SubjectError, naming};

/// Which object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedQuery {
    object: String,
}

pub(super) async fn named(
    Having(state): Having<State>,
    asked: Asked<NamedQuery>,
) -> Answer<dto::Named> {
    let Query(NamedQuery { object }) = asked?;
    let key: ObjectKey = object.parse().map_err(|error| Error::bad_request(format!("{error}")))?;
    let named = match state.meant(key).await? {
        Ok(key) => dto::Named { object: key.to_string(), ..dto::Named::default() },
        Err(error) => {
            let (unknown, hint) = (Some(error.to_string()), error.hint());
            let SubjectError::Unknown { wanted: object, .. } = error else {
                return Err(error.into());
            };
            dto::Named { object, unknown, hint }
        }
    };
    Ok(Json(named))
}

impl State {
    /// The object that a key names that may be written in short, or why it names none.
    async fn meant(&self, key: ObjectKey) -> Result<Result<ObjectKey, SubjectError>, Error> {
        let naming = self.read(move |world, _| naming(world, &key)).await?;
        let ledger = self.ledger.clone();
        self.blocking(move || naming.read(&ledger)).await
    }

    /// The object that a key names that may be written in short.
    pub(super) async fn named(&self, key: ObjectKey) -> Result<ObjectKey, Error> {
        Ok(self.meant(key).await??)
    }

    /// What a question is about, with its object by its whole key. What names nothing now is left
    /// as it is: whoever answers says so, or knows it from then.
    pub(super) async fn about(&self, about: About) -> About {
        let Some(key) = about.object.clone() else { return about };
        self.named(key).await.map_or(about, |key| About::object(&key))
    }
}
