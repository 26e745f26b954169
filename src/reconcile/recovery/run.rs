//! From a plan to a target: batch by batch, each recorded before it is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde_json::Value;
use tokio::sync::mpsc;

use super::super::failpoint;
use super::write::{Sent, WRITES_MAX, Writing};
use crate::cluster::{self, Connection, SecretDigest};
use crate::ledger::event::{
    Recovered, RecoveryFinishedV1, RecoveryIntentV1, RecoveryOutcomeV1, RecoveryResult,
    RecoveryWrite,
};
use crate::ledger::{Draft, Ledger};
use crate::model::{Actor, ObjectKey, Seq, canonical_json};
use crate::recovery::progress::{Fate, Progress};
use crate::recovery::{Backends, Stage, Step};

/// How many writes an intent lists at most.
const BATCH_MAX: usize = 64;

/// Why a replay stopped. What was recorded so far stays, and `--resume` goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The ledger failed, or whoever has it.
    #[error("the ledger cannot record the replay")]
    Ledger(#[source] NotRecorded),
    /// The target cannot be asked.
    #[error("the target cannot be asked")]
    Cluster(#[from] cluster::Error),
}

/// Why something could not be recorded.
pub type NotRecorded = Box<dyn std::error::Error + Send + Sync>;

/// Whoever records a replay: the ledger has one writer, which may be the daemon.
pub trait Recorder: Sync {
    /// Records an event; it is durable when this returns.
    fn record(&self, draft: Draft) -> BoxFuture<'_, Result<Seq, NotRecorded>>;

    /// The name of the ledger, which audit ids begin with.
    fn ledger(&self) -> String;

    /// What digests secret values, under the ledger's key.
    fn sealer(&self) -> &dyn SecretDigest;
}

impl Recorder for Ledger {
    fn record(&self, draft: Draft) -> BoxFuture<'_, Result<Seq, NotRecorded>> {
        Box::pin(async move {
            let appended = self.append(draft).await?;
            Ok(appended.last().copied().unwrap_or_default())
        })
    }

    fn ledger(&self) -> String {
        self.ledger_id().to_string()
    }

    fn sealer(&self) -> &dyn SecretDigest {
        self
    }
}

/// A replay that is under way.
pub struct Replay<'a> {
    /// Who records it.
    pub recorder: &'a dyn Recorder,
    /// The target.
    pub cluster: &'a Connection,
    /// Who does it.
    pub actor: Actor,
    /// What is written, in order.
    pub steps: &'a [Step],
    /// How far it has come.
    pub progress: Progress,
    /// Whether it was begun before: then the target may have what the ledger does not know of.
    pub resumed: bool,
    /// What it had written and is gone: written again, with the uid that it had.
    pub gone: BTreeMap<ObjectKey, String>,
    /// When it was asked for.
    pub since: Instant,
    /// How much was written this time, and how long after that the last of it was answered.
    pub done: (u32, Duration),
    /// What the target makes by itself.
    pub made: BTreeSet<ObjectKey>,
    /// What an earlier replay wrote and is there as it is to be written: it is recorded as found.
    pub kept: BTreeMap<ObjectKey, Recovered>,
    /// For how long readiness is waited for, each time.
    pub wait: Duration,
    /// Tells people of each batch: what, how many of how many.
    pub tell: &'a dyn Fn(&str, usize, usize),
    /// What a person should know afterwards.
    pub notes: Vec<String>,
    /// What has to answer for some of the objects.
    pub backends: Backends,
    /// What of that was waited for, and whether it answers.
    pub answering: BTreeMap<ObjectKey, bool>,
}

