//! Blame of an object with many versions, through the library as the daemon asks it.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use greffier::ledger::event::{
    Applied, Event, Health, IntentRecordedV1, Learned, ManagerStamp, ObjectObservedV1,
    OutcomeRecordedV1, Verb, Write, WriteResult,
};
use greffier::ledger::{Batch, Blob, Draft, Ledger, Options};
use greffier::model::{AppName, BlobAddr, Digest, ObjectKey, Protection, Seq, canonical_json};
use greffier::query::blame::gather;
use greffier::query::why::Subject;
use greffier::replay::World;
use greffier::source;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::report::{Figure, Report, Unit, quantile};

/// How many versions the object has.
const VERSIONS: u64 = 500;
/// Every so many are greffier's own writes, with an intent, an answer and its echo.
const OWN_EVERY: u64 = 5;
/// How often it is asked.
const ASKED: usize = 400;

/// Blame of one object with [`VERSIONS`] versions.
pub(crate) fn measure(_runtime: &Handle, report: &mut Report) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("bench-blame-").tempdir_in(crate::target_dir()?)?;
    let options = Options::new(dir.path().join("ledger"), dir.path().join("ledger.key"));
    let (ledger, _) = Ledger::open(options)?;
    let key: ObjectKey = "Deployment.apps/prod/web".parse()?;
    let mut grown = Grown { ledger, key, last: None };
    for number in 1..=VERSIONS {
        grown.version(number)?;
    }
    let mut world = World::default();
    for recorded in grown.ledger.range(Seq(1), grown.ledger.head()) {
        let recorded = recorded?;
        if let Some(event) = &recorded.event {
            world.apply(recorded.seq(), recorded.envelope.recorded, event);
        }
    }
    let mirrors = source::Options::new(dir.path().join("mirrors"));
    let subject = Subject::parse("deploy/web", Some("prod"))?;
    let mut samples = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let begun = Instant::now();
        let blame = gather(&world, &subject, None)?.read(&grown.ledger, &mirrors)?;
        samples.push(begun.elapsed().as_secs_f64());
        ensure!(blame.versions as u64 == VERSIONS, "{} versions", blame.versions);
    }
    let p99 = vec![quantile(&samples, 0.99)];
    report.add(
        Figure::new(format!("blame, an object with {VERSIONS} versions"), Unit::Seconds, samples)
            .aim("p99 under 20 ms")
            .beside("p99", Unit::Seconds, p99),
    );
    grown.ledger.shutdown();
    Ok(())
}

/// A ledger about one object.
struct Grown {
    ledger: Ledger,
    key: ObjectKey,
    last: Option<BlobAddr>,
}

impl Grown {
    /// One more version: every few greffier's own, else somebody's edit.
    fn version(&mut self, number: u64) -> Result<()> {
        let object = object(number);
        let (bytes, stamps) = stored(&object, number);
        let blob = Blob::plain(bytes, self.last);
        self.last = Some(blob.addr);
        let digest = Digest::of(&canonical_json(&object));
        let mut drafts = Vec::new();
        if number % OWN_EVERY == 1 {
            let app: AppName = "web".parse()?;
            let manifest = Blob::plain(canonical_json(&manifest(number)), None);
            let write = Write {
                manifest: Some(manifest.addr),
                ..Write::plain(Verb::Update, self.key.clone(), "v1", "Git changed")
            };
            let (writes, timeout_ms) = (vec![write], 10_000);
            let intent = IntentRecordedV1 { app: app.clone(), writes, commit: None, timeout_ms };
            let blobs = vec![manifest];
            let seqs = self.append(Batch { blobs, drafts: vec![Draft::new(intent)] })?;
            let intent = *seqs.last().context("an intent has a position")?;
            let results = vec![(0, WriteResult::Applied(applied(number, blob.addr, digest)))];
            drafts.push(Draft::new(OutcomeRecordedV1 { app, intent, results }));
        }
        drafts.push(Draft::new(self.observed(number, blob.addr, digest, stamps)));
        self.append(Batch { blobs: vec![blob], drafts })?;
        Ok(())
    }

    fn append(&self, batch: Batch) -> Result<Vec<Seq>> {
        Ok(self.ledger.append_blocking(batch)?)
    }

