//! Waiting, with a bound, for what others need to be ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::run::{Replay, ReplayError};
use crate::model::ObjectKey;
use crate::recovery::Step;
use crate::recovery::progress::Fate;

/// How often is asked whether something is ready.
const READY_POLL: Duration = Duration::from_millis(100);

impl Replay<'_> {
    fn is_written(&self, step: &Step) -> bool {
        matches!(self.progress.fates.get(&step.key), Some(Fate::Written(_)))
    }

    /// Waits until the objects that were written say that they are ready.
    pub(super) async fn conditions(
        &mut self,
        batch: &[Step],
        condition: &str,
    ) -> Result<(), ReplayError> {
        let until = Instant::now() + self.wait;
        for step in batch {
            if !self.is_written(step) {
                continue;
            }
            let ready = loop {
                let live = self.cluster.get(&step.key, &step.version).await?;
                if live.as_ref().is_some_and(|live| has_condition(live, condition)) {
                    break true;
                }
                if Instant::now() >= until {
                    let waited = self.wait.as_secs();
                    let note = format!("{}: not {condition} after {waited} s", step.key);
                    self.notes.push(note);
                    break false;
                }
                tokio::time::sleep(READY_POLL).await;
            };
            self.answering.insert(step.key.clone(), ready);
        }
        Ok(())
    }

    /// Waits for the service accounts of Pods: a namespace gets its own a moment after it is there,
    /// and a Pod without one is refused.
    pub(super) async fn accounts(&mut self, batch: &[Step]) -> Result<(), ReplayError> {
        let until = Instant::now() + self.wait;
        let pods = batch.iter().filter(|step| step.key.is("", "Pod"));
        let accounts: BTreeSet<ObjectKey> = pods
            .map(|step| {
                let named = step.manifest.pointer("/spec/serviceAccountName");
                let name = named.and_then(Value::as_str).unwrap_or("default");
                ObjectKey::new("", "ServiceAccount", step.key.namespace(), name)
            })
            .collect();
        for account in accounts {
            while self.cluster.get(&account, "v1").await?.is_none() && Instant::now() < until {
                tokio::time::sleep(READY_POLL).await;
            }
        }
        Ok(())
    }

    /// Waits until what converts objects of a batch answers: each of them once.
    pub(super) async fn converters(&mut self, batch: &[Step]) -> Result<(), ReplayError> {
        let behind = batch.iter().filter(|step| !self.is_written(step));
        let behind = behind.filter_map(|step| self.backends.behind(step).cloned());
        let services: BTreeSet<ObjectKey> = behind
            .filter(|by| by.is("", "Service") && !self.answering.contains_key(by))
            .filter(|by| self.steps.iter().any(|step| step.key == *by))
            .collect();
        let until = Instant::now() + self.wait;
        for service in services {
            let answers = self.answers(&service, until).await?;
            if !answers {
                let waited = self.wait.as_secs();
                let text = "nothing answers for it, which converts objects of the plan, after";
                self.notes.push(format!("{service}: {text} {waited} s: each is tried once"));
            }
            self.answering.insert(service, answers);
        }
        Ok(())
    }

    /// Whether something answers for a Service, waiting for it up to a moment.
    async fn answers(&self, service: &ObjectKey, until: Instant) -> Result<bool, ReplayError> {
        loop {
            if self.has_endpoints(service).await? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Waits until what admission calls answers, where a silent one would refuse what it matches.
    pub(super) async fn admission(&mut self, batch: &[Step]) -> Result<(), ReplayError> {
        let services: BTreeMap<ObjectKey, &ObjectKey> = batch
            .iter()
            .flat_map(|step| strict_services(&step.manifest).map(move |key| (key, &step.key)))
            .filter(|(service, _)| self.steps.iter().any(|step| step.key == *service))
            .collect();
        let until = Instant::now() + self.wait;
        for (service, webhook) in services {
            if !self.answers(&service, until).await? {
                let text = "yet; what it matches is refused until then";
                self.notes.push(format!("{webhook}: nothing answers for {service} {text}"));
            }
        }
        Ok(())
    }

    async fn has_endpoints(&self, service: &ObjectKey) -> Result<bool, ReplayError> {
        let key = ObjectKey::new("", "Endpoints", service.namespace(), service.name());
        let found = self.cluster.get(&key, "v1").await?;
        let subsets = found.as_ref().and_then(|found| found.get("subsets")?.as_array());
        let addresses =
            subsets.into_iter().flatten().filter_map(|s| s.get("addresses")?.as_array());
        Ok(addresses.flatten().next().is_some())
    }
}

fn has_condition(live: &Value, condition: &str) -> bool {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|found| found["type"] == condition && found["status"] == "True")
}

/// The Services that a webhook configuration calls and whose silence refuses what is matched.
fn strict_services(manifest: &Value) -> impl Iterator<Item = ObjectKey> + '_ {
    let webhooks = manifest.get("webhooks").and_then(Value::as_array).into_iter().flatten();
    let strict = webhooks.filter(|webhook| webhook["failurePolicy"] != "Ignore");
    strict.filter_map(|webhook| {
        let service = webhook.pointer("/clientConfig/service")?;
        let text = |field: &str| service.get(field).and_then(Value::as_str);
        Some(ObjectKey::new("", "Service", text("namespace")?, text("name")?))
    })
}
