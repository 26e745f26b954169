//! How an object is written: applied or replaced, validated or not, and what a write is bound to.

use super::Judge;
use crate::ledger::event::{DesiredObject, Method, Verb, Write};
use crate::model::{Digest, ObjectKey};
use crate::replay::{App, LiveObject, Owned};

impl Judge<'_> {
    /// How the object is sent. Its own annotation wins over the application's option.
    pub(super) fn method(&self, object: &DesiredObject) -> Method {
        let asked = object.options.replace.unwrap_or(self.app.spec.replace);
        if asked || self.world.cluster.no_apply.contains(&object.key.group_kind()) {
            Method::Replace
        } else {
            Method::Apply
        }
    }

    /// Whether the API server is to refuse what it does not know.
    pub(super) fn validates(&self, object: &DesiredObject) -> bool {
        object.options.validate.unwrap_or(self.app.spec.validate)
    }

    /// How the object follows its changed manifest, and why it is written. What somebody put in the place of what
    /// greffier applied is not greffier's to delete: it is replaced in place.
    pub(super) fn verb_of_change(
        &self,
        object: &DesiredObject,
        owned: &Owned,
        live: &LiveObject,
    ) -> (Verb, &'static str) {
        if owned.applied.is_zero() && owned.seq < self.world.cluster.identity.resumed {
            return (Verb::Update, "the cluster was restored from a backup since it was applied");
        }
        if owned.applied.is_zero() {
            return (Verb::Update, "it came from an application that was removed");
        }
        let anew = recreates(self.app, object) && live.uid == owned.uid;
        let held = self.app.is_held();
        let reason = if held { "it is held as it was" } else { "Git changed" };
        (if anew { Verb::Recreate } else { Verb::Update }, reason)
    }

    /// The write `verb` to the object.
    pub(super) fn write(&self, object: &DesiredObject, verb: Verb, reason: String) -> Write {
        let bound = matches!(verb, Verb::TakeOver | Verb::Recreate | Verb::Prune);
        let live = self.world.live.get(&object.key).filter(|_| bound);
        let digest = match verb {
            Verb::Prune => Digest::default(),
            // Its failures must not keep anybody from applying the manifest.
            Verb::TakeOver => take_over_digest(object),
            _ => object.digest,
        };
        let former = self.app.attempts.get(&object.key).filter(|former| former.digest == digest);
        Write {
            verb,
            key: object.key.clone(),
            version: object.version.clone(),
            manifest: (verb != Verb::Prune).then_some(object.manifest),
            digest,
            method: self.method(object),
            validate: self.validates(object),
            precondition: live.map(|live| (live.uid.clone(), live.resource_version.clone())),
            respect: self.respected(&object.key, verb),
            strict: verb == Verb::TakeOver && self.app.spec.strict,
            failed_before: former.map(|former| former.error.clone()).unwrap_or_default(),
            holds: self.held(object),
            reason,
        }
    }
}

/// Whether a changed manifest deletes the object and creates it anew. What holds other objects is
/// replaced in place, as in Argo CD.
pub(in crate::plan) fn recreates(app: &App, object: &DesiredObject) -> bool {
    let replaced = object.options.replace.unwrap_or(app.spec.replace);
    let forced = object.options.force.unwrap_or(app.spec.force);
    replaced && forced && !holds_others(&object.key)
}

fn holds_others(key: &ObjectKey) -> bool {
    key.is("", "Namespace") || key.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

fn take_over_digest(object: &DesiredObject) -> Digest {
    Digest::of(&[b"take over".as_slice(), &object.digest.0].concat())
}
