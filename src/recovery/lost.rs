//! What does not come back: told before and after, exactly.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::candidate::{Candidate, Source};
use super::rules::injected_from;
use crate::model::ObjectKey;

/// Why something does not come back, or not at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// A sealed manifest, and no key.
    NoKey,
    /// A manifest that the ledger names and does not have.
    BlobMissing,
    /// A manifest that cannot be read.
    Unreadable,
    /// What people hold cannot be laid over the manifest.
    Unlaid,
    /// An application of which nothing is in force.
    NotRendered,
    /// The target does not serve it.
    NotServed,
    /// Its namespace is nowhere.
    NoNamespace,
    /// What was in a volume.
    VolumeData,
    /// A Secret of which only digests were observed.
    ObservedSecret,
    /// A key that a controller keeps for itself.
    ControllerKey,
    /// A hook: it is not run.
    Hook,
    /// An annotation that is not honoured keeps it from being written.
    Restrained,
    /// What left Git and is still there: comes back with `--include-unowned` only.
    LeftGit,
    /// The API server refused it when it was tried last.
    WasRefused,
    /// A kind that is not recorded.
    NotRecorded,
    /// Comes back with `--include-unowned` only.
    Unowned,
    /// An authority that a controller puts in later.
    InjectedCa,
    /// An address that the new cluster gives anew.
    Address,
    /// An owner that is not replayed.
    Owner,
}

impl LossKind {
    /// The word for it, in JSON too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no-key",
            Self::BlobMissing => "blob-missing",
            Self::Unreadable => "unreadable",
            Self::Unlaid => "unlaid",
            Self::NotRendered => "not-rendered",
            Self::NotServed => "not-served",
            Self::NoNamespace => "no-namespace",
            Self::VolumeData => "volume-data",
            Self::ObservedSecret => "observed-secret",
            Self::ControllerKey => "controller-key",
            Self::Hook => "hook",
            Self::Restrained => "restrained",
            Self::LeftGit => "left-git",
            Self::WasRefused => "was-refused",
            Self::NotRecorded => "not-recorded",
            Self::Unowned => "unowned",
            Self::InjectedCa => "injected-ca",
            Self::Address => "address",
            Self::Owner => "owner",
        }
    }

    /// Whether it refuses the whole replay unless a person leaves it (`--partial`): something that
    /// Git wanted and the ledger should have.
    #[must_use]
    pub fn refuses(self) -> bool {
        matches!(
            self,
            Self::NoKey
                | Self::BlobMissing
                | Self::Unreadable
                | Self::Unlaid
                | Self::NotRendered
                | Self::NotServed
                | Self::NoNamespace
        )
    }

    /// Whether it comes back by itself, or when it is asked for.
    #[must_use]
    pub fn returns(self) -> bool {
        matches!(self, Self::Unowned | Self::InjectedCa | Self::Address | Self::Owner)
    }
}

/// Something that does not come back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Loss {
    /// Why.
    pub kind: LossKind,
    /// What: an object, an application or a kind.
    pub subject: String,
    /// In words.
    pub why: String,
}

impl Loss {
    /// A loss.
    #[must_use]
    pub fn new(kind: LossKind, subject: impl ToString, why: impl Into<String>) -> Self {
        Self { kind, subject: subject.to_string(), why: why.into() }
    }
}

/// The label of the keys that sealed-secrets keeps.
const SEALED_SECRETS_KEY: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";

/// What an object itself does not bring back.
#[must_use]
pub fn of_object(candidate: &Candidate) -> Vec<Loss> {
    let (key, mut lost) = (&candidate.key, Vec::new());
    if key.is("", "PersistentVolumeClaim") {
        lost.push(volume(key));
    }
    if key.is("", "PersistentVolume") {
        let why = "what it holds is outside the cluster: it is there if its storage is";
        lost.push(Loss::new(LossKind::VolumeData, key, why));
    }
    if key.is("", "Service") && candidate.text("/spec/type") == "LoadBalancer" {
        let why = "its address is given anew: what points to the former one (DNS) has to follow";
        lost.push(Loss::new(LossKind::Address, key, why));
    }
    if let Some(annotation) = injected_from(&candidate.manifest) {
        let why = format!(
            "its caBundle is put in by whoever honours `{annotation}`; until then \
                           its calls fail"
        );
        lost.push(Loss::new(LossKind::InjectedCa, key, why));
    }
    lost
}

/// The data behind a claim.
#[must_use]
pub fn volume(key: &ObjectKey) -> Loss {
    Loss::new(LossKind::VolumeData, key, "the data of its volume is not in the ledger")
}

