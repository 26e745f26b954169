//! The manifests that benchmarks deploy, and the bare loop that applies the same ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Request;
use serde_json::{Value, json};

use crate::repository::Repository;
use crate::witness::{Api, request};

/// What greffier uses too (design §8).
const PARALLELISM: usize = 8;

/// Returns the name of an object.
pub(crate) fn name(index: usize) -> String {
    format!("item-{index:04}")
}

/// Returns a ConfigMap; its `value` is what benchmarks change.
pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "data": {
            "value": value,
            "settings.ini": "[server]\nport = 8080\nworkers = 4\n[cache]\nsize = 64\nttl = 300\n",
        },
    })
}

/// Returns a Deployment of one pod.
pub(crate) fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "main", "image": "example.test/bench:1",
                    "ports": [{"containerPort": 8080}],
                    "env": [{"name": "MODE", "value": "bench"}],
                }]},
            },
        },
    })
}

/// Returns 4 ConfigMaps to 1 Deployment.
pub(crate) fn mixed(count: usize) -> Vec<Value> {
    (0..count)
        .map(|index| match index % 5 {
            4 => deployment(&name(index), 1),
            _ => config_map(&name(index), "1"),
        })
        .collect()
}

/// Writes each manifest as a file of its own. JSON is YAML.
pub(crate) fn write(repository: &Repository, dir: &str, manifests: &[Value]) -> Result<()> {
    for manifest in manifests {
        let name = manifest["metadata"]["name"].as_str().context("a manifest without a name")?;
        repository.write(&format!("{dir}/{name}.yaml"), &format!("{manifest:#}\n"))?;
    }
    Ok(())
}

/// What the bare loop took.
#[derive(Clone, Debug)]
pub(crate) struct Bare {
    /// From the first request to the last answer.
    pub(crate) total: Duration,
    /// Each request.
    pub(crate) each: Vec<f64>,
}

/// Applies the manifests to a namespace, which it makes first, and does nothing else.
pub(crate) fn bare_loop(
    api: &Api,
    namespace: &str,
    manifests: &[Value],
    parallelism: usize,
) -> Result<Bare> {
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
    });
    let make = apply_request(&format!("/api/v1/namespaces/{namespace}"), &object)?;
    let client = api.client();
    api.runtime().block_on(client.request::<Value>(make))?;
    let requests: Vec<_> = manifests
        .iter()
        .map(|manifest| apply_request(&path(namespace, manifest)?, manifest))
        .collect::<Result<_>>()?;
    send_all(api, requests, parallelism)
}

/// Deletes the objects of a namespace, and does nothing else.
pub(crate) fn bare_delete(api: &Api, namespace: &str, manifests: &[Value]) -> Result<Bare> {
    let requests: Vec<_> = manifests
        .iter()
        .map(|manifest| request("DELETE", &path(namespace, manifest)?, "", Vec::new()))
        .collect::<Result<_>>()?;
    send_all(api, requests, PARALLELISM)
}

/// Sends requests, `parallelism` at a time, as fast as they are answered.
fn send_all(api: &Api, requests: Vec<Request<Vec<u8>>>, parallelism: usize) -> Result<Bare> {
    let (client, count) = (api.client(), requests.len());
    let queue = Arc::new(std::sync::Mutex::new(requests.into_iter()));
    let begun = Instant::now();
    let each = api.runtime().block_on(async {
        let workers = (0..parallelism).map(|_| {
            let (queue, client) = (Arc::clone(&queue), client.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let next =
                        queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                    let Some(request) = next else { return anyhow::Ok(times) };
                    let begun = Instant::now();
                    client.request::<Value>(request).await?;
                    times.push(begun.elapsed().as_secs_f64());
                }
            })
        });
        let mut all = Vec::new();
        for worker in workers.collect::<Vec<_>>() {
            all.extend(worker.await??);
        }
        anyhow::Ok(all)
    })?;
    ensure!(each.len() == count, "of {count} requests {} were answered", each.len());
    Ok(Bare { total: begun.elapsed(), each })
}

/// The bare loop at the parallelism that greffier has.
pub(crate) fn bare(api: &Api, namespace: &str, manifests: &[Value]) -> Result<Bare> {
    bare_loop(api, namespace, manifests, PARALLELISM)
}

/// Returns the path of an object.
pub(crate) fn path(namespace: &str, manifest: &Value) -> Result<String> {
    let name = manifest["metadata"]["name"].as_str().context("a manifest without a name")?;
    Ok(match manifest["kind"].as_str() {
        Some("ConfigMap") => format!("/api/v1/namespaces/{namespace}/configmaps/{name}"),
        _ => format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}"),
    })
}

fn apply_request(path: &str, manifest: &Value) -> Result<Request<Vec<u8>>> {
    let path = format!("{path}?fieldManager=bare&force=true");
    request("PATCH", &path, "application/apply-patch+yaml", manifest.to_string().into_bytes())
}
