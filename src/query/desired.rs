//! What an application was to be, as recorded: no Git and no renderer is needed for it.
//!
//! Security: of a Secret only what names and describes it is told.

use serde_json::Value;

use super::apps::AppView;
use super::book::Book;
use crate::ledger;
use crate::model::{BlobAddr, CommitId, ObjectKey, Seq};
use crate::plan::secret::shown;
use crate::replay::World;

/// An object that was to be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredManifest {
    /// Its key.
    pub key: ObjectKey,
    /// Its sync wave.
    pub wave: i32,
    /// The file that it came from, as far as known.
    pub origin: String,
    /// Its manifest; never with a Secret's values.
    pub manifest: Value,
}

/// What an application was to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// The commit of each of its sources.
    pub commits: Vec<CommitId>,
    /// Where it was taken from, in words.
    pub tool: String,
    /// The objects, in order of their keys.
    pub objects: Vec<DesiredManifest>,
    /// What cannot be told, and why.
    pub unknown: Vec<String>,
}

/// An object whose manifest is still to be read.
#[derive(Debug, Clone)]
struct Entry {
    key: ObjectKey,
    wave: i32,
    origin: String,
    manifest: BlobAddr,
}

/// What [`Pending::read`] reads.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    render: Option<Seq>,
    commits: Vec<CommitId>,
    entries: Vec<Entry>,
}

/// Gathers what was to be. Does no I/O.
#[must_use]
pub fn desired(_: &World, view: &AppView<'_>) -> Pending {
    let Some(desired) = &view.app.desired else { return Pending::default() };
    let entries = desired.objects.values().map(|object| Entry {
        key: object.key.clone(),
        wave: object.wave,
        origin: object.origin.clone(),
        manifest: object.manifest,
    });
    Pending {
        render: Some(desired.seq),
        commits: desired.revisions.iter().map(|revision| revision.commit.clone()).collect(),
        entries: entries.collect(),
    }
}

impl Pending {
    /// Reads the manifests.
    ///
    /// # Errors
    /// What the ledger says about a blob that cannot be read, except that a sealed one without a
    /// key at hand is reported as unknown.
    pub fn read(self, book: &dyn Book) -> Result<Desired, ledger::Error> {
        let mut found = Desired { commits: self.commits, ..Desired::default() };
        match self.render {
            Some(seq) => found.tool = format!("as recorded by #{seq}"),
            None => {
                found.tool = "as recorded".to_owned();
                found.unknown.push("nothing had been rendered by then".to_owned());
            }
        }
        for Entry { key, wave, origin, manifest } in self.entries {
            let bytes = match book.blob(manifest) {
                Ok(bytes) => bytes,
                Err(error @ ledger::Error::Sealed(_)) => {
                    found.unknown.push(format!("{key}: {error}"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match serde_json::from_slice::<Value>(&bytes) {
                Ok(manifest) => {
                    let manifest = shown(&key, manifest);
                    found.objects.push(DesiredManifest { key, wave, origin, manifest });
                }
                Err(_) => found.unknown.push(format!("{key}: its manifest cannot be read")),
            }
        }
        Ok(found)
    }
}
