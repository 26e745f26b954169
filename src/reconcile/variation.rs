//! Charts that draw random values, make keys or look at the clock: found out, named once, and kept
//! from changing what is recorded.
//!
//! A render is made anew only when its inputs change, so what was recorded first stays for the
//! same inputs. A chart whose templates mention a function that may vary is rendered once more
//! after its render was recorded, and what differs is told.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::ObjectKey;
use crate::plan::diff::changes;
use crate::render::{Content, Files, RenderedObject};

/// The most fields that are named.
const FIELDS_MAX: usize = 100;
/// The most template files that are looked at; beyond it a chart is taken to be one that may vary.
const FILES_MAX: usize = 2_000;
/// Template functions whose result depends on chance or time, by the beginning of their names.
const FUNCTIONS: [&str; 10] = [
    "rand",
    "uuid",
    "genCA",
    "genSelfSigned",
    "genSigned",
    "genPrivateKey",
    "htpasswd",
    "bcrypt",
    "shuffle",
    "encryptAES",
];
/// Such functions whose names are ordinary words.
const WORDS: [&str; 3] = ["now", "ago", "date"];

/// Whether the chart in `folder` may render differently each time. In doubt it may: then it is
/// rendered once more, which is only slower.
pub(super) fn may_vary(files: &dyn Files, folder: &str) -> bool {
    let folder = folder.trim_matches('/');
    let folder = if folder == "." { "" } else { folder };
    let Ok(listed) = files.list(folder, true) else { return true };
    // Packed dependencies are not looked into.
    if listed.len() > FILES_MAX || listed.iter().any(|file| file.path.ends_with(".tgz")) {
        return true;
    }
    let templates = listed.iter().filter(|file| {
        ["yaml", "yml", "tpl", "txt", "json"].iter().any(|end| file.path.ends_with(end))
    });
    templates.into_iter().any(|file| {
        let path = format!("{folder}/{}", file.path);
        match files.read(path.trim_start_matches('/')) {
            Ok(Some(Content::Bytes(bytes))) => mentions(&String::from_utf8_lossy(&bytes)),
            _ => false,
        }
    })
}

/// Whether a template's actions name such a function.
fn mentions(text: &str) -> bool {
    let actions = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let mut words =
        actions.flat_map(|action| action.split(|c: char| !c.is_ascii_alphanumeric() && c != '.'));
    words.any(|word| {
        WORDS.contains(&word) || FUNCTIONS.iter().any(|function| word.starts_with(function))
    })
}

/// The fields in which two renders of the same inputs differ: object and path, no values.
pub(super) fn differences(
    first: &[RenderedObject],
    second: &[RenderedObject],
) -> Vec<(ObjectKey, String)> {
    let second: BTreeMap<_, _> = second.iter().map(|object| (&object.key, object)).collect();
    let mut found = Vec::new();
    for object in first {
        let other = second.get(&object.key).map_or(&Value::Null, |other| &other.manifest);
        if other.is_null() {
            found.push((object.key.clone(), ".".to_owned()));
            continue;
        }
        let fields = changes(&object.manifest, other).into_iter();
        found.extend(fields.map(|field| (object.key.clone(), field.path)));
    }
    found.truncate(FIELDS_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_action_calls_counts() {
        for varies in [
            "{{ randAlphaNum 12 | b64enc }}",
            "a: {{- now | quote }}",
            "{{ $ca := genCA \"x\" 365 }}",
            "{{ uuidv4 }}",
        ] {
            assert!(mentions(varies), "{varies}");
        }
        for same in ["now: rand", "{{ .Values.now }}", "{{ .Values.random }} now", "{{/* x */}}"] {
            assert!(!mentions(same), "{same}");
        }
    }
}
