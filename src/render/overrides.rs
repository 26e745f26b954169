//! `.argocd-source.yaml`: what files beside the manifests override of the Application's source.
//!
//! As in Argo CD, the file of that name in the source's folder comes first, then the one of the
//! application, `.argocd-source-NAME.yaml`; Argo CD Image Updater commits the latter. What cannot
//! be read or is not understood is an error that names the file.

use super::engine::{Error, Input};
use super::files::{self, Target};
use super::single;
use crate::model::{Tool, with_causes};

/// How the files' names begin.
const BEGINNING: &str = ".argocd-source";

/// Which program renders a source: what the Application says, with what the files say in the
/// source's `folder`.
///
/// # Errors
/// One of the files is unreadable, no YAML, or no override.
pub(super) fn tool(input: &Input<'_>, folder: &str) -> Result<Tool, Error> {
    let (app, home) = (&input.app.name, &input.app.home);
    let mut files = Vec::new();
    files.extend(document(input, folder, &format!("{BEGINNING}.yaml"))?);
    // Argo CD gives it the first name where the Application is outside Argo CD's own namespace.
    for name in [format!("{home}_{app}"), app.to_string()] {
        if let Some(found) = document(input, folder, &format!("{BEGINNING}-{name}.yaml"))? {
            files.push(found);
            break;
        }
    }
    let (files, documents): (Vec<String>, Vec<_>) = files.into_iter().unzip();
    input.source.overridden(&documents).map_err(|(index, problem)| Error::Override {
        file: files.get(index).cloned().unwrap_or_default(),
        problem,
    })
}

/// Whether a file is named like one that overrides, for this application or another.
pub(super) fn is_override(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let rest = name.strip_prefix(BEGINNING).and_then(|rest| rest.strip_suffix(".yaml"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// A file and what it says; `None` when there is no such file, or nothing in it.
fn document(
    input: &Input<'_>,
    folder: &str,
    name: &str,
) -> Result<Option<(String, serde_json::Value)>, Error> {
    let path = files::join(folder, name)?;
    let Target::File(bytes) = files::follow(input.files, &path)? else { return Ok(None) };
    match single::parse_one(&bytes, &path) {
        Ok(serde_json::Value::Null) | Err(single::Error::NotOne { documents: 0, .. }) => Ok(None),
        Ok(document) => Ok(Some((path, document))),
        Err(error) => {
            let problem = match &error {
                single::Error::NotOne { documents, .. } => {
                    format!("holds {documents} documents, not one")
                }
                single::Error::Syntax { source, .. } => with_causes(source),
                single::Error::TooLarge { .. } => "is larger than a manifest may be".to_owned(),
            };
            Err(Error::Override { file: path, problem })
        }
    }
}