/// What left Git and is not asked for, with what was in its volume.
pub(super) fn left_git(candidate: &Candidate, left: &str) -> Vec<Loss> {
    let key = &candidate.key;
    let why = format!("{left}; not replayed: --include-unowned brings it as it was observed");
    let data = key.is("", "PersistentVolumeClaim").then(|| volume(key));
    data.into_iter().chain([Loss::new(LossKind::LeftGit, key, why)]).collect()
}

/// A Secret of which only digests are known.
#[must_use]
pub fn observed_secret(candidate: &Candidate) -> Loss {
    let key = &candidate.key;
    if candidate.label(SEALED_SECRETS_KEY).is_some() {
        let why = "the key of sealed-secrets: without it no SealedSecret made so far can be opened";
        return Loss::new(LossKind::ControllerKey, key, why);
    }
    if let Some(left) = &candidate.left {
        let why = format!("{left}; not replayed: of a Secret only digests were observed");
        return Loss::new(LossKind::LeftGit, key, why);
    }
    let why = "its values were observed and never wanted by an application: the ledger has \
               digests of them only";
    Loss::new(LossKind::ObservedSecret, key, why)
}

/// Keys that controllers keep for objects of the plan: Secrets that these name and nobody replays.
#[must_use]
pub fn controller_keys(candidates: &[Candidate], replayed: &BTreeSet<&ObjectKey>) -> Vec<Loss> {
    let mut lost = Vec::new();
    for candidate in candidates.iter().filter(|c| c.key.group() == "cert-manager.io") {
        let Some(name) = candidate
            .manifest
            .pointer("/spec/acme/privateKeySecretRef/name")
            .or_else(|| candidate.manifest.pointer("/spec/ca/secretName"))
            .and_then(Value::as_str)
        else {
            continue;
        };
        // The issuer of a whole cluster keeps its keys where cert-manager runs.
        let namespace = candidate.key.namespace();
        let is_it = |key: &&&ObjectKey| {
            key.is_secret()
                && key.name() == name
                && (namespace.is_empty() || key.namespace() == namespace)
        };
        if !replayed.iter().any(|key| is_it(&key)) {
            let why = format!("its key is in the Secret {name}, which no application wants");
            lost.push(Loss::new(LossKind::ControllerKey, &candidate.key, why));
        }
    }
    let sealed = candidates.iter().find(|c| c.key.is("bitnami.com", "SealedSecret"));
    let has_key = candidates.iter().any(|candidate| {
        candidate.source == Source::Wanted
            && candidate.key.is_secret()
            && candidate.label(SEALED_SECRETS_KEY).is_some()
    });
    if let Some(sealed) = sealed.filter(|_| !has_key) {
        let why = "SealedSecrets are opened with a key that only their controller has: put it back \
                   before the controller starts";
        lost.push(Loss::new(LossKind::ControllerKey, &sealed.key, why));
    }
    lost
}

/// The label of a Namespace that refuses Pods.
const ENFORCES: &str = "pod-security.kubernetes.io/enforce";

/// What is said of Pods in namespaces that enforce Pod Security: one that was there before its
/// namespace did may be refused. Which are is known to the API server alone.
#[must_use]
pub fn pod_security(candidates: &[Candidate]) -> Vec<String> {
    let namespaces = candidates.iter().filter(|candidate| candidate.key.is("", "Namespace"));
    let enforcing = namespaces.filter_map(|namespace| {
        let level = namespace.label(ENFORCES).filter(|level| *level != "privileged")?;
        let name = namespace.key.name();
        let pods = candidates.iter().map(|candidate| &candidate.key);
        let pods: Vec<String> = pods
            .filter(|key| key.is("", "Pod") && key.namespace() == name)
            .map(ToString::to_string)
            .collect();
        (!pods.is_empty()).then(|| {
            format!(
                "Namespace {name} enforces Pod Security ({level}): a Pod that was there before that, \
                 and does not comply, is refused: {}",
                pods.join(", ")
            )
        })
    });
    enforcing.collect()
}

/// The groups of which a definition cannot be replayed.
#[must_use]
pub fn groups_of_definitions(lost: &[Loss]) -> BTreeSet<String> {
    let lost = lost.iter().filter(|loss| loss.kind.refuses());
    let keys = lost.filter_map(|loss| loss.subject.parse::<ObjectKey>().ok());
    let definitions = keys.filter(|key| key.is("apiextensions.k8s.io", "CustomResourceDefinition"));
    let groups = definitions.filter_map(|key| Some(key.name().split_once('.')?.1.to_owned()));
    groups.collect()
}
