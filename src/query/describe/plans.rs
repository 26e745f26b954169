//! What people are told of dry runs.

use super::{Described, ERROR_CHARS_MAX, NAMED_MAX, clean_key, field_change};
use crate::ledger::event::{ObjectPreviewedV1, Preview};
use crate::query::text::{clip, list};

/// The answer of a dry run.
pub(super) fn previewed(body: &ObjectPreviewedV1) -> Described {
    let key = clean_key(&body.key);
    let text = match &body.result {
        Preview::Same => format!("{key} is as Git says, and greffier has not applied it"),
        Preview::Changes(fields) => {
            let fields = list(fields.iter().map(field_change), NAMED_MAX);
            format!("applying {key} would change {fields}")
        }
        Preview::Refused(error) => {
            format!("{key} cannot be compared with Git: {}", clip(error, ERROR_CHARS_MAX))
        }
        Preview::Failed(error) => {
            format!("{key} is not compared with Git yet: {}", clip(error, ERROR_CHARS_MAX))
        }
    };
    Described::of_app(&body.app, text).noise().object(&body.key)
}
