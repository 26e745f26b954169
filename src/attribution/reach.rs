//! Whether a recorded request can have made a change, by the fields that its body names.

use super::change::Change;
use crate::ledger::event::{AuditReach, FieldRemark, FieldSource};

/// How many fields are remarked upon.
const REMARKS_MAX: usize = 64;

/// Whether `path` is `place` or below it.
pub(super) fn is_below(path: &str, place: &str) -> bool {
    let rest = path.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Whether a request that names `place` can have changed `path`: it is in it or around it. What
/// goes with its surroundings was named by whoever removed something in it.
fn touches(place: &str, path: &str) -> bool {
    is_below(path, place) || is_below(place, path)
}

/// How far a request explains a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Explains {
    /// Everything that is listed.
    All,
    /// Some of it; the rest may be its consequence.
    Some,
    /// It can, as far as is known.
    Perhaps,
    /// Nothing of it.
    Nothing,
}

/// How far a request explains a change.
pub(super) fn explains(reach: &AuditReach, subresource: &str, change: &Change) -> Explains {
    if subresource == "scale" {
        // It sets the number and nothing else.
        let replicas = |path: &String| path == ".spec.replicas";
        return match change.more {
            false if !change.is_empty() && change.paths().all(replicas) => Explains::All,
            true if change.is_empty() => Explains::Perhaps,
            _ => Explains::Nothing,
        };
    }
    if change.is_empty() || change.more && change.set.is_empty() && change.removed.is_empty() {
        return Explains::Perhaps;
    }
    let (places, applied) = match reach {
        AuditReach::Unknown | AuditReach::Whole => return Explains::Perhaps,
        AuditReach::Fields(places) => (places, false),
        AuditReach::Applied(places) => (places, true),
    };
    let named = |path: &String| places.iter().any(|place| touches(place, path));
    let set = change.set.iter().filter(|path| named(path)).count();
    // An apply takes away what its manager left out.
    let removed = change.removed.iter().filter(|path| applied || named(path)).count();
    match set + removed {
        0 => Explains::Nothing,
        n if n == change.set.len() + change.removed.len() && !change.more => Explains::All,
        _ => Explains::Some,
    }
}

/// Where the values of the changed fields come from, where the request tells.
pub(super) fn remarks(
    reach: &AuditReach,
    subresource: &str,
    webhooks: &[String],
    change: &Change,
) -> Vec<FieldRemark> {
    let (places, applied) = match reach {
        _ if subresource == "scale" => (Vec::new(), true),
        AuditReach::Unknown | AuditReach::Whole => return Vec::new(),
        AuditReach::Fields(places) => (places.clone(), false),
        AuditReach::Applied(places) => (places.clone(), true),
    };
    let remark = |path: &String, named: bool| FieldRemark {
        path: path.clone(),
        source: if named {
            FieldSource::Request
        } else {
            FieldSource::Admission(webhooks.to_vec())
        },
    };
    let named =
        |path: &String| subresource == "scale" || places.iter().any(|place| touches(place, path));
    let set = change.set.iter().map(|path| remark(path, named(path)));
    let removed = change.removed.iter().map(|path| remark(path, applied || named(path)));
    set.chain(removed).take(REMARKS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(set: &[&str], removed: &[&str]) -> Change {
        let all = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Change { set: all(set), removed: all(removed), ..Change::default() }
    }

    fn fields(paths: &[&str]) -> AuditReach {
        AuditReach::Fields(paths.iter().map(|path| (*path).to_owned()).collect())
    }

    #[test]
    fn a_request_explains_what_it_names_and_what_is_in_it() {
        let image = change(&[".spec.containers[].image"], &[]);
        for (reach, expected) in [
            (fields(&[".spec.containers"]), Explains::All),
            (fields(&[".spec.containers[].image"]), Explains::All),
            (fields(&[".spec.cont"]), Explains::Nothing),
            (fields(&[".metadata.labels.x"]), Explains::Nothing),
            (AuditReach::Whole, Explains::Perhaps),
        ] {
            assert_eq!(explains(&reach, "", &image), expected, "{reach:?}");
        }
        let more = change(&[".spec.a", ".spec.defaulted"], &[]);
        assert_eq!(explains(&fields(&[".spec.a"]), "", &more), Explains::Some);
    }

    #[test]
    fn an_apply_may_have_removed_what_it_leaves_out() {
        let reach = AuditReach::Applied(vec![".spec.a".into()]);
        assert_eq!(explains(&reach, "", &change(&[], &[".spec.b"])), Explains::All);
        assert_eq!(explains(&reach, "", &change(&[".spec.b"], &[])), Explains::Nothing);
        assert_eq!(
            explains(&fields(&[".spec.a"]), "", &change(&[], &[".spec.b"])),
            Explains::Nothing
        );
        assert_eq!(
            explains(&fields(&[".spec.b.c"]), "", &change(&[], &[".spec.b"])),
            Explains::All
        );
    }

    #[test]
    fn scale_sets_the_replicas_alone() {
        let whole = AuditReach::Whole;
        assert_eq!(explains(&whole, "scale", &change(&[".spec.replicas"], &[])), Explains::All);
        let more = change(&[".spec.replicas", ".spec.paused"], &[]);
        assert_eq!(explains(&whole, "scale", &more), Explains::Nothing);
    }
}
