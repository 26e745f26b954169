//! What the tags of images stood for.
//!
//! A manifest that names an image by a tag says which image only together with its registry at the
//! time. What was pulled is told by pods: their nodes report it, and every observation of a pod
//! records it ([`PulledImage`](crate::ledger::event::PulledImage)). [`Images`] finds what the pods
//! of a workload ran at an instant, and what any pod has begun to run last under the same name;
//! [`pin`] names images by what was found. What no pod told, or several told differently, is
//! unknown: nothing is guessed, and no registry is asked.

mod history;
mod named;
mod pin;
mod reference;

pub use history::Workload;
use history::{History, Sighting, Then};
use named::{Named, named};
pub use pin::{Pinned, pin};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::Book;
use super::coverage::Moment;
use crate::ledger;
use crate::ledger::event::HeldImage;
use crate::model::ObjectKey;

/// How much of a digest people are shown: `sha256:` and twelve digits.
const SHORT: usize = 19;

/// What a pod told of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The digest, or whatever its node said.
    pub digest: String,
    /// The pod.
    pub pod: String,
    /// The event.
    pub seq: u64,
    /// When that was recorded.
    pub at: String,
}

/// Whether a tag stands for what it stood for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moved {
    /// No pod told of anything else since.
    Same,
    /// A pod has begun to run something else under the name since.
    Moved,
    /// It is not known what it stood for, or whether that is what it stands for.
    #[default]
    Unknown,
}

/// An image that a manifest of then names by a tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageThen {
    /// The object.
    pub object: String,
    /// The container; empty where it has no name.
    pub container: String,
    /// The image.
    pub image: String,
    /// Whether it is the same.
    pub state: Moved,
    /// What pods of the object ran; several = not all of them the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub was: Vec<Told>,
    /// What any pod has begun to run last under the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Told>,
    /// Why it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Why it cannot be named by its digest; empty where it can.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unpinned: String,
    /// The image by its digest, where it is named so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pinned: String,
}

impl From<&Sighting> for Told {
    fn from(seen: &Sighting) -> Self {
        Self {
            digest: seen.pulled.text().to_owned(),
            pod: format!("{}/{}", seen.pod.namespace(), seen.pod.name()),
            seq: seen.seq.0,
            at: seen.time.to_string(),
        }
    }
}

/// The beginning of a digest.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..SHORT).unwrap_or(digest)
}

impl Told {
    fn text(&self) -> String {
        format!("{} (pod {}, #{})", short(&self.digest), self.pod, self.seq)
    }
}

impl ImageThen {
    /// What is to be said of it, in a sentence; `None` = it is the same, and named by its tag.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let Self { object, container, image, .. } = self;
        let subject = match container.as_str() {
            "" => format!("{object}: {image}"),
            container => format!("{object} {container}: {image}"),
        };
        let was: Vec<String> = self.was.iter().map(Told::text).collect();
        let was = was.join(" and ");
        let since = |told: &Told| format!("{} since {}", told.text(), told.at);
        let latest = self.latest.as_ref().map(since);
        if !self.pinned.is_empty() {
            return Some(format!("{subject}: pinned to {was}"));
        }
        Some(match (self.state, was.as_str(), latest) {
            (Moved::Same, ..) => return None,
            (Moved::Moved, was, latest) => {
                format!("{subject}: MOVED: it was {was}, and is {}", latest.unwrap_or_default())
            }
            (Moved::Unknown, "", None) => {
                format!("{subject}: unknown what it was: {}", self.why)
            }
            (Moved::Unknown, "", Some(latest)) => {
                format!("{subject}: unknown what it was: {}; it is {latest}", self.why)
            }
            (Moved::Unknown, was, latest) => {
                let latest = latest.unwrap_or_else(|| "unknown".to_owned());
                format!("{subject}: it was {was}, and is {latest}: {}", self.why)
            }
        })
    }

    /// What is recorded of it with a rollback; `None` = it is the same, and named by its tag.
    #[must_use]
    pub fn held(&self) -> Option<HeldImage> {
        if self.state == Moved::Same && self.pinned.is_empty() {
            return None;
        }
        Some(HeldImage {
            key: self.object.parse().ok()?,
            container: self.container.clone(),
            image: self.image.clone(),
            was: self.was.iter().map(|told| told.digest.clone()).collect(),
            latest: self.latest.as_ref().map(|told| told.digest.clone()).unwrap_or_default(),
            pinned: self.pinned.clone(),
        })
    }
}

