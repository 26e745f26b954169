//! The plan: every object that is written, where in the order, and what is left out and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::candidate::{Candidate, Source};
use super::lost::{self, Loss, LossKind};
use super::order::{Place, Placed, Stage, places};
use super::progress::Former;
use super::rules::{self, OWNERS, sanitise};
use super::skips;
use super::versions::{Choice, Serving};
use crate::model::{Digest, GroupKind, ObjectKey, Seq, Timestamp, canonical_json};

/// Something that is left out by a rule of [`skips`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Skipped {
    /// The rule.
    pub rule: String,
    /// The object.
    pub object: String,
}

impl Skipped {
    /// An object that a rule leaves out.
    #[must_use]
    pub fn new(rule: &str, object: impl ToString) -> Self {
        Self { rule: rule.to_owned(), object: object.to_string() }
    }
}

/// What the ledger says may be replayed.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// The last event of the instant.
    pub to: Seq,
    /// Its time.
    pub at: Timestamp,
    /// Whether what was observed is replayed, rather than what was wanted.
    pub live: bool,
    /// The applications; empty = all.
    pub apps: Vec<String>,
    /// The objects.
    pub candidates: Vec<Candidate>,
    /// What nobody's application owns and is replayed only where it is needed or asked for.
    pub others: Vec<Candidate>,
    /// Whether those are asked for.
    pub unowned: bool,
    /// What is known not to come back.
    pub lost: Vec<Loss>,
    /// What is left out.
    pub skipped: Vec<Skipped>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A reference to an owner, which is given the owner's new uid before the object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerLink {
    /// Its place in `metadata.ownerReferences`.
    pub index: usize,
    /// The owner.
    pub owner: ObjectKey,
}

/// An object that is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Where it stands in the order.
    pub place: Place,
    /// The object.
    pub key: ObjectKey,
    /// The version that it is written in.
    pub version: String,
    /// The application that owns it; empty = nobody's.
    pub app: String,
    /// Where the manifest comes from.
    pub source: Source,
    /// The manifest as it is written, but for the uids of owners.
    pub manifest: Value,
    /// The fields of it that are others', as a `fieldsV1`: they are to stay when greffier applies
    /// what Git says.
    pub beside: Option<Value>,
    /// Its owners.
    pub owners: Vec<OwnerLink>,
    /// The rules that touched it.
    pub rules: Vec<&'static str>,
    /// The version that it was recorded in, where that is another.
    pub mapped: Option<String>,
    /// The render that wants it as it is written; `None` = none does.
    pub render: Option<Seq>,
    /// The uid that it had; empty = it was never seen.
    pub uid: String,
    /// Whether the API server refuses what it does not know.
    pub validate: bool,
}

/// The plan.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The time of the instant.
    pub at: Timestamp,
    /// What is written, in order.
    pub steps: Vec<Step>,
    /// What a person is shown of it.
    pub shown: Shown,
}

/// What a person is shown of a plan. It goes over the wire as it is: fields are added, never
/// renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The last event of the instant.
    pub to: u64,
    /// Its time.
    pub at: String,
    /// `desired` or `observed`.
    pub source: String,
    /// The applications; empty = all.
    pub apps: Vec<String>,
    /// How many objects are written.
    pub objects: usize,
    /// What is written together: each stage with the number of its objects.
    pub stages: Vec<(String, usize)>,
    /// The objects in order.
    pub steps: Vec<ShownStep>,
    /// The rules that touched objects.
    pub rules: Vec<ShownRule>,
    /// The rules that left objects out.
    pub skips: Vec<ShownRule>,
    /// The objects that those left out.
    pub skipped: Vec<Skipped>,
    /// What refuses the replay unless it is left (`--partial`).
    pub missing: Vec<Loss>,
    /// What does not come back.
    pub lost: Vec<Loss>,
    /// What comes back later, or when it is asked for.
    pub later: Vec<Loss>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What tells this plan from another.
    pub digest: String,
}

