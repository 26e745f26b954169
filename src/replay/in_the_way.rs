//! What is refused because of something that is there.
//!
//! What was refused so may come when that has gone: then it is tried again at once, however many
//! tries it had. Otherwise the old object would have gone for nothing.

use super::application::{App, Attempt};
use super::world::{Touched, World};
use crate::ledger::event::DesiredObject;
use crate::model::{AppName, ObjectKey};

impl App {
    /// The last try to write an object as it is wanted, where that failed.
    #[must_use]
    pub fn failed(&self, object: &DesiredObject) -> Option<&Attempt> {
        self.attempts.get(&object.key).filter(|attempt| attempt.digest == object.digest)
    }
}

impl World {
    /// An object is gone that was `owner`'s: what of its kind, or of its application, may have been
    /// refused because of it deserves a new try.
    pub(super) fn out_of_the_way(&mut self, key: &ObjectKey, owner: Option<&AppName>) -> Touched {
        let mut touched = Touched::nothing();
        for (name, app) in &mut self.apps {
            let own = owner == Some(name);
            let before = app.attempts.len();
            app.attempts.retain(|of, attempt| {
                let same = own || (of.group(), of.kind()) == (key.group(), key.kind());
                !same || !may_be_in_the_way(&attempt.error)
            });
            if app.attempts.len() < before {
                touched.apps.insert(name.clone());
            }
        }
        touched
    }
}

/// What is said of something that is there already, or of a quota that is used up. No name, and no
/// path of a field, has a space in it.
const IN_THE_WAY: [&str; 3] = [" is already ", " already exists", "exceeded quota: "];

/// Whether an API server, or a webhook, may have refused an object because of one that is there: a
/// port or an address that is allocated, a host that is defined, a quota that is used up. What goes
/// may be just that.
#[must_use]
pub fn may_be_in_the_way(error: &str) -> bool {
    IN_THE_WAY.iter().any(|words| error.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_told_from_what_is_called_so() {
        for (error, expected) in [
            (
                "spec.ports[0].nodePort: Invalid value: 31555: provided port is already allocated",
                true,
            ),
            (
                "spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: provided IP is already allocated",
                true,
            ),
            (
                "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1",
                true,
            ),
            ("host \"x\" and path \"/\" is already defined in ingress prod/shop", true),
            ("configmaps \"a\" already exists", true),
            (
                "(team-quota/quota-api; apps/v1, Kind=Deployment): .spec.quota: field not declared",
                false,
            ),
            (
                "Deployment.apps \"is-already-there\" is invalid: spec.quota.already: Required value",
                false,
            ),
        ] {
            assert_eq!(may_be_in_the_way(error), expected, "{error}");
        }
    }
}
