//! Finding out what of recorded and live objects is ignored.
//!
//! Pointers and managers are looked up here; only jq expressions cost a process of their own.

use serde_json::Value;

use crate::cluster::mask::{sendable, with_live, without};
use crate::cluster::{FIELD_MANAGER, ManagerFields, Masked, SecretDigest, normalize};
use crate::model::{Mask, REPLICAS, with_causes};
use crate::render::{Sandbox, jq};

/// Why it is not known what is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The cause.
    pub(super) text: String,
    /// Whether the machine was at fault, so that another try may succeed.
    pub(super) transient: bool,
}

/// What is ignored in each of the objects; `managers` are those of the live one among them.
pub(super) async fn masked<const N: usize>(
    sandbox: &Sandbox,
    mask: &Mask,
    managers: &[ManagerFields],
    objects: [&Value; N],
) -> Result<[Masked; N], Problem> {
    let mut paths: Vec<jq::Paths> = vec![Vec::new(); N];
    if !mask.jq.is_empty() {
        let (sandbox, expressions) = (sandbox.clone(), mask.jq.clone());
        let values = objects.map(Value::clone);
        let asked = tokio::task::spawn_blocking(move || {
            jq::paths(&sandbox, &expressions, &values.each_ref())
        });
        paths = match asked.await {
            Ok(answered) => answered.map_err(|error| Problem {
                transient: matches!(error, jq::Error::Unasked(_)),
                text: with_causes(&error),
            })?,
            Err(_) => {
                let text = "BUG: the evaluation of jqPathExpressions panicked".to_owned();
                return Err(Problem { text, transient: false });
            }
        };
    }
    let mut found: [Masked; N] = std::array::from_fn(|_| Masked::default());
    for ((masked, object), paths) in found.iter_mut().zip(objects).zip(&paths) {
        *masked = Masked::of(object, managers, mask, paths).map_err(|unusable| {
            let text = format!("jqPathExpressions {}: {unusable}", mask.jq.join(", "));
            Problem { text, transient: false }
        })?;
    }
    Ok(found)
}

/// A manifest and the object as the API server has it, both without what `mask` ignores.
pub(super) async fn without_ignored(
    sandbox: &Sandbox,
    sealer: &dyn SecretDigest,
    mask: &Mask,
    manifest: &Value,
    raw: &Value,
) -> Result<(Value, Value), Problem> {
    let fields = normalize(raw, sealer).map(|live| live.fields).unwrap_or_default();
    let [of_manifest, of_live] = masked(sandbox, mask, &fields, [manifest, raw]).await?;
    Ok((without(manifest, &of_manifest), without(raw, &of_live)))
}

/// What has to be sent back of what `mask` ignores. Replicas that neither Git names nor greffier
/// owns stay as they are by themselves; sent, they would be greffier's, and with the first apply
/// without them they would go.
pub(super) fn needed(mask: &Mask, manifest: &Value, raw: &Value) -> Mask {
    let mut mask = mask.clone();
    let entries = raw.pointer("/metadata/managedFields").and_then(Value::as_array);
    let own = entries.into_iter().flatten().filter(|entry| {
        let is = |field: &str, value: &str| entry.get(field).and_then(Value::as_str) == Some(value);
        is("manager", FIELD_MANAGER) && is("operation", "Apply")
    });
    let owned = own.filter_map(|entry| entry.pointer("/fieldsV1/f:spec/f:replicas")).next();
    if manifest.pointer(REPLICAS).is_none() && owned.is_none() {
        mask.pointers.retain(|pointer| pointer != REPLICAS);
    }
    mask
}

/// The manifest with the live values of what `mask` ignores; `raw` is the object as the API
/// server has it.
pub(super) async fn respecting(
    sandbox: &Sandbox,
    sealer: &dyn SecretDigest,
    mask: &Mask,
    manifest: &Value,
    raw: &Value,
) -> Result<Value, Problem> {
    let fields = normalize(raw, sealer).map(|live| live.fields).unwrap_or_default();
    let live = sendable(raw);
    let [of_manifest, of_live] = masked(sandbox, mask, &fields, [manifest, &live]).await?;
    Ok(with_live((manifest, &of_manifest), (&live, &of_live)))
}
