//! Errors of the API: a status, a stable word, a message, a hint.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::dto;
use crate::command::{self, NotRestored};
use crate::ledger;
use crate::model::{AppName, Seq, with_causes};
use crate::query::search::UnknownKind;
use crate::query::{GateError, UnknownApp, why};
use crate::replay::NotKept;

/// Why a request was not answered. `Display` is what the client is told.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Error {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Why, or each thing that it is about.
    pub(super) causes: Vec<String>,
    pub(super) hint: String,
}

impl Error {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { status, code, message, causes: Vec::new(), hint }
    }

    pub(super) fn because(self, causes: Vec<String>) -> Self {
        Self { causes, ..self }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message, "")
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message, "see the daemon's log")
    }
}

fn did_you_mean(near: &[String], otherwise: &str) -> String {
    if near.is_empty() {
        otherwise.to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    }
}

impl From<UnknownApp> for Error {
    fn from(error: UnknownApp) -> Self {
        let hint = did_you_mean(&error.near, "`greffier get apps` lists them");
        Self::new(StatusCode::NOT_FOUND, "unknown_app", error.to_string(), hint)
    }
}

impl From<UnknownKind> for Error {
    fn from(error: UnknownKind) -> Self {
        let hint = did_you_mean(&error.near, "docs/ledger-format.md lists every kind");
        Self::new(StatusCode::BAD_REQUEST, "unknown_kind", error.to_string(), hint)
    }
}

impl From<why::SubjectError> for Error {
    fn from(error: why::SubjectError) -> Self {
        use why::SubjectError as Subject;
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            Subject::App(error) => error.into(),
            Subject::Malformed(_) => {
                Self::new(StatusCode::BAD_REQUEST, "bad_subject", message, hint)
            }
            Subject::Unknown { .. } | Subject::UnknownKind { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unknown_subject", message, hint)
            }
            Subject::NoEvent { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unknown_event", message, hint)
            }
            Subject::Ambiguous { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "ambiguous_subject", message, hint)
            }
        }
    }
}

impl From<why::Error> for Error {
    fn from(error: why::Error) -> Self {
        match error {
            why::Error::Subject(error) => error.into(),
            why::Error::Field(error) => error.into(),
            why::Error::Ledger(error) => error.into(),
        }
    }
}

impl From<ledger::Error> for Error {
    fn from(error: ledger::Error) -> Self {
        use ledger::Error as Ledger;
        let message = with_causes(&error);
        let (status, code, hint) = match error {
            Ledger::Corrupt { .. } | Ledger::Decode { .. } | Ledger::Unreadable { .. } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "ledger_corrupt",
                "`greffier status` says what to do, `greffier ledger verify` lists all damage",
            ),
            Ledger::Full { .. } => (
                StatusCode::INSUFFICIENT_STORAGE,
                "ledger_full",
                "make room on the file system of data_dir; nothing is lost meanwhile",
            ),
            Ledger::Closed => {
                (StatusCode::SERVICE_UNAVAILABLE, "stopping", "the daemon is stopping")
            }
            Ledger::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", ""),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "ledger", "see the daemon's log"),
        };
        Self::new(status, code, message, hint)
    }
}

impl From<GateError> for Error {
    fn from(error: GateError) -> Self {
        let message = error.to_string();
        let causes = error.cause().map(str::to_owned).into_iter().collect();
        let look = |app: &str| format!("`greffier approve {app}` shows what waits now");
        let (status, code, hint) = match &error {
            GateError::Nothing { .. } => {
                let hint = "`greffier status` lists what waits".to_owned();
                (StatusCode::CONFLICT, "nothing_gated", hint)
            }
            GateError::Above { of, .. } => (StatusCode::CONFLICT, "nothing_gated", look(of)),
            GateError::Other { app, .. } => (StatusCode::CONFLICT, "other_plan", look(app)),
            GateError::Lapsed { app, another: true, .. } => {
                (StatusCode::CONFLICT, "plan_lapsed", look(app))
            }
            GateError::Lapsed { app, .. } => {
                let hint = format!("nothing waits now; `greffier plan {app}` shows what is done");
                (StatusCode::CONFLICT, "plan_lapsed", hint)
            }
            GateError::OfOther { of, .. } => (StatusCode::CONFLICT, "plan_of_other_app", look(of)),
            GateError::Ambiguous { .. } => {
                let hint = "give more digits of the hash".to_owned();
                (StatusCode::BAD_REQUEST, "ambiguous_plan_hash", hint)
            }
            GateError::Prefix { .. } => {
                let hint = "`greffier status` shows the hashes".to_owned();
                (StatusCode::BAD_REQUEST, "bad_plan_hash", hint)
            }
        };
        Self::new(status, code, message, hint).because(causes)
    }
}

impl From<command::NotAccepted> for Error {
    fn from(error: command::NotAccepted) -> Self {
        use command::NotAccepted as Refused;
        let (code, hint) = match &error {
            Refused::NoDoubt { .. } => ("no_doubt", "`greffier cluster` shows which it is"),
            Refused::OtherDoubt { .. } => {
                ("other_doubt", "`greffier cluster accept --plan` shows what answers now")
            }
            Refused::NotSeen(_) => ("not_seen", "`greffier status` shows how far it is"),
        };
        Self::new(StatusCode::CONFLICT, code, error.to_string(), hint)
    }
}