impl Plan {
    /// Leaves out objects that are there already and are nobody's.
    pub fn leave(&mut self, left: &BTreeSet<ObjectKey>) {
        if left.is_empty() {
            return;
        }
        self.steps.retain(|step| !left.contains(&step.key));
        let named: Vec<String> = left.iter().map(ToString::to_string).collect();
        let text = "there already, and wanted by no application: left as they are";
        self.shown.notes.push(format!("{text}: {}", named.join(", ")));
        self.show_steps();
    }

    /// Takes what earlier replays wrote as they wrote it: what several applications want stays that
    /// of the one whose replay came first. `annotation` names the application on an object.
    pub fn stays_as_written(&mut self, former: &BTreeMap<ObjectKey, Former>, annotation: &str) {
        for step in self.steps.iter_mut().filter(|step| !step.app.is_empty()) {
            let Some(former) = former.get(&step.key).map(|former| &former.write) else { continue };
            if former.app.is_empty() || former.app == step.app {
                continue;
            }
            step.app.clone_from(&former.app);
            step.render = former.render;
            let annotations = step.manifest.pointer_mut("/metadata/annotations");
            if let Some(named) = annotations.and_then(|all| all.get_mut(annotation)) {
                *named = Value::String(former.app.clone());
            }
        }
        self.show_steps();
    }

    fn show_steps(&mut self) {
        let mut stages: Vec<(String, usize)> = Vec::new();
        for step in &self.steps {
            let stage = step.place.stage.as_str();
            match stages.last_mut().filter(|(last, _)| last == stage) {
                Some((_, count)) => *count += 1,
                None => stages.push((stage.to_owned(), 1)),
            }
        }
        self.shown.stages = stages;
        self.shown.objects = self.steps.len();
        self.shown.steps = self.steps.iter().map(Step::shown).collect();
        self.shown.digest = digest(&self.steps).to_string();
    }
}

impl Shown {
    /// Whether everything would come back.
    #[must_use]
    pub fn returns(&self) -> bool {
        self.missing.is_empty() && self.lost.is_empty()
    }
}

/// An object of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownStep {
    /// The stage.
    pub stage: String,
    /// The sync wave.
    pub wave: i32,
    /// The object.
    pub object: String,
    /// The version that it is written in.
    pub version: String,
    /// The application that owns it; empty = nobody's.
    pub app: String,
    /// The rules that touched it.
    pub rules: Vec<String>,
}

/// A rule and how many objects it touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRule {
    /// Its name.
    pub rule: String,
    /// What it does.
    pub what: String,
    /// How many objects.
    pub objects: usize,
}

