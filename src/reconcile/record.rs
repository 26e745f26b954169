//! Recording: what sources and the cluster report becomes events, in the order it came.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::driver::Parts;
use super::linger::Linger;
use crate::cluster::{Behind, ClusterInput, Identity, Observation, SecretDigest};
use crate::health;
use crate::ledger::event::{
    ClusterFoundV1, ClusterIdentifiedV1, ClusterLostV1, ClusterReplacedV1, ClusterRevertedV1,
    Event, FetchFailedV1, FetchRecoveredV1, FetchUnchangedV1, KindListedV1, KindsServedV1, Learned,
    ManagerStamp, ObjectGoneV1, ObjectObservedV1, WatchGapV1,
};
use crate::ledger::{self, BLOB_BYTES_MAX, Batch, Blob, Draft, Ledger, Sealer};
use crate::model::{
    Actor, Basis, BlobAddr, Claim, Digest, ObjectKey, Scheme, Timestamp, ValidTime, with_causes,
};
use crate::replay::{ClusterState, Repo};
use crate::source::SourceInput;

/// Values of Secrets are digested under the ledger's key.
impl SecretDigest for Ledger {
    fn digest(&self, bytes: &[u8]) -> Digest {
        self.seal().digest(bytes)
    }
}

impl SecretDigest for Sealer {
    fn digest(&self, bytes: &[u8]) -> Digest {
        Self::digest(self, bytes)
    }
}

/// How many reports become one append. Bound: one group of the ledger's writer.
const BATCH_MAX: usize = 256;
/// Reports that come sooner than this after the last append are a flood, and are collected. A
/// report out of the blue, such as a hand edit, is recorded at once.
const FLOOD_GAP: Duration = Duration::from_millis(5);

/// Records what the observer reports until it stops.
///
/// # Errors
/// The ledger failed.
pub async fn record_cluster(
    parts: Parts,
    mut inputs: mpsc::Receiver<ClusterInput>,
) -> Result<(), ledger::Error> {
    let (mut reports, mut linger) = (Vec::new(), Linger::new());
    let mut appended = None;
    let mut answers = Answers::default();
    while inputs.recv_many(&mut reports, BATCH_MAX).await > 0 {
        if appended.is_some_and(|at: Instant| at.elapsed() < FLOOD_GAP) {
            linger.wait().await;
            while reports.len() < BATCH_MAX
                && let Ok(report) = inputs.try_recv()
            {
                reports.push(report);
            }
        } else {
            linger.end();
        }
        let mut batch = Batch::default();
        // The versions recorded in this very batch: the next one is stored as a difference.
        let mut recent: BTreeMap<ObjectKey, BlobAddr> = BTreeMap::new();
        for report in reports.drain(..) {
            cluster_report(&parts, report, &mut batch, &mut recent, &mut answers);
        }
        if !batch.drafts.is_empty() {
            parts.ledger.append(batch).await?;
            appended = Some(Instant::now());
        }
    }
    Ok(())
}

/// Who answers, as recorded last: the world may not have folded it yet.
#[derive(Default)]
struct Answers(Option<Identity>);

impl Answers {
    /// What is recorded of who answers; `None` = it is recorded already.
    fn identified(&mut self, known: &ClusterState, identity: Identity) -> Option<Draft> {
        let (uid, version) = (known.uid.clone(), known.version.clone());
        let folded = Identity { uid, version, server: known.server.clone(), revision: None };
        let last = self.0.replace(identity.clone()).unwrap_or(folded);
        let kept = if known.identity.kept.is_empty() { &last.uid } else { &known.identity.kept };
        let Identity { uid, version, server, .. } = identity;
        if last.uid == uid && last.version == version && last.server == server {
            return None;
        }
        if kept.is_empty() || *kept == uid || last.uid == uid {
            return Some(Draft::new(ClusterIdentifiedV1 { uid, version, server }));
        }
        let kept = kept.clone();
        Some(Draft::new(ClusterReplacedV1 { kept, uid, version, server }))
    }
}

fn set_cluster(parts: &Parts, identity: &Identity) {
    if let Ok(uid) = identity.uid.parse() {
        parts.ledger.set_cluster(uid);
    }
}

