//! What folders of the repository say: manifests made by chance, from a small pool.
//!
//! Small, so that applications meet at the same objects, objects leave and come back, and two
//! revisions often say the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cluster::REFUSED;
use super::daemon::Sim;
use super::random::Random;
use crate::model::ObjectKey;
use crate::replay::testing::{application, cascading, key};

/// Objects that applications may have.
pub(super) const OBJECTS: &[&str] = &[
    "ConfigMap/prod/a",
    "ConfigMap/prod/b",
    "ConfigMap/prod/c",
    "ConfigMap/prod/d",
    "Deployment.apps/prod/web",
    "Secret/prod/s",
    "PersistentVolumeClaim/prod/data",
    "Namespace/extra",
    "ConfigMap/extra/e",
];

/// The annotation that may keep an object.
pub(super) const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";

/// The application that `root` may define.
pub(super) const CHILD: &str = "leaf";

/// One object of a folder.
#[derive(Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) value: Value,
    pub(super) wave: i32,
}

/// A folder of the repository.
#[derive(Clone, PartialEq)]
pub(super) enum Tree {
    /// It does not render.
    Broken,
    /// These objects.
    Objects(BTreeMap<ObjectKey, Manifest>),
}

impl Tree {
    pub(super) fn empty() -> Self {
        Self::Objects(BTreeMap::new())
    }

    pub(super) fn objects(&self) -> Option<&BTreeMap<ObjectKey, Manifest>> {
        match self {
            Self::Broken => None,
            Self::Objects(objects) => Some(objects),
        }
    }

    /// Puts everything into one wave.
    pub(super) fn flatten(&mut self) {
        if let Self::Objects(objects) = self {
            objects.values_mut().for_each(|manifest| manifest.wave = 0);
        }
    }

    /// Leaves every object to one folder; a namespace and what is in it to the same.
    pub(super) fn part(random: &mut Random, trees: &mut [(String, Self)]) {
        let together = |key: &ObjectKey| match key.namespace() {
            "extra" => "Namespace/extra".to_owned(),
            _ => key.to_string(),
        };
        let owners: BTreeMap<String, usize> =
            OBJECTS.iter().map(|text| (together(&key(text)), random.below(trees.len()))).collect();
        for (number, (_, tree)) in trees.iter_mut().enumerate() {
            if let Self::Objects(objects) = tree {
                objects.retain(|key, _| {
                    owners.get(&together(key)).is_none_or(|owner| *owner == number)
                });
            }
        }
    }

    /// Some folder of application `app`. `sound` = it renders, and the cluster takes all of it.
    pub(super) fn random(random: &mut Random, app: &str, sound: bool) -> Self {
        if !sound && random.chance(8) {
            return Self::Broken;
        }
        let mut objects = BTreeMap::new();
        let waves = random.chance(20);
        let density = [10, 40, 60, 90][random.below(4)];
        for text in OBJECTS {
            if !random.chance(density) {
                continue;
            }
            let key = key(text);
            let mut value = manifest(random, &key);
            if !sound && random.chance(3) {
                value["data"]["k0"] = json!(REFUSED);
            }
            let wave = if waves { i32::try_from(random.below(3)).unwrap() } else { 0 };
            objects.insert(key, Manifest { value, wave });
        }
        if let (true, false) = (sound, objects.contains_key(&key("Namespace/extra"))) {
            objects.remove(&key("ConfigMap/extra/e"));
        }
        if app == "root" && random.chance(60) {
            let make = if random.chance(70) { cascading } else { application };
            let policy = policy(random.below(4));
            let key = key(&format!("Application.argoproj.io/argocd/{CHILD}"));
            objects.insert(key, Manifest { value: make(CHILD, policy), wave: 0 });
        }
        Self::Objects(objects)
    }
}

/// Some `syncPolicy`.
pub(super) fn policy(number: usize) -> Value {
    match number % 4 {
        0 => json!({}),
        1 => json!({"automated": {}}),
        2 => json!({"automated": {"prune": true, "selfHeal": true, "allowEmpty": true}}),
        _ => json!({"automated": {"prune": true, "selfHeal": true}}),
    }
}

fn manifest(random: &mut Random, key: &ObjectKey) -> Value {
    let version = if key.group().is_empty() { "v1".into() } else { format!("{}/v1", key.group()) };
    let mut value = json!({
        "apiVersion": version, "kind": key.kind(), "metadata": {"name": key.name()},
    });
    if !key.namespace().is_empty() {
        value["metadata"]["namespace"] = json!(key.namespace());
    }
    if random.chance(40) {
        value["metadata"]["labels"] = json!({"team": format!("t{}", random.below(2))});
    }
    if random.chance(8) {
        let options =
            ["Prune=false", "Delete=false", "Prune=confirm", "Delete=confirm,Prune=false"];
        let option = random.pick(&options).unwrap();
        value["metadata"]["annotations"] = json!({SYNC_OPTIONS: option});
    }
    match key.kind() {
        "Namespace" => {}
        "Deployment" => {
            value["spec"] = json!({"paused": false});
            if random.chance(80) {
                value["spec"]["replicas"] = json!(random.below(3));
            }
        }
        "PersistentVolumeClaim" => {
            value["spec"] = json!({"size": format!("{}Gi", random.below(2))});
        }
        _ => {
            for name in ["k0", "k1", "k2"] {
                if random.chance(60) {
                    value["data"][name] = json!(format!("v{}", random.below(3)));
                }
            }
        }
    }
    value
}

/// A folder for each of these applications.
pub(super) trait MapTrees {
    fn map_trees(&self, sim: &mut Sim, sound: bool) -> Vec<(String, Tree)>;
}

impl MapTrees for [&str] {
    fn map_trees(&self, sim: &mut Sim, sound: bool) -> Vec<(String, Tree)> {
        self.iter()
            .map(|app| ((*app).to_owned(), Tree::random(&mut sim.random, app, sound)))
            .collect()
    }
}
