//! Objects that are in the cluster and that greffier has not applied as they are wanted: at first
//! contact, and where a new revision may not be applied.
//!
//! Whether such an object is as Git says is not guessed from the manifest: the API server is asked
//! by a dry run, once per manifest and live object, and its answer is an event. An object that
//! greffier applied before and may write to is not asked about: there the apply is the answer. It
//! is where greffier wrote the object later than this ledger knows of: what would be changed then is
//! what a person may have wanted.

use super::{Judge, Need, Status};
use crate::ledger::event::{DesiredObject, FieldChange, Preview, Verb};
use crate::model::{Digest, Mask, Seq};
use crate::plan::DryRun;
use crate::replay::{LiveObject, Previewed};

/// How many fields are named in a reason.
const FIELDS_NAMED_MAX: usize = 3;

impl Judge<'_> {
    /// What an object needs that is there and was not applied as it is wanted.
    pub(super) fn need_of_unapplied(
        &self,
        object: &DesiredObject,
        live: &LiveObject,
        verb: Verb,
        reason: &str,
    ) -> Need {
        let write = |status, reason: &str| Need::Write { verb, status, reason: reason.to_owned() };
        let may = self.permits(object, verb, Status::Changed);
        let asks = verb == Verb::Adopt || self.world.shows_later(&object.key);
        if self.hold(object, verb).is_some() || (may && !asks) {
            return write(Status::Changed, reason);
        }
        let mask = self.mask(&object.key);
        if let Some(unknown) = self.not_understood(&object.key, &mask) {
            return Need::Unknown(unknown);
        }
        let digest = preview_digest(&mask, live, &self.held(object));
        let previewed = self.app.previews.get(&object.key).filter(|previewed| {
            previewed.digest == object.digest
                && previewed.uid == live.uid
                && previewed.live == live.digest
                && previewed.mask == digest
        });
        let Some(previewed) = previewed else { return self.dry_run(object, live, mask) };
        match &previewed.result {
            Preview::Same => self.need_of_same(object, may, verb, reason),
            Preview::Changes(fields) => {
                write(Status::Changed, &format!("{reason}; {}", differing(fields)))
            }
            // The apply is refused as well, and that is recorded and tried again.
            Preview::Refused(_) if may => write(Status::Changed, reason),
            Preview::Refused(error) => {
                let why = format!("not compared with Git: {error}");
                Need::Nothing(Status::Unknown, why)
            }
            Preview::Failed(error) => self.ask_again(object, live, mask, previewed, error),
        }
    }

    /// What an object needs that an apply would leave as it is.
    fn need_of_same(&self, object: &DesiredObject, may: bool, verb: Verb, reason: &str) -> Need {
        let held = !self.held(object).is_empty();
        let status = if held { Status::OnHold } else { Status::Synced };
        let said = |what: &str| match held {
            true => self.beside_holds(&object.key, what),
            false => format!("it is as Git says; {what}"),
        };
        match (may, verb) {
            (true, Verb::Adopt) => {
                let reason = said("its fields become greffier's");
                Need::Write { verb, status, reason }
            }
            (true, _) => Need::Write { verb, status: Status::Changed, reason: reason.to_owned() },
            (false, _) => Need::Nothing(status, said("greffier has not applied it")),
        }
    }

    fn dry_run(&self, object: &DesiredObject, live: &LiveObject, mask: Mask) -> Need {
        if let Some(error) = &self.world.cluster.lost {
            let why = format!("not compared with Git: the API server cannot be reached: {error}");
            return Need::Nothing(Status::Unknown, why);
        }
        Need::DryRun(DryRun {
            key: object.key.clone(),
            version: object.version.clone(),
            manifest: object.manifest,
            digest: object.digest,
            uid: live.uid.clone(),
            live: live.digest,
            observed: live.object,
            method: self.method(object),
            validate: self.validates(object),
            mask_digest: preview_digest(&mask, live, &self.held(object)),
            holds: self.held(object),
            respect: self.world.respected(self.app, &object.key),
            mask,
        })
    }

    fn ask_again(
        &self,
        object: &DesiredObject,
        live: &LiveObject,
        mask: Mask,
        previewed: &Previewed,
        error: &str,
    ) -> Need {
        if previewed.next.is_some_and(|next| next <= self.world.now) {
            return self.dry_run(object, live, mask);
        }
        let why = format!("not compared with Git yet: {error}");
        Need::Wait { status: Status::Unknown, why, progress: true }
    }
}

/// What tells one preview's mask from another: who owns which fields matters as well where the
/// fields of managers are left to them, and so do the holds that are laid over the manifest.
fn preview_digest(mask: &Mask, live: &LiveObject, holds: &[Seq]) -> Digest {
    let managers = (!mask.managers.is_empty()).then_some(live.managers.0);
    let holds = holds.iter().flat_map(|seq| seq.0.to_be_bytes());
    let beside: Vec<u8> = managers.into_iter().flatten().chain(holds).collect();
    match beside.is_empty() {
        true => mask.digest(),
        false => Digest::of(&[&mask.digest().0[..], &beside].concat()),
    }
}

/// Which fields differ, as words.
fn differing(fields: &[FieldChange]) -> String {
    let named: Vec<_> =
        fields.iter().take(FIELDS_NAMED_MAX).map(|field| field.path.as_str()).collect();
    let more = match fields.len().saturating_sub(named.len()) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("it differs in {}{more}", named.join(", "))
}