fn cluster_report(
    parts: &Parts,
    report: ClusterInput,
    batch: &mut Batch,
    recent: &mut BTreeMap<ObjectKey, BlobAddr>,
    answers: &mut Answers,
) {
    let draft = match report {
        ClusterInput::Object(observation) => {
            let key = &observation.normalised.key;
            let known = parts.read().world.live.get(key).map(|live| (live.object, live.status));
            let base = recent.get(key).copied().or(known.map(|(object, _)| object));
            let kind = key.group_kind();
            let status_base = known.and_then(|(_, status)| status);
            let (draft, blob, status) = observed(*observation, base, status_base);
            if blob.bytes().len() > BLOB_BYTES_MAX {
                // Only an aggregated API can have one. The kind cannot be known whole.
                let reason =
                    format!("an object has {} bytes, too many to record", blob.bytes().len());
                Draft::new(WatchGapV1 { kind, reason, refused: false })
            } else {
                if let Event::ObjectObserved(body) = &draft.event {
                    recent.insert(body.key.clone(), blob.addr);
                }
                batch.blobs.push(blob);
                batch.blobs.extend(status);
                draft
            }
        }
        ClusterInput::Gone { key, uid, learned, last_seen } => {
            let draft = Draft::new(ObjectGoneV1 { key, uid, learned }).by(Actor::default());
            match (learned, last_seen) {
                (Learned::Listed, Some(lo)) => {
                    draft.valid(ValidTime { lo, hi: Timestamp::now(), basis: Basis::RelistGap })
                }
                _ => draft,
            }
        }
        ClusterInput::Identified(identity) => {
            set_cluster(parts, &identity);
            match answers.identified(&parts.read().world.cluster, identity) {
                Some(draft) => draft,
                None => return,
            }
        }
        ClusterInput::Reverted(identity, behind) => {
            set_cluster(parts, &identity);
            answers.0 = Some(identity.clone());
            let Identity { uid, version, server, .. } = identity;
            let Behind { kind, observed, revision } = behind;
            Draft::new(ClusterRevertedV1 { uid, version, server, kind, observed, revision })
        }
        ClusterInput::Kinds(found) => {
            Draft::new(KindsServedV1 { kinds: found.kinds, broken_groups: found.broken_groups })
        }
        ClusterInput::Listed { kind, objects, resource_version, named } => {
            Draft::new(KindListedV1 { kind, objects, resource_version, named })
        }
        ClusterInput::Gap { kind, reason, refused } => {
            Draft::new(WatchGapV1 { kind, reason, refused })
        }
        ClusterInput::Lost { error } => Draft::new(ClusterLostV1 { error }),
        ClusterInput::Found => Draft::new(ClusterFoundV1 {}),
    };
    batch.drafts.push(draft);
}

/// The event, the object that it names, and the object's status.
pub(super) fn observed(
    observation: Observation,
    base: Option<BlobAddr>,
    status_base: Option<BlobAddr>,
) -> (Draft, Blob, Option<Blob>) {
    let Observation { normalised, added, learned } = observation;
    let blob = Blob::plain(normalised.stored_bytes(), base);
    let status = normalised.status_bytes().map(|bytes| Blob::plain(bytes, status_base));
    let managers = normalised.managers();
    let latest = latest_managers(&managers);
    let actor = Actor {
        claims: latest
            .iter()
            .map(|stamp| Claim {
                scheme: Scheme::FieldManager,
                value: stamp.manager.clone(),
                strength: 2,
            })
            .collect(),
    };
    let stated = latest.first().and_then(|stamp| stamp.time);
    let event = ObjectObservedV1 {
        key: normalised.key,
        version: normalised.version,
        uid: normalised.uid,
        resource_version: normalised.resource_version,
        generation: normalised.generation,
        added,
        learned,
        digest: normalised.digest,
        owned: normalised.owned,
        object: blob.addr,
        status: status.as_ref().map(|status| status.addr),
        images: normalised.images,
        managers,
        controller: normalised.controller,
        health: normalised.health,
        health_message: normalised.health_message,
        health_rules: health::RULES_VERSION,
        deleting: normalised.deleting,
        claimed_by: normalised.claimed_by,
        protection: normalised.protection,
        managed_by: normalised.managed_by,
        scales: normalised.scales.map(Box::new),
    };
    let mut draft = Draft::new(event).by(actor);
    if let Some(lo) = stated {
        // Managers state whole seconds, by the API server's clock.
        let hi = Timestamp(lo.0.saturating_add(1_000_000_000)).max(lo);
        draft = draft.valid(ValidTime { lo, hi, basis: Basis::ManagedFields });
    }
    (draft, blob, status)
}

/// The managers that state the latest time: who, by their own word, changed the object last.
fn latest_managers(managers: &[ManagerStamp]) -> Vec<ManagerStamp> {
    let latest = managers.iter().filter_map(|stamp| stamp.time).max();
    let Some(latest) = latest else { return Vec::new() };
    managers.iter().filter(|stamp| stamp.time == Some(latest)).cloned().collect()
}

