//! Deleting an object so that it can be created anew: not before what is to come has been asked
//! about.
//!
//! A creation that the API server would refuse (a mistyped field, a policy, a webhook that is
//! down) leaves nothing where something ran. A dry run of it is answered as the creation itself
//! would be, but for the object that is still there: that it exists, or has the port, is no reason
//! to keep it.

use super::{About, OUT_OF_TIME, delete, failure, manifest};
use crate::cluster::{Class, Error, NO_DRY_RUN, ReplaceRequest};
use crate::ledger::event::{Write, WriteResult};
use crate::reconcile::driver::Parts;
use crate::replay::may_be_in_the_way;

pub(super) async fn run(
    parts: &Parts,
    about: &About,
    write: &Write,
    audit_id: String,
) -> WriteResult {
    let manifest = match manifest(parts, &about.app, write) {
        Ok(manifest) => manifest,
        Err(why) => return WriteResult::Refused(why),
    };
    let request = ReplaceRequest {
        key: write.key.clone(),
        version: write.version.clone(),
        manifest,
        resource_version: None,
        validate: write.validate,
        audit_id: String::new(),
    };
    if let Err(error) = parts.cluster.replace(&request, true).await
        && let Some(result) = refusal(&error)
    {
        return result;
    }
    let Some(cluster) = about.further(parts) else {
        return WriteResult::NotSent(OUT_OF_TIME.into());
    };
    let parts = Parts { cluster, ..parts.clone() };
    delete::run(&parts, about, write, audit_id).await
}

/// How the write ends whose creation was answered like this, if nothing is to be deleted for it.
fn refusal(error: &Error) -> Option<WriteResult> {
    let text = error.chain();
    // A webhook that may not be asked without consequences leaves it open; the options say `Force`.
    if error.class() == Class::Conflict || may_be_in_the_way(&text) || text.contains(NO_DRY_RUN) {
        return None;
    }
    let text = format!("{text}; what is there was not deleted");
    Some(match failure(error) {
        WriteResult::Refused(_) => WriteResult::Refused(text),
        // Nothing was sent that could have changed anything.
        _ => WriteResult::Failed(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, message: &str) -> Option<WriteResult> {
        let (subject, message) = ("dry-run Service/n/s".to_owned(), message.to_owned());
        refusal(&match status {
            409 => Error::Conflict { subject, message },
            500 => Error::FateUnknown { subject, status, message },
            _ => Error::Refused { subject, status, reason: "Invalid".into(), message },
        })
    }

    #[test]
    fn only_what_is_there_may_be_in_the_way_of_what_comes() {
        assert_eq!(of(409, "the API server's text is withheld"), None, "of a Secret, too");
        assert_eq!(of(422, "nodePort: provided port is already allocated"), None);
        assert_eq!(of(400, "admission webhook \"w\" does not support dry run"), None);
        let refused = of(422, "spec.replicas: Invalid value: -1");
        let Some(WriteResult::Refused(text)) = refused else { panic!("{refused:?}") };
        assert!(text.ends_with("; what is there was not deleted"), "{text}");
        let unknown = of(500, "etcdserver: leader changed");
        assert!(matches!(unknown, Some(WriteResult::Failed(_))), "it was a dry run: {unknown:?}");
    }
}
