//! Sentences about rollbacks that nobody asked for.

use super::{Described, NAMED_MAX, Tone};
use crate::ledger::event::{AppHeldV1, AutoRollbackRefusedV1, HeldImage, RollbackCause};
use crate::query::images::{moved, short};
use crate::query::text::{clip, count, list};

/// How long a reason may be, in characters.
const REASON_CHARS_MAX: usize = 500;
/// How long the name of an image may be, in characters.
const IMAGE_CHARS_MAX: usize = 300;

/// A rule rolled an application back.
pub(super) fn automatic(body: &AppHeldV1) -> Described {
    let (to, at, commit) = (body.to.0, body.at, body.desired.revision.commit.short());
    let objects = count(body.desired.objects.len(), "object");
    let images = images(&body.images);
    let text = format!(
        "ROLLED BACK BY ITSELF to #{to} ({at}): {objects} of commit {commit}{images}; {}; it is held there \
         until Git says something else, or `greffier release {}`",
        clip(&body.reason, REASON_CHARS_MAX),
        body.app
    );
    Described::of_app(&body.app, text).tone(Tone::Bad)
}

/// What became of the images that the manifests of then name by tags.
pub(super) fn images(images: &[HeldImage]) -> String {
    let named = |image: &&HeldImage| !image.pinned.is_empty();
    let pinned: Vec<String> =
        images.iter().filter(named).map(|image| clip(&image.pinned, IMAGE_CHARS_MAX)).collect();
    let moved = moved(images).into_iter().map(|image| {
        let was: Vec<&str> = image.was.iter().map(|was| short(was)).collect();
        let name = clip(&image.image, IMAGE_CHARS_MAX);
        format!("{name} was {}, is {}", was.join(" and "), short(&image.latest))
    });
    let moved: Vec<String> = moved.collect();
    let mut text = String::new();
    for (what, images) in [("IMAGES PINNED: ", pinned), ("TAGS MOVED: ", moved)] {
        if !images.is_empty() {
            text = format!("{text}, {what}{}", list(images, NAMED_MAX));
        }
    }
    text
}

/// A rule would have.
pub(super) fn refused(body: &AutoRollbackRefusedV1) -> Described {
    let (commit, message) = (body.from.commit.short(), &body.from.message);
    let what = match body.from.why {
        RollbackCause::Degraded => "it turned Degraded",
        RollbackCause::NotHealthy => "it did not become Healthy",
    };
    let reasons = clip(&body.reasons.join("; "), REASON_CHARS_MAX);
    let message = clip(message, REASON_CHARS_MAX);
    let text =
        format!("NOT ROLLED BACK from commit {commit} although {what} ({message}): {reasons}");
    Described::of_app(&body.app, text).tone(Tone::Bad).commit(Some(&body.from.commit))
}
