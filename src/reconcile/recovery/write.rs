//! One write to the target, with its tries, and what became of it.

use std::time::Duration;

use serde_json::Value;

use super::super::failpoint;
use crate::cluster::{
    self, ApplyRequest, Class, Connection, FIELD_MANAGER, Normalised, ReplaceRequest, SecretDigest,
    admitted, is_kept_beside, normalize, part,
};
use crate::ledger::event::{FieldChange, ManagerStamp, Recovered, RecoveryResult};
use crate::model::ObjectKey;
use crate::recovery::{Source, Step};

/// How many writes are under way at once (design §12).
pub(super) const WRITES_MAX: usize = 8;
/// How often a write that may pass is tried.
const TRIES_MAX: u32 = 6;
/// How long is waited after the first of them; each time twice as long.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// How long one request may take.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(30);
/// How long a request may take that nobody seems to answer.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// What a write is made with.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    pub(super) cluster: &'a Connection,
    pub(super) sealer: &'a dyn SecretDigest,
}

/// What is sent.
pub(super) struct Sent<'a> {
    pub(super) step: &'a Step,
    pub(super) manifest: Value,
    pub(super) audit_id: String,
    /// Whether the cluster makes the object by itself, so that its fields may be taken over.
    pub(super) made: bool,
    /// What has to answer for it.
    pub(super) behind: Option<ObjectKey>,
    /// Whether that was waited for in vain: then it is tried once.
    pub(super) silent: bool,
}

impl Sent<'_> {
    /// What of it is others', as a manifest; `None` where nothing is.
    pub(super) fn beside(&self) -> Option<Value> {
        part(&self.manifest, self.step.beside.as_ref()?)
    }
}