/// Makes the plan. `serving` is what the target serves; [`Serving::unknown`] where none was asked.
#[must_use]
pub fn plan(input: Input, serving: Serving) -> Plan {
    let mut making =
        Making { serving, lost: input.lost, skipped: input.skipped, notes: input.notes };
    let stays = input.others.iter().filter(|other| other.stays);
    let needed = needed(input.candidates.iter().chain(stays));
    let mut taken = input.candidates;
    let (mut pulled, mut of_others, mut left) = (Vec::new(), Vec::new(), 0);
    for other in input.others {
        if let Some(rule) = skips::of_observed(&other) {
            making.skipped.push(Skipped::new(rule, &other.key));
        } else if other.key.is_secret() && other.source == Source::Observed {
            making.lost.push(lost::observed_secret(&other));
        } else if let Some(why) = other.left.as_ref().filter(|_| other.stays) {
            let then = "replayed as it was observed; its application removes it then";
            making.notes.push(format!("{}: {why}: {then}", other.key));
            taken.push(other);
        } else if (input.unowned && other.app.is_empty()) || needed.contains(&Need::of(&other)) {
            if other.app.is_empty() && !input.unowned {
                pulled.push(other.key.to_string());
            } else if !other.app.is_empty() {
                of_others.push(format!("{} of {}", other.key, other.app));
            }
            taken.push(other);
        } else if let Some(why) = &other.left {
            making.lost.extend(lost::left_git(&other, why));
        } else if input.apps.is_empty() {
            if other.key.is("", "PersistentVolumeClaim") {
                making.lost.push(lost::volume(&other.key));
            }
            left += 1;
            let why = "no application wants it: --include-unowned brings it as it was observed";
            making.lost.push(Loss::new(LossKind::Unowned, &other.key, why));
        }
    }
    if !pulled.is_empty() {
        let why = "needed by what is replayed, and wanted by no application: replayed as observed";
        making.notes.push(format!("{why}: {}", pulled.join(", ")));
    }
    if !of_others.is_empty() {
        let why = "of applications that are not asked for, and needed by what is replayed";
        making.notes.push(format!("{why}: {}", of_others.join(", ")));
    }
    if left > 0 {
        let text = "what no application wants is left out; --include-unowned brings it";
        making.notes.push(format!("{text}: {left}"));
    }
    let jobs = taken.iter().filter(|candidate| candidate.key.is("batch", "Job")).count();
    if jobs > 0 {
        let text = "Jobs run again, because the new cluster does not know that they have run";
        making.notes.push(format!("{text}: {jobs}"));
    }
    making.notes.extend(lost::pod_security(&taken));
    let steps = making.steps(taken);
    let head = Shown {
        to: input.to.0,
        at: input.at.to_string(),
        source: if input.live { "observed" } else { "desired" }.to_owned(),
        apps: input.apps,
        ..Shown::default()
    };
    Plan { at: input.at, ..making.shown(steps, head) }
}

/// What an object needs to be there: a namespace, or a definition of its kind.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Namespace(String),
    Kind(GroupKind),
    Nothing,
}

impl Need {
    /// What an object offers to others.
    fn of(candidate: &Candidate) -> Self {
        if candidate.key.is("", "Namespace") {
            return Self::Namespace(candidate.key.name().to_owned());
        }
        if candidate.key.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            let kind = candidate.text("/spec/names/kind");
            return Self::Kind(GroupKind::new(candidate.text("/spec/group"), kind));
        }
        Self::Nothing
    }
}

fn needed<'c>(candidates: impl Iterator<Item = &'c Candidate>) -> BTreeSet<Need> {
    let needs = candidates.flat_map(|candidate| {
        let namespace = Some(candidate.key.namespace().to_owned()).filter(|name| !name.is_empty());
        namespace.map(Need::Namespace).into_iter().chain([Need::Kind(candidate.key.group_kind())])
    });
    needs.collect()
}

struct Making {
    serving: Serving,
    lost: Vec<Loss>,
    skipped: Vec<Skipped>,
    notes: Vec<String>,
}

impl Making {
    fn steps(&mut self, candidates: Vec<Candidate>) -> Vec<Step> {
        for candidate in &candidates {
            if candidate.key.is("apiextensions.k8s.io", "CustomResourceDefinition") {
                self.serving.add_definition(&candidate.manifest);
            }
        }
        let services: BTreeSet<String> = candidates
            .iter()
            .filter(|c| c.key.is("apiregistration.k8s.io", "APIService"))
            .filter(|c| c.manifest.pointer("/spec/service").is_some_and(|s| !s.is_null()))
            .map(|c| c.text("/spec/group").to_owned())
            .collect();
        let undefined = lost::groups_of_definitions(&self.lost);
        let mut steps = Vec::with_capacity(candidates.len());
        let keys: BTreeSet<&ObjectKey> = candidates.iter().map(|c| &c.key).collect();
        self.lost.extend(lost::controller_keys(&candidates, &keys));
        for candidate in &candidates {
            self.lost.extend(lost::of_object(candidate));
            let key = &candidate.key;
            // Where a cluster was asked, it says itself what it serves.
            if undefined.contains(key.group()) && self.serving.is_undefined(&key.group_kind()) {
                let why =
                    "a definition of its group cannot be replayed, and none that can defines it";
                self.lost.push(Loss::new(LossKind::NotServed, key, why));
                continue;
            }
            steps.extend(self.step(candidate, &services));
        }
        self.namespaces(&steps);
        self.place(&mut steps);
        steps
    }

