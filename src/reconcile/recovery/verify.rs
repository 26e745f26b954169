//! Whether the target is as it was written.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde_json::Value;

use super::write::{Sent, WRITES_MAX, Writing, is_of_backend, told};
use crate::cluster::{Class, Connection, Error, SecretDigest, is_kept_beside};
use crate::ledger::event::Recovered;
use crate::model::{GroupKind, ObjectKey};
use crate::recovery::progress::{Fate, Progress};
use crate::recovery::{Backends, Step};

/// How many fields of an object are named.
const FIELDS_MAX: usize = 5;

/// An object that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Differing {
    /// The object.
    pub object: String,
    /// How.
    pub why: String,
    /// Whether `--resume` can make up for it by itself: it writes what is gone, and nothing over
    /// what is there.
    pub resumable: bool,
    /// Its key.
    #[serde(skip)]
    pub key: ObjectKey,
}

/// Compares what was written with what is there.
///
/// # Errors
/// When the target cannot be asked.
pub async fn verify(
    cluster: &Connection,
    sealer: &dyn SecretDigest,
    steps: &[Step],
    progress: &Progress,
) -> Result<Vec<Differing>, Error> {
    let (uids, scaled) = (progress.uids(), scaled(steps));
    let written = steps.iter().filter_map(|step| match progress.fates.get(&step.key) {
        Some(Fate::Written(recovered)) => Some((step, recovered)),
        _ => None,
    });
    let (writing, backends) = (Writing { cluster, sealer }, Backends::of(steps));
    let checking = Checking { writing, uids: &uids, scaled: &scaled, backends: &backends };
    let mut answers = futures::stream::iter(written)
        .map(|(step, recovered)| async move { (step, checking.differs(step, recovered).await) })
        .buffered(WRITES_MAX);
    let mut differing = Vec::new();
    while let Some((step, answer)) = answers.next().await {
        if let Some((why, resumable)) = answer? {
            let key = step.key.clone();
            differing.push(Differing { object: key.to_string(), why, resumable, key });
        }
    }
    Ok(differing)
}

#[derive(Clone, Copy)]
struct Checking<'a> {
    writing: Writing<'a>,
    uids: &'a BTreeMap<ObjectKey, String>,
    scaled: &'a BTreeSet<ObjectKey>,
    backends: &'a Backends,
}

impl Checking<'_> {
    /// How the object differs, and whether `--resume` can make up for it.
    async fn differs(
        self,
        step: &Step,
        recovered: &Recovered,
    ) -> Result<Option<(String, bool)>, Error> {
        let later = |why: String| Ok(Some((why, true)));
        let live = match self.writing.cluster.get(&step.key, &step.version).await {
            Err(error) if error.class() == Class::NotServed => None,
            Err(error) if self.backends.behind(step).is_some() && is_of_backend(&error) => {
                return later(format!("it cannot be read: {}", error.chain()));
            }
            live => live?,
        };
        let Some(live) = live else { return later("it is gone".to_owned()) };
        let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str);
        if text("/metadata/uid") != Some(recovered.uid.as_str()) {
            return Ok(Some(("it is another object of that name".to_owned(), false)));
        }
        if text("/metadata/deletionTimestamp").is_some() {
            return later("it is being deleted".to_owned());
        }
        let Some(manifest) = step.with_owners(self.uids) else {
            return later("its owner is not there".to_owned());
        };
        let (audit_id, behind) = (String::new(), None);
        let sent = Sent { step, manifest, audit_id, made: false, behind, silent: false };
        let found = match self.writing.differences(&sent, &live) {
            Ok(found) => found,
            Err(why) => return Ok(Some((why, false))),
        };
        // What admission made of it was so from the beginning; replicas are the autoscaler's.
        let changed = found.iter().filter(|change| {
            let replicas = self.scaled.contains(&step.key) && change.path == ".spec.replicas";
            !replicas && !recovered.admitted.contains(change)
        });
        let changed: Vec<String> = changed.take(FIELDS_MAX).map(told).collect();
        if changed.is_empty() && sent.beside().is_some() && !is_kept_beside(&live) {
            let why = "what others had set of it is greffier's alone: its next apply removes that";
            return Ok(Some((why.to_owned(), false)));
        }
        Ok((!changed.is_empty()).then(|| (changed.join(", "), false)))
    }
}

/// The objects that an autoscaler of the plan scales.
fn scaled(steps: &[Step]) -> BTreeSet<ObjectKey> {
    let scalers = steps.iter().filter(|step| step.key.group_kind() == GroupKind::autoscaler());
    let targets = scalers.filter_map(|step| {
        let target = step.manifest.pointer("/spec/scaleTargetRef")?;
        let text = |field: &str| target.get(field).and_then(Value::as_str);
        let group = text("apiVersion")?.rsplit_once('/').map_or("", |(group, _)| group);
        Some(ObjectKey::new(group, text("kind")?, step.key.namespace(), text("name")?))
    });
    targets.collect()
}
