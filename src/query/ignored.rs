//! Leaving out of a comparison what `ignoreDifferences` ignores. Blocking where jq is asked.

use serde_json::Value;

use crate::cluster::mask::without;
use crate::cluster::{ManagerFields, Masked, Stored};
use crate::model::{Mask, with_causes};
use crate::render::{Sandbox, jq};

/// The field managers of a recorded observation.
pub(super) fn managers(stored: &[u8]) -> Vec<ManagerFields> {
    Stored::from_stored(stored).map(|stored| stored.fields).unwrap_or_default()
}

/// The objects without what is ignored in them; `managers` are those of the live one.
///
/// # Errors
/// Why it is not known what is ignored.
pub(super) fn left_out<const N: usize>(
    sandbox: &Sandbox,
    mask: &Mask,
    managers: &[ManagerFields],
    objects: [Value; N],
) -> Result<[Value; N], String> {
    if mask.is_empty() {
        return Ok(objects);
    }
    let mut paths: Vec<jq::Paths> = vec![Vec::new(); N];
    if !mask.jq.is_empty() {
        paths = jq::paths(sandbox, &mask.jq, &objects.each_ref())
            .map_err(|error| format!("ignoreDifferences: {}", with_causes(&error)))?;
    }
    let mut left: [Value; N] = std::array::from_fn(|_| Value::Null);
    for ((left, object), paths) in left.iter_mut().zip(&objects).zip(&paths) {
        let masked = Masked::of(object, managers, mask, paths)
            .map_err(|unusable| format!("ignoreDifferences: jqPathExpressions: {unusable}"))?;
        *left = without(object, &masked);
    }
    Ok(left)
}