    fn step(&mut self, candidate: &Candidate, services: &BTreeSet<String>) -> Option<Step> {
        let Candidate { key, version, source, .. } = candidate;
        let mut manifest = candidate.manifest.clone();
        let choice = self.serving.choose(key, version, &manifest, services);
        let (version, mapped) = match choice {
            Choice::Same => (version.clone(), None),
            Choice::Mapped(to) => (to, Some(version.clone())),
            Choice::Not(why) => {
                self.lost.push(Loss::new(LossKind::NotServed, key, why));
                return None;
            }
        };
        if mapped.is_some() {
            let api_version = if key.group().is_empty() {
                version.clone()
            } else {
                format!("{}/{version}", key.group())
            };
            manifest["apiVersion"] = Value::String(api_version);
        }
        let rules = sanitise(key, *source, candidate.wanted.as_ref(), &mut manifest);
        Some(Step {
            place: Place { stage: Stage::Rest, depth: 0, wave: candidate.wave, rank: 0 },
            key: key.clone(),
            version,
            app: candidate.app.clone(),
            source: *source,
            manifest,
            beside: candidate.beside.clone(),
            owners: Vec::new(),
            rules,
            mapped,
            render: candidate.render,
            uid: candidate.uid.clone(),
            validate: candidate.validate,
        })
    }

    /// Names what is in a namespace that is nowhere.
    fn namespaces(&mut self, steps: &[Step]) {
        let there: BTreeSet<&str> =
            steps.iter().filter(|s| s.key.is("", "Namespace")).map(|s| s.key.name()).collect();
        let missing = steps.iter().filter(|step| {
            let name = step.key.namespace();
            let own = ObjectKey::new("", "Namespace", "", name);
            !name.is_empty() && !there.contains(name) && skips::by_key(&own).is_none()
        });
        let missing: Vec<Loss> = missing
            .map(|step| {
                let why = format!("its namespace {} is not in the ledger", step.key.namespace());
                Loss::new(LossKind::NoNamespace, &step.key, why)
            })
            .collect();
        self.lost.extend(missing);
    }

    /// Puts the steps in order, and points their owners to each other.
    fn place(&mut self, steps: &mut [Step]) {
        let positions: BTreeMap<ObjectKey, usize> =
            steps.iter().enumerate().map(|(index, step)| (step.key.clone(), index)).collect();
        for step in steps.iter_mut() {
            self.owners(step, &positions);
        }
        let placed: Vec<Placed<'_>> = steps
            .iter()
            .map(|step| Placed {
                key: &step.key,
                api: (step.key.group(), &step.version),
                wave: step.place.wave,
                manifest: &step.manifest,
                owners: step.owners.iter().map(|link| positions[&link.owner]).collect(),
            })
            .collect();
        let found = places(&placed);
        for (step, place) in steps.iter_mut().zip(found) {
            step.place = place;
        }
        steps.sort_by(|a, b| (a.place, &a.key).cmp(&(b.place, &b.key)));
    }

    /// Keeps the owners that are replayed, and drops the others.
    fn owners(&mut self, step: &mut Step, positions: &BTreeMap<ObjectKey, usize>) {
        let Some(Value::Array(references)) = step.manifest.pointer("/metadata/ownerReferences")
        else {
            return;
        };
        let (mut kept, mut links) = (Vec::new(), Vec::new());
        for reference in references {
            match owner_of(&step.key, reference, positions) {
                Some(owner) => {
                    links.push(OwnerLink { index: kept.len(), owner });
                    kept.push(reference.clone());
                }
                None => {
                    let name = format!("{}/{}", reference["kind"], reference["name"]);
                    let why =
                        format!("its owner {} is not replayed: it has none", name.replace('"', ""));
                    self.lost.push(Loss::new(LossKind::Owner, &step.key, why));
                }
            }
        }
        if let Some(metadata) = step.manifest["metadata"].as_object_mut() {
            if kept.is_empty() {
                metadata.remove("ownerReferences");
            } else {
                metadata.insert("ownerReferences".to_owned(), Value::Array(kept));
            }
        }
        step.owners = links;
        step.rules.push(OWNERS.0);
    }