/// What helps where a drift cannot be kept.
fn not_kept_hint(why: NotKept) -> &'static str {
    match why {
        NotKept::Addition => "put it into Git, so that it stays when the object is made anew",
        NotKept::NothingDiffers => "`greffier log --kind drift` lists what differed",
        NotKept::Secret => "commit the change to Git, or pause the application and make it again",
        NotKept::NoPlaces | NotKept::TooMany | NotKept::Position => {
            "commit the change to Git, or pause the application and make it again"
        }
    }
}

impl From<NotRestored> for Error {
    fn from(error: NotRestored) -> Self {
        let (code, hint) = match &error {
            NotRestored::Unrendered(app) => {
                ("unrendered", format!("`greffier why {app}` says what it waits for"))
            }
            NotRestored::HeldOtherwise { key, .. } => {
                ("held_otherwise", format!("`greffier release {key}` follows Git again"))
            }
            NotRestored::NothingToEnd => ("nothing_to_end", "leave --for out".to_owned()),
            NotRestored::Not { .. } => ("not_restored", "nothing was written".to_owned()),
        };
        Self::new(StatusCode::CONFLICT, code, error.to_string(), hint)
    }
}

/// What to do where nothing would be other than it is.
fn as_then(app: &AppName, held: bool) -> String {
    match held {
        true => format!("`greffier release {app}` follows Git again"),
        false => format!(
            "`greffier pause {app}` keeps it from what Git says next; where tags of images moved, \
             --pin-digests brings back what ran then"
        ),
    }
}

/// How what another one defines meanwhile goes back.
fn one_by_one(app: &AppName, above: &AppName, both: Option<&AppName>, to: Seq) -> String {
    let to = to.0;
    let together = both.map(|both| {
        format!("`greffier rollback {both} --tree --to '#{to}'` takes back both who had it and who has it; ")
    });
    format!(
        "{}one by one: `greffier rollback {above} --to '#{to}'` takes that one back alone, \
         `greffier rollback {app} --to '#{to}'` this one where it is now",
        together.unwrap_or_default()
    )
}

impl From<command::Error> for Error {
    fn from(error: command::Error) -> Self {
        use command::Error as Command;
        let message = error.to_string();
        let conflict =
            |code, hint: &str| Self::new(StatusCode::CONFLICT, code, message.clone(), hint);
        match error {
            Command::UnknownApp(error) => error.into(),
            Command::Gate(error) => error.into(),
            Command::Ledger(error) => error.into(),
            Command::Manifest(_) => {
                Self::new(StatusCode::BAD_REQUEST, "bad_application", message, "")
            }
            Command::TooLong { .. } | Command::Past { .. } => Self::bad_request(message),
            Command::UnknownObject { near, .. } => {
                let hint = did_you_mean(&near, "`greffier tree APP` lists its objects");
                Self::new(StatusCode::NOT_FOUND, "unknown_object", message, hint)
            }
            Command::BadMark(_) => Self {
                hint: "letters, digits, and `.`, `_`, `-`, `/`, `+`; at most 100 bytes".to_owned(),
                ..Self::bad_request(message)
            },
            Command::NotPaused(_) => conflict("not_paused", ""),
            Command::NotFrozen => conflict("not_frozen", ""),
            Command::SayWhich { .. } => {
                conflict("say_which", "say --cascade to delete them, or --orphan to leave them")
            }
            Command::NoDrift(_) => conflict("no_drift", "`greffier log --kind drift` lists them"),
            Command::NotKept { why, .. } => {
                Self::new(StatusCode::CONFLICT, "not_kept", message, not_kept_hint(why))
            }
            Command::NotLaid { .. } => {
                conflict("not_kept", "commit the change to Git, or pause the application")
            }
            Command::Unsynced { app, .. } => {
                let hint = format!("`greffier sync {app}` applies it; keep it again then");
                conflict("unsynced", &hint)
            }
            Command::ChangedBeside { app, drift, .. } => {
                let hint = format!(
                    "`greffier keep {}` keeps all of it; or `greffier sync {app}` first",
                    drift.0
                );
                conflict("changed_beside", &hint)
            }
            Command::Left { .. } => conflict("left_git", "there is nothing left to keep"),
            Command::Frozen => conflict("frozen", "`greffier unfreeze` ends the freeze"),
            Command::LeftAlone(_) => {
                conflict("left_alone", "take skip-reconcile out of the Application first")
            }
            Command::BeingRemoved(_) => conflict(
                "being_removed",
                "define it anew first; with --prune what stays of it is let go",
            ),
            Command::NotThen { app, .. } | Command::NothingThen { app, .. } => {
                let hint = format!("`greffier log {app} --kind render` lists what was");
                conflict("nothing_then", &hint)
            }
            Command::AsThen { app, held, .. } => conflict("as_then", &as_then(&app, held)),
            Command::Restore(error) => error.into(),
            Command::NothingHeld(_) => conflict("nothing_held", "`greffier status` lists holds"),
            Command::NotAccepted(error) => error.into(),
            Command::Subject(error) => error.into(),
            Command::DefinedElsewhere { .. } => conflict("defined_elsewhere", ""),
            Command::TakenOver { app, above, both, to, .. } => {
                conflict("defined_elsewhere", &one_by_one(&app, &above, both.as_ref(), to))
            }
            Command::Observing => conflict("observing", "restart the daemon without --observe"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let request_id = uuid::Uuid::now_v7().simple().to_string();
        if self.status.is_server_error() {
            tracing::warn!(request_id, code = self.code, "{}", self.message);
        }
        let (status, code) = (self.status, self.code.to_owned());
        let Self { message, causes, hint, .. } = self;
        let body = dto::Error { code, message, causes, hint, request_id };
        (status, Json(body)).into_response()
    }
}