/// Records what the sources report until they stop.
///
/// # Errors
/// The ledger failed.
pub async fn record_sources(
    parts: Parts,
    mut inputs: mpsc::Receiver<SourceInput>,
) -> Result<(), ledger::Error> {
    while let Some(input) = inputs.recv().await {
        match input {
            SourceInput::Fetched { url, fetched, recovered, ack } => {
                let events = fetched.events.into_iter();
                let mut drafts: Vec<Draft> = events.map(|event| git_draft(&parts, event)).collect();
                let owed = recovered || {
                    let view = parts.read();
                    match view.world.repos.get(&url) {
                        Some(repo) => repo.error.is_some() || (!repo.fetched && drafts.is_empty()),
                        // An empty repository has no ref to record, and it is fetched all the same.
                        None => drafts.is_empty(),
                    }
                };
                let moved = |draft: &Draft| matches!(draft.event, Event::RefMoved(_));
                if owed {
                    drafts.push(Draft::new(FetchRecoveredV1 { repo: url }));
                } else if !is_heard(&parts, &url) && !drafts.iter().any(moved) {
                    drafts.push(Draft::new(FetchUnchangedV1 { repo: url }));
                }
                if !drafts.is_empty() {
                    parts.ledger.append(drafts).await?;
                }
                ack.recorded();
            }
            SourceInput::Failed { url, error } => {
                let error = with_causes(&error);
                let told = {
                    let view = parts.read();
                    let repo = view.world.repos.get(&url);
                    let told = |repo: &Repo| {
                        repo.error.as_ref() == Some(&error) && view.world.started < repo.asked
                    };
                    repo.is_some_and(told)
                };
                if !told {
                    parts.ledger.append(Draft::new(FetchFailedV1 { repo: url, error })).await?;
                }
            }
        }
    }
    Ok(())
}

/// Whether the ledger says that the repository was fetched since the daemon started.
fn is_heard(parts: &Parts, url: &str) -> bool {
    let view = parts.read();
    view.world.repos.get(url).is_some_and(|repo| view.world.started < repo.heard)
}

/// Commits are their authors' acts; everything else is what greffier found. One that greffier made
/// for a person follows from what intended it.
fn git_draft(parts: &Parts, event: Event) -> Draft {
    let Event::CommitRecorded(commit) = &event else { return Draft::new(event) };
    let claim = |scheme, signature: &crate::ledger::event::Signature| Claim {
        scheme,
        value: format!("{} <{}>", signature.name, signature.email),
        strength: 1,
    };
    let mut claims = vec![claim(Scheme::GitAuthor, &commit.author)];
    let committer = claim(Scheme::GitCommitter, &commit.committer);
    if committer.value != claims[0].value {
        claims.push(committer);
    }
    let at = commit.committer.time;
    let valid = ValidTime { lo: at, hi: at, basis: Basis::Committer };
    let made = parts.read().world.made.get(&commit.commit).copied();
    let draft = Draft::new(event).by(Actor { claims }).valid(valid);
    match made {
        Some(intent) => draft.caused_by(intent),
        None => draft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(uid: &str) -> Identity {
        let (version, server) = ("v1.36.3".to_owned(), "https://api".to_owned());
        Identity { uid: uid.to_owned(), version, server, revision: None }
    }

    fn known(kept: &str, answers: &str) -> ClusterState {
        let Identity { version, server, .. } = says("");
        let mut known =
            ClusterState { uid: answers.into(), version, server, ..ClusterState::default() };
        known.identity.kept = kept.into();
        known
    }

    fn recorded(known: &ClusterState, answers: &[&str]) -> Vec<&'static str> {
        let mut last = Answers::default();
        let drafts = answers.iter().map(|uid| last.identified(known, says(uid)));
        drafts.map(|draft| draft.map_or("-", |draft| draft.event.name())).collect()
    }

    #[test]
    fn another_cluster_than_the_kept_one_is_told_as_such_once() {
        let (first, other) = ("cluster.identified", "cluster.replaced");
        assert_eq!(recorded(&known("", ""), &["one", "one", "two"]), [first, "-", other]);
        assert_eq!(recorded(&known("one", "one"), &["one", "two", "two"]), ["-", other, "-"]);
        assert_eq!(recorded(&known("one", "two"), &["two", "one"]), ["-", first], "it is back");
        assert_eq!(recorded(&known("one", "two"), &["three", "two"]), [other, other]);
        // The same at another address or of another version is no other cluster.
        let moved = Identity { server: "https://new".into(), ..says("one") };
        let draft = Answers::default().identified(&known("one", "one"), moved).unwrap();
        assert_eq!(draft.event.name(), first);
    }
}
