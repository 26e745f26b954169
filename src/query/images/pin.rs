//! Naming the images of a render by what they stood for.

use serde_json::Value;

use super::{ImageThen, Images, Workload, named};
use crate::ledger::event::HeldImage;
use crate::ledger::{self, Blob};
use crate::model::{BlobAddr, Digest, canonical_json};
use crate::query::book::Book;
use crate::query::coverage::Moment;
use crate::replay::Desired;

/// What became of the images of a render.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pinned {
    /// The manifests that are other than they were: they are to be recorded with what names them.
    pub blobs: Vec<Blob>,
    /// Every image that is named by a tag; `None` = images are not to be pinned.
    pub images: Option<Vec<ImageThen>>,
    /// What is recorded of them, where that was found earlier.
    pub recorded: Vec<HeldImage>,
}

impl Pinned {
    /// Images that were pinned when the render was held before.
    #[must_use]
    pub fn again(recorded: Vec<HeldImage>) -> Self {
        Self { recorded, ..Self::default() }
    }

    /// The addresses of the manifests.
    #[must_use]
    pub fn addrs(&self) -> Vec<BlobAddr> {
        self.blobs.iter().map(|blob| blob.addr).collect()
    }

    /// What cannot be named by its digest, and why.
    #[must_use]
    pub fn unpinned(&self, app: &str) -> Vec<String> {
        let images = self.images.iter().flatten().filter(|image| image.pinned.is_empty());
        let line = |image: &ImageThen| {
            let ImageThen { object, container, image, unpinned, was, .. } = image;
            let told: Vec<String> = was.iter().map(super::Told::text).collect();
            let told = match told.len() {
                0 | 1 => String::new(),
                _ => format!(" ({})", told.join(", ")),
            };
            format!("{app}: {object} {container}: {image}: {unpinned}{told}")
        };
        images.map(line).collect()
    }
}

/// Names every image of a render by its digest, as far as pods told what it stood for at `to`.
///
/// A manifest that cannot be read is left as it is: that it is missing is said anyway.
///
/// # Errors
/// What the ledger says about an event that cannot be read.
pub fn pin(book: &dyn Book, to: Moment, desired: &mut Desired) -> Result<Pinned, ledger::Error> {
    let (mut images, mut blobs, mut found) = (Images::new(book, to), Vec::new(), Vec::new());
    let rendered = desired.seq;
    let mut inputs = desired.inputs.0.to_vec();
    for object in desired.objects.values_mut() {
        if object.key.is_secret() || object.key.is_application() {
            continue;
        }
        let Ok(bytes) = book.blob(object.manifest) else { continue };
        let Ok(mut manifest) = serde_json::from_slice::<Value>(&bytes) else { continue };
        let mut changed = false;
        for named in named(&object.key, &manifest) {
            let of = Workload { key: &object.key, digest: object.digest, rendered };
            let (mut image, by_digest) = images.one(&of, &named)?;
            let place = named.place.as_deref().and_then(|place| manifest.pointer_mut(place));
            if let (Some(by_digest), Some(place)) = (by_digest, place) {
                *place = Value::String(by_digest.clone());
                inputs.extend_from_slice(by_digest.as_bytes());
                image.pinned = by_digest;
                changed = true;
            }
            found.push(image);
        }
        if changed {
            let bytes = canonical_json(&manifest);
            object.digest = Digest::of(&bytes);
            let blob = Blob::plain(bytes, Some(object.manifest));
            object.manifest = blob.addr;
            blobs.push(blob);
        }
    }
    if !blobs.is_empty() {
        // It is another render than the one of that commit: what is known of that says nothing of
        // it.
        desired.inputs = Digest::of(&inputs);
    }
    Ok(Pinned { blobs, images: Some(found), recorded: Vec::new() })
}