    fn shown(mut self, steps: Vec<Step>, head: Shown) -> Plan {
        self.lost.sort();
        self.lost.dedup();
        self.skipped.sort();
        self.skipped.dedup();
        for step in &steps {
            if let Some(from) = &step.mapped {
                self.notes
                    .push(format!("{}: written in {}, recorded in {from}", step.key, step.version));
            }
        }
        let used = steps.iter().flat_map(|step| &step.rules).copied();
        let left = self.skipped.iter().map(|skipped| skipped.rule.as_str());
        let (rules, skips) = (count(used, rules::what), count(left, skips::what));
        let (missing, rest): (Vec<Loss>, Vec<Loss>) =
            self.lost.into_iter().partition(|loss| loss.kind.refuses());
        let (later, lost) = rest.into_iter().partition(|loss| loss.kind.returns());
        let shown = Shown {
            rules,
            skips,
            skipped: self.skipped,
            missing,
            lost,
            later,
            notes: self.notes,
            ..head
        };
        let mut plan = Plan { steps, shown, ..Plan::default() };
        plan.show_steps();
        plan
    }
}

impl Step {
    fn shown(&self) -> ShownStep {
        ShownStep {
            stage: self.place.stage.as_str().to_owned(),
            wave: self.place.wave,
            object: self.key.to_string(),
            version: self.version.clone(),
            app: self.app.clone(),
            rules: self.rules.iter().map(|rule| (*rule).to_owned()).collect(),
        }
    }

    /// The manifest with the uids of its owners. `None` while one of them has none.
    #[must_use]
    pub fn with_owners(&self, uids: &BTreeMap<ObjectKey, String>) -> Option<Value> {
        let mut manifest = self.manifest.clone();
        for link in &self.owners {
            let uid = uids.get(&link.owner)?;
            manifest["metadata"]["ownerReferences"][link.index]["uid"] = uid.as_str().into();
        }
        Some(manifest)
    }
}

/// How often each rule is named.
fn count<'a>(
    used: impl Iterator<Item = &'a str>,
    what: fn(&str) -> &'static str,
) -> Vec<ShownRule> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in used {
        *counts.entry(rule).or_default() += 1;
    }
    let shown = |(rule, objects): (&str, usize)| ShownRule {
        rule: rule.to_owned(),
        what: what(rule).to_owned(),
        objects,
    };
    counts.into_iter().map(shown).collect()
}

/// The object of the plan that a reference to an owner means: in the same namespace, or in none.
fn owner_of(
    key: &ObjectKey,
    reference: &Value,
    positions: &BTreeMap<ObjectKey, usize>,
) -> Option<ObjectKey> {
    let text = |field: &str| reference.get(field).and_then(Value::as_str);
    let (api_version, kind, name) = (text("apiVersion")?, text("kind")?, text("name")?);
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let named = |namespace: &str| ObjectKey::new(group, kind, namespace, name);
    let mut owners = [named(key.namespace()), named("")].into_iter();
    owners.find(|owner| positions.contains_key(owner) && owner != key)
}

/// What tells one plan from another: the objects and their order. Values of Secrets are left out.
fn digest(steps: &[Step]) -> Digest {
    let mut bytes = Vec::new();
    for step in steps {
        bytes.extend_from_slice(step.key.to_string().as_bytes());
        bytes.extend_from_slice(step.version.as_bytes());
        bytes.push(0);
        if !step.key.is_secret() {
            bytes.extend_from_slice(&canonical_json(&step.manifest));
        }
    }
    Digest::of(&bytes)
}