/// What images stood for at one instant.
pub struct Images<'b>(History<'b>);

impl<'b> Images<'b> {
    /// About the instant `to`.
    #[must_use]
    pub fn new(book: &'b dyn Book, to: Moment) -> Self {
        Self(History::new(book, to))
    }

    /// Every image that a manifest of then names by a tag.
    ///
    /// # Errors
    /// What the ledger says about a record that cannot be read.
    pub fn of(
        &mut self,
        workload: &Workload<'_>,
        manifest: &Value,
    ) -> Result<Vec<ImageThen>, ledger::Error> {
        let named = named(workload.key, manifest);
        let found = named.iter().map(|named| Ok(self.one(workload, named)?.0));
        found.collect()
    }

    /// One image, and the image by its digest where that is known.
    fn one(
        &mut self,
        workload: &Workload<'_>,
        named: &Named,
    ) -> Result<(ImageThen, Option<String>), ledger::Error> {
        let latest = self.0.latest(&named.image)?;
        let mut found = ImageThen {
            object: workload.key.to_string(),
            container: named.container.clone(),
            image: named.image.clone(),
            latest: latest.as_ref().map(Told::from),
            ..ImageThen::default()
        };
        let mut by_digest = None;
        match self.0.then(workload, named)? {
            Then::Unknown(why) => {
                found.unpinned.clone_from(&why);
                found.why = why;
            }
            Then::Several(told) => {
                found.was = told.iter().map(Told::from).collect();
                found.why = "not all of its pods ran the same".to_owned();
                found.unpinned.clone_from(&found.why);
            }
            Then::One(told) => {
                found.was = vec![Told::from(&*told)];
                let same = latest.and_then(|latest| told.pulled.is_same_as(&latest.pulled));
                found.state = match same {
                    Some(true) => Moved::Same,
                    Some(false) => Moved::Moved,
                    None => Moved::Unknown,
                };
                if same.is_none() {
                    found.why = "what was told of it then and since cannot be compared".to_owned();
                }
                match told.pulled.pin(&named.image) {
                    Ok(image) => by_digest = Some(image),
                    Err(why) => found.unpinned = why,
                }
            }
        }
        if named.place.is_none() {
            let kind = workload.key.group_kind();
            by_digest = None;
            found.unpinned = format!("where {kind} describes its pods is not known");
        }
        Ok((found, by_digest))
    }
}

/// What is recorded with a rollback of what was found, but for the objects that it leaves as they
/// are.
#[must_use]
pub fn held(images: &[ImageThen], left: &[ObjectKey]) -> Vec<HeldImage> {
    let images = images.iter().filter_map(ImageThen::held);
    images.filter(|image| !left.contains(&image.key)).collect()
}

/// The images that are named by tags which moved since.
#[must_use]
pub fn moved(images: &[HeldImage]) -> Vec<&HeldImage> {
    let moved = |image: &&HeldImage| {
        let [was] = image.was.as_slice() else { return false };
        image.pinned.is_empty() && !image.latest.is_empty() && *was != image.latest
    };
    images.iter().filter(moved).collect()
}

/// The image that a hold names by its digest in an object, where `live` is that.
#[must_use]
pub fn pinned_as<'h>(
    images: &'h [HeldImage],
    key: &ObjectKey,
    live: &str,
) -> Option<&'h HeldImage> {
    images.iter().find(|image| image.key == *key && image.pinned == live)
}

#[cfg(test)]
mod tests;
