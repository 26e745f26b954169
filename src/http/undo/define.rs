//! Undoing the removal of an application: it is defined again as it was.

use axum::Json;
use axum::response::{IntoResponse as _, Response};

use super::Undo;
use crate::command::Command;
use crate::http::api;
use crate::http::error::Error;
use crate::model::AppName;
use crate::query::children;
use crate::query::rollback::HoldPlan;
use crate::query::undo::{self, NotUndone};

/// How it is done, in words.
const AGAIN: &str = "it is defined again, by you, and follows Git";

impl Undo {
    /// Defines an application again that a person removed, unless somebody has since.
    pub(super) async fn define(self, app: AppName, manifest: &[u8]) -> Result<Response, Error> {
        let (seq, name) = (self.seq, app.clone());
        let there =
            self.state.read(move |world, _| world.apps.get(&name).is_some_and(|app| !app.removing));
        if there.await? {
            return Err(NotUndone::Over { seq, what: "the removal" }.into());
        }
        if !self.asked.plan {
            let manifest = serde_json::from_slice(manifest).unwrap_or_default();
            let command = Command::AddApp { manifest };
            return Ok(api::carry_out(&self.state, self.peer, command).await?.into_response());
        }
        let (ledger, before) = (self.state.ledger.clone(), undo::before(seq));
        let apps = [app.clone()];
        let come = self.state.blocking(move || children::come(&ledger, &apps, before)).await??;
        let plan = HoldPlan {
            subject: format!("application {app}"),
            undoes: seq.0,
            how: AGAIN.to_owned(),
            define: vec![app.to_string()],
            come,
            ..HoldPlan::default()
        };
        Ok(Json(plan).into_response())
    }
}