    fn observed(
        &self,
        number: u64,
        object: BlobAddr,
        digest: Digest,
        managers: Vec<ManagerStamp>,
    ) -> Event {
        ObjectObservedV1 {
            key: self.key.clone(),
            version: "v1".to_owned(),
            uid: "00000000-0000-4000-8000-000000000001".to_owned(),
            resource_version: (number * 10).to_string(),
            generation: 0,
            added: number == 1,
            learned: Learned::Watched,
            digest,
            owned: None,
            object,
            status: None,
            images: Vec::new(),
            managers,
            controller: None,
            health: Health::Healthy,
            health_message: String::new(),
            health_rules: 1,
            deleting: false,
            claimed_by: String::new(),
            protection: Protection::default(),
            managed_by: String::new(),
            scales: None,
        }
        .into()
    }
}

fn applied(number: u64, object: BlobAddr, digest: Digest) -> Applied {
    Applied {
        uid: "00000000-0000-4000-8000-000000000001".to_owned(),
        resource_version: (number * 10).to_string(),
        baseline: Digest::default(),
        object,
        changed: true,
        digest,
        managers: Digest::default(),
        health: Health::Healthy,
        health_message: String::new(),
        protection: Protection::default(),
        notes: Box::default(),
    }
}

fn manifest(number: u64) -> Value {
    let containers: Vec<Value> = (0..3)
        .map(|container| {
            let env: Vec<Value> = (0..8)
                .map(|name| json!({"name": format!("VARIABLE_{name}"), "value": format!("{:08x}", name * 31)}))
                .collect();
            json!({"name": format!("c{container}"), "env": env,
                "image": format!("registry.example.test/app-{container}:v{}", number / OWN_EVERY),
                "ports": [{"containerPort": 8080 + container, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1", "memory": "256Mi"}}})
        })
        .collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "prod",
            "labels": {"app": "web", "team": "shop"}, "annotations": {}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}},
    })
}

fn object(number: u64) -> Value {
    let mut object = manifest(number);
    object["spec"]["replicas"] = json!(2 + number % 7);
    object["metadata"]["annotations"]["example.test/note"] = json!(format!("note {number}"));
    object
}

/// The object with its field ownership, and the managers as events list them.
fn stored(object: &Value, number: u64) -> (Vec<u8>, Vec<ManagerStamp>) {
    let containers: serde_json::Map<String, Value> = (0..3)
        .map(|container| {
            let env: serde_json::Map<String, Value> = (0..8)
                .map(|name| {
                    let edge = format!("k:{{\"name\":\"VARIABLE_{name}\"}}");
                    (edge, json!({".": {}, "f:name": {}, "f:value": {}}))
                })
                .collect();
            let port = format!("k:{{\"containerPort\":{},\"protocol\":\"TCP\"}}", 8080 + container);
            let below = json!({".": {}, "f:name": {}, "f:image": {}, "f:env": env,
                "f:ports": {port: {".": {}, "f:containerPort": {}, "f:protocol": {}}},
                "f:resources": {"f:limits": {"f:cpu": {}, "f:memory": {}}}});
            (format!("k:{{\"name\":\"c{container}\"}}"), below)
        })
        .collect();
    let own = json!({"f:metadata": {"f:labels": {"f:app": {}, "f:team": {}}}, "f:spec": {
        "f:selector": {}, "f:template": {"f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {"f:containers": containers}}}});
    let edit = json!({"f:metadata": {"f:annotations": {"f:example.test/note": {}}},
        "f:spec": {"f:replicas": {}}});
    let entries = [("greffier", "Apply", 1, own), ("kubectl-edit", "Update", number, edit)];
    let fields: Vec<Value> = entries
        .iter()
        .map(|(manager, operation, time, fields)| {
            json!({"apiVersion": "apps/v1", "fieldsV1": fields, "manager": manager,
                "operation": operation, "subresource": "", "time": time})
        })
        .collect();
    let stamps = entries.iter().map(|(manager, operation, time, fields)| ManagerStamp {
        manager: (*manager).to_owned(),
        operation: (*operation).to_owned(),
        subresource: String::new(),
        time: i64::try_from(*time).ok().map(greffier::model::Timestamp::from_seconds),
        fields: Digest::of(&canonical_json(fields)),
    });
    let stamps = stamps.collect();
    (canonical_json(&json!({"fields": fields, "object": object})), stamps)
}
