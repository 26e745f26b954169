//! What people are told of dry runs, of `ignoreDifferences` that is not understood, of charts that
//! are not deterministic, and of what applies made known beside their result.

use super::{Described, ERROR_CHARS_MAX, NAMED_MAX, Tone, clean_key, field_change};
use crate::ledger::event::{
    IgnoreCheckedV1, IgnoreFailedV1, ObjectPreviewedV1, Preview, ProgramsFoundV1, RemovalAwaitedV1,
    RenderVariedV1, Write, WriteResult,
};
use crate::query::text::{clip, list};

/// The answer of a dry run.
pub(super) fn previewed(body: &ObjectPreviewedV1) -> Described {
    let key = clean_key(&body.key);
    let text = match &body.result {
        Preview::Same => format!("{key} is as it is to be, and greffier has not applied it"),
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

/// What waits for a confirmation before it is deleted.
pub(super) fn awaited(body: &RemovalAwaitedV1) -> Described {
    let (text, tone) = if body.objects.is_empty() {
        ("no deletion asks for a confirmation any more".to_owned(), Tone::Plain)
    } else {
        let names = list(body.objects.iter().map(clean_key), NAMED_MAX);
        (format!("the deletion of {names} asks for a confirmation"), Tone::Warn)
    };
    let described = Described::of_app(&body.app, text).tone(tone);
    Described { objects: body.objects.clone(), ..described }
}

/// Expressions of `ignoreDifferences` that cannot be read.
pub(super) fn checked(body: &IgnoreCheckedV1) -> Described {
    if body.problems.is_empty() {
        let text = "every expression of ignoreDifferences can be read now";
        return Described::of_app(&body.app, text).tone(Tone::Good);
    }
    let problems = body.problems.iter().map(|(expression, what)| {
        format!("`{}` {}", clip(expression, 120), clip(what, ERROR_CHARS_MAX))
    });
    let text = format!(
        "NOT UNDERSTOOD: jqPathExpressions of ignoreDifferences: {}; the objects that they select \
         are not changed",
        list(problems, NAMED_MAX)
    );
    Described::of_app(&body.app, text).tone(Tone::Bad)
}

/// What is ignored of an object could not be found out.
pub(super) fn not_understood(body: &IgnoreFailedV1) -> Described {
    let (key, error) = (clean_key(&body.key), clip(&body.error, ERROR_CHARS_MAX));
    let text = format!("NOT COMPARED {key}: ignoreDifferences: {error}; it is not changed");
    Described::of_app(&body.app, text).tone(Tone::Bad).object(&body.key)
}

/// A chart that draws random values.
pub(super) fn varied(body: &RenderVariedV1) -> Described {
    if body.fields.is_empty() {
        return Described::of_app(&body.app, "renders the same each time now").tone(Tone::Good);
    }
    let fields = body.fields.iter();
    let fields = fields.map(|(key, path)| format!("{} {}", clean_key(key), clip(path, 200)));
    let text = format!(
        "NOT DETERMINISTIC: the same inputs rendered twice differ in {}; what was recorded first stays",
        list(fields, NAMED_MAX)
    );
    Described::of_app(&body.app, text).tone(Tone::Warn)
}

/// Programs that render have other versions than before.
pub(super) fn programs(body: &ProgramsFoundV1) -> Described {
    let found = body.versions.iter();
    let found = found.map(|(what, version)| format!("{} {}", clip(what, 60), clip(version, 60)));
    Described::new(format!("renders are made with {} from now on", list(found, NAMED_MAX)))
}

/// What admission changed, and what stays although it left Git.
pub(super) fn notes<'a>(
    results: &[(u32, WriteResult)],
    write: impl Fn(&u32) -> Option<&'a Write>,
) -> Option<String> {
    let mut said = Vec::new();
    for (index, result) in results {
        let WriteResult::Applied(applied) = result else { continue };
        let key = write(index).map_or_else(|| format!("write {index}"), |w| clean_key(&w.key));
        let admitted = applied.notes.admitted.iter().map(field_change);
        said.extend(admitted.map(|field| format!("{key} admitted differently: {field}")));
        let left = applied.notes.left.iter();
        said.extend(left.map(|(path, who)| {
            let who = clip(&who.join(", "), 80);
            format!("{key} keeps {}, which left Git and is also of {who}", clip(path, 200))
        }));
    }
    (!said.is_empty()).then(|| list(said, NAMED_MAX))
}