impl Replay<'_> {
    fn writing(&self) -> Writing<'_> {
        Writing { cluster: self.cluster, sealer: self.recorder.sealer() }
    }

    /// Writes what is not written yet.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn run(&mut self) -> Result<(), ReplayError> {
        let steps = self.steps;
        let mut done = 0;
        for batch in steps.chunk_by(|a, b| a.place == b.place) {
            let stage = batch[0].place.stage;
            match stage {
                Stage::Workloads => self.accounts(batch).await?,
                Stage::Admission => self.admission(batch).await?,
                _ => {}
            }
            self.converters(batch).await?;
            for batch in batch.chunks(BATCH_MAX) {
                self.batch(batch).await?;
                done += batch.len();
                (self.tell)(stage.as_str(), done, steps.len());
            }
            match stage {
                Stage::Definitions => self.conditions(batch, "Established").await?,
                Stage::Apis => self.conditions(batch, "Available").await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes what of a batch is not there, and records it before and after.
    async fn batch(&mut self, batch: &[Step]) -> Result<(), ReplayError> {
        let (mut sent, mut settled) = (Vec::new(), Vec::new());
        for step in batch {
            let gone = self.gone.contains_key(&step.key);
            if !gone && matches!(self.progress.fates.get(&step.key), Some(Fate::Written(_))) {
                continue;
            }
            let Some(manifest) = step.with_owners(&self.progress.uids()) else {
                let why = "its owner is not there: it was not written".to_owned();
                settled.push((step, Value::Null, RecoveryResult::Refused(why)));
                continue;
            };
            if let Some(kept) = self.kept.get(&step.key).filter(|_| !gone) {
                let kept = Recovered { found: true, ..kept.clone() };
                settled.push((step, manifest, RecoveryResult::Written(kept)));
                continue;
            }
            let made = self.made.contains(&step.key);
            let behind = self.backends.behind(step).cloned();
            let silent = behind.as_ref().is_some_and(|by| self.answering.get(by) == Some(&false));
            let audit_id = String::new();
            sent.push(Sent { step, manifest, audit_id, made, behind, silent });
        }
        // After a crash the target knows more than the ledger.
        if self.resumed {
            let (renewed, asked) = sent.into_iter().partition(|sent| self.is_renewed(sent.step));
            let looked = self.look(asked).await?;
            (sent, settled) = looked.into_iter().fold((renewed, settled), |mut all, one| {
                match one {
                    (sent, None) => all.0.push(sent),
                    (sent, Some(result)) => all.1.push((sent.step, sent.manifest, result)),
                }
                all
            });
        }
        if !settled.is_empty() {
            let writes = settled.iter().map(|(step, manifest, _)| self.intended(step, manifest));
            let intent = self.intend(writes.collect()).await?;
            let keys: Vec<&ObjectKey> = settled.iter().map(|(step, ..)| &step.key).collect();
            let results = settled.iter().map(|(.., result)| result.clone()).zip(0..);
            let results = results.map(|(result, index)| (index, result)).collect();
            self.ended(intent, &keys, results).await?;
        }
        if sent.is_empty() { Ok(()) } else { self.send(sent).await }
    }

    /// Whether the owner of an object is another than it was written with: then what is there of it
    /// names the former one, and is written over.
    fn is_renewed(&self, step: &Step) -> bool {
        let mut owners = step.owners.iter();
        self.gone.contains_key(&step.key) && owners.any(|link| self.gone.contains_key(&link.owner))
    }

    /// Asks the target for every object that may have been written.
    async fn look<'s>(
        &self,
        sent: Vec<Sent<'s>>,
    ) -> Result<Vec<(Sent<'s>, Option<RecoveryResult>)>, ReplayError> {
        let writing = self.writing();
        let mut answers = futures::stream::iter(sent)
            .map(|sent| async move {
                let found = writing.look(&sent, 1).await;
                (sent, found)
            })
            .buffered(WRITES_MAX);
        let mut looked = Vec::new();
        while let Some((sent, found)) = answers.next().await {
            looked.push((sent, found?));
        }
        Ok(looked)
    }

    fn intended(&self, step: &Step, manifest: &Value) -> RecoveryWrite {
        RecoveryWrite {
            key: step.key.clone(),
            version: step.version.clone(),
            app: step.app.clone(),
            digest: self.recorder.sealer().digest(&canonical_json(manifest)),
            render: step.render,
            former: step.uid.clone(),
            again: self.gone.get(&step.key).cloned().unwrap_or_default(),
        }
    }

    /// Records what is about to be written.
    async fn intend(&mut self, writes: Vec<RecoveryWrite>) -> Result<Seq, ReplayError> {
        let keys: Vec<ObjectKey> = writes.iter().map(|write| write.key.clone()).collect();
        let recovery = self.progress.seq;
        failpoint::reach(failpoint::DECIDED);
        let draft = Draft::new(RecoveryIntentV1 { recovery, writes });
        let intent = self.append(draft.caused_by(recovery)).await?;
        failpoint::reach(failpoint::INTENDED);
        self.progress.again.extend(keys.iter().filter(|key| self.gone.contains_key(key)).cloned());
        self.progress.fates.extend(keys.into_iter().map(|key| (key, Fate::Open)));
        Ok(intent)
    }

    /// Sends a batch; its outcomes are recorded as they come.
    async fn send(&mut self, mut batch: Vec<Sent<'_>>) -> Result<(), ReplayError> {
        let writes = batch.iter().map(|sent| self.intended(sent.step, &sent.manifest)).collect();
        let intent = self.intend(writes).await?;
        for (index, sent) in batch.iter_mut().enumerate() {
            sent.audit_id = format!("{}-{intent}-{index}", self.recorder.ledger());
        }
        let keys: Vec<&ObjectKey> = batch.iter().map(|sent| &sent.step.key).collect();
        let (answers, mut received) = mpsc::channel(BATCH_MAX);
        let writing = Writing { cluster: self.cluster, sealer: self.recorder.sealer() };
        let send = async {
            // Dropped at the end, so that the recorder ends too.
            let answers = answers;
            let mut waiting = batch.iter().zip(0_u32..);
            let mut under_way = FuturesUnordered::new();
            loop {
                while under_way.len() < WRITES_MAX
                    && let Some((sent, index)) = waiting.next()
                {
                    under_way.push(async move { (index, writing.write(sent).await) });
                }
                let Some(answer) = under_way.next().await else { return };
                // The receiver lives until this sender is dropped, unless the ledger failed.
                if answers.send(answer).await.is_err() {
                    return;
                }
            }
        };
        let record = async {
            let mut results = Vec::new();
            while received.recv_many(&mut results, BATCH_MAX).await > 0 {
                self.ended(intent, &keys, std::mem::take(&mut results)).await?;
            }
            Ok::<_, ReplayError>(())
        };
        let ((), recorded) = tokio::join!(send, record);
        recorded
    }

    /// Records how writes ended.
    async fn ended(
        &mut self,
        intent: Seq,
        keys: &[&ObjectKey],
        results: Vec<(u32, RecoveryResult)>,
    ) -> Result<(), ReplayError> {
        let recovery = self.progress.seq;
        let fates: Vec<(ObjectKey, Fate)> = results
            .iter()
            .filter_map(|(index, result)| {
                let key = keys.get(usize::try_from(*index).ok()?)?;
                Some(((*key).clone(), Fate::of(result)))
            })
            .collect();
        let is_written = |result: &RecoveryResult| matches!(result, RecoveryResult::Written(written) if !written.found);
        let written = results.iter().filter(|(_, result)| is_written(result)).count();
        let draft = Draft::new(RecoveryOutcomeV1 { recovery, intent, results });
        self.append(draft.caused_by(intent)).await?;
        if written > 0 {
            let written = u32::try_from(written).unwrap_or(u32::MAX);
            self.done = (self.done.0.saturating_add(written), self.since.elapsed());
        }
        failpoint::reach(failpoint::RECORDED);
        self.progress.fates.extend(fates);
        Ok(())
    }

    async fn append(&self, draft: Draft) -> Result<Seq, ReplayError> {
        let recorded = self.recorder.record(draft.by(self.actor.clone())).await;
        recorded.map_err(ReplayError::Ledger)
    }

    /// Records the end.
    ///
    /// # Errors
    /// When the ledger cannot record it.
    pub async fn finish(
        &mut self,
        differs: Vec<(ObjectKey, String)>,
    ) -> Result<RecoveryFinishedV1, ReplayError> {
        let recovery = self.progress.seq;
        let milliseconds = u64::try_from(self.done.1.as_millis()).unwrap_or(u64::MAX);
        let body = RecoveryFinishedV1 { milliseconds, ..self.progress.ended(self.steps, differs) };
        self.append(Draft::new(body.clone()).caused_by(recovery)).await?;
        self.progress.finished = Some(body.clone());
        Ok(body)
    }
}