impl Writing<'_> {
    /// Writes one object, and tries again what may pass.
    pub(super) async fn write(self, sent: &Sent<'_>) -> RecoveryResult {
        let (mut wait, mut tries) = (TRY_AGAIN, 0);
        let most = if sent.silent { 1 } else { TRIES_MAX };
        loop {
            tries += 1;
            failpoint::reach(failpoint::SENDING);
            let error = match self.once(sent).await {
                Ok(live) => {
                    failpoint::reach(failpoint::ANSWERED);
                    return self.written(sent, &live, tries, false);
                }
                Err(error) => error,
            };
            let pause = match error.class() {
                Class::Conflict => {
                    let why = format!("it is there as somebody else wants it: {}", error.chain());
                    return RecoveryResult::Left(why);
                }
                Class::Refused | Class::Unauthorized | Class::NoApply => {
                    return RecoveryResult::Refused(error.chain());
                }
                Class::Unknown => match self.look(sent, tries).await {
                    Ok(Some(result)) => return result,
                    // It did not arrive, or the target cannot be asked: the same again.
                    Ok(None) | Err(_) => wait,
                },
                Class::Throttled { retry_after } => retry_after.max(wait),
                Class::NotServed
                | Class::NotFound
                | Class::NamespaceMissing
                | Class::NamespaceTerminating
                | Class::Expired
                | Class::Transient => wait,
            };
            if tries >= most {
                return RecoveryResult::Failed(error.chain(), tries);
            }
            tokio::time::sleep(pause).await;
            wait *= 2;
        }
    }

    async fn once(self, sent: &Sent<'_>) -> Result<Value, cluster::Error> {
        let step = sent.step;
        let cluster = self.cluster.within(if sent.silent { SILENT_MAX } else { REQUEST_MAX });
        // What nobody's application wants stays nobody's: it is created and not applied.
        if step.app.is_empty() {
            return cluster.replace(&self.creation(sent), false).await;
        }
        let request = ApplyRequest {
            key: step.key.clone(),
            version: step.version.clone(),
            manifest: sent.manifest.clone(),
            audit_id: sent.audit_id.clone(),
            force: sent.made,
            validate: step.validate,
            known: None,
            uid: None,
        };
        let applied = match cluster.apply(&request).await {
            Err(error) if error.class() == Class::NoApply => {
                return cluster.replace(&self.creation(sent), false).await;
            }
            answer => answer?.raw,
        };
        let Some(manifest) = sent.beside() else { return Ok(applied) };
        // The values are there; from here on they are others', too.
        let uid = applied.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
        let beside = ApplyRequest { manifest, force: false, uid, ..request };
        match cluster.apply_beside(&beside).await {
            // It is there all the same; that these fields are greffier's alone is told afterwards.
            Err(error) if matches!(error.class(), Class::Refused | Class::Conflict) => Ok(applied),
            answer => answer,
        }
    }

    fn creation(self, sent: &Sent<'_>) -> ReplaceRequest {
        ReplaceRequest {
            key: sent.step.key.clone(),
            version: sent.step.version.clone(),
            manifest: sent.manifest.clone(),
            resource_version: None,
            validate: sent.step.validate && sent.step.source == Source::Wanted,
            audit_id: sent.audit_id.clone(),
        }
    }

    /// Looks what became of a write that nothing is known of. `None` = the object is not there.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(super) async fn look(
        self,
        sent: &Sent<'_>,
        tries: u32,
    ) -> Result<Option<RecoveryResult>, cluster::Error> {
        let found = self.cluster.get(&sent.step.key, &sent.step.version).await;
        let live = match found {
            Err(error) if error.class() == Class::NotServed => return Ok(None),
            Err(error) if sent.behind.is_some() && is_of_backend(&error) => {
                let why = format!("whether it is there is not known: {}", error.chain());
                return Ok(Some(RecoveryResult::Failed(why, tries)));
            }
            found => found?,
        };
        let Some(live) = live else { return Ok(None) };
        if !is_ours(&live) {
            if sent.made {
                return Ok(None);
            }
            let why = "somebody else made an object of that name meanwhile".to_owned();
            return Ok(Some(RecoveryResult::Left(why)));
        }
        let changed = match self.differences(sent, &live) {
            Ok(changed) => changed,
            Err(why) => return Ok(Some(RecoveryResult::Left(why))),
        };
        // A kill came between: what is others' is not theirs yet, so it is sent again.
        if changed.is_empty() && sent.beside().is_some() && !is_kept_beside(&live) {
            return Ok(None);
        }
        if let [first, ..] = changed.as_slice() {
            let why = format!("it was written, and is not as it was written: {}", told(first));
            return Ok(Some(RecoveryResult::Left(why)));
        }
        Ok(Some(self.written(sent, &live, tries, true)))
    }

    /// The fields that the target has otherwise than they were sent.
    pub(super) fn differences(
        self,
        sent: &Sent<'_>,
        live: &Value,
    ) -> Result<Vec<FieldChange>, String> {
        let live = self.normal(live)?;
        Ok(admitted(&self.normal(&sent.manifest)?, &live))
    }

    fn normal(self, object: &Value) -> Result<Normalised, String> {
        normalize(object, self.sealer).map_err(|error| error.to_string())
    }

    fn written(self, sent: &Sent<'_>, live: &Value, tries: u32, found: bool) -> RecoveryResult {
        let text = |pointer: &str| {
            live.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let normal = self.normal(live);
        let stamps = normal.iter().flat_map(Normalised::managers);
        let applied = stamps.into_iter().find(ManagerStamp::is_own);
        let sent = self.normal(&sent.manifest);
        RecoveryResult::Written(Recovered {
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            applied: applied.and_then(|stamp| Some((stamp.time?, stamp.fields))),
            found,
            tries,
            admitted: sent
                .ok()
                .zip(normal.ok())
                .map_or_else(Vec::new, |(sent, live)| admitted(&sent, &live)),
        })
    }
}

/// A difference in words.
pub(super) fn told(change: &FieldChange) -> String {
    let shown = |value: &str| if value.is_empty() { "absent".to_owned() } else { value.to_owned() };
    format!("{} {} → {}", change.path, shown(&change.was), shown(&change.now))
}

/// Whether what has to answer for an object may be all that failed, rather than the API server.
pub(super) fn is_of_backend(error: &cluster::Error) -> bool {
    matches!(
        error,
        cluster::Error::Unavailable { .. }
            | cluster::Error::FateUnknown { .. }
            | cluster::Error::TimedOut { .. }
    )
}

/// Whether greffier wrote the object: by an apply, or by creating it.
fn is_ours(live: &Value) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        text("manager") == FIELD_MANAGER && text("subresource").is_empty()
    })
}
