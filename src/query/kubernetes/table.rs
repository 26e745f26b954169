//! The columns that `kubectl get` prints: a `meta/v1` Table made by the server.
//!
//! Beside what is in the spec and in the recorded status stands the health that was judged then.

use serde_json::{Value, json};

use crate::model::{ObjectKey, Timestamp};

/// One object with what was judged about it.
pub(super) struct Row {
    pub(super) key: ObjectKey,
    pub(super) object: Value,
    pub(super) health: &'static str,
    pub(super) message: String,
}

/// How much of each object a row carries (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Include {
    None,
    Metadata,
    Object,
}

/// A column of particular kinds: its name and what is in it.
type Column = (&'static str, fn(&Value) -> String);

/// Columns between name and health.
fn columns_of(key: Option<&ObjectKey>) -> &'static [Column] {
    let Some(key) = key else { return &[] };
    match (key.group(), key.kind()) {
        ("", "Pod") => &[
            ("Ready", ready_containers),
            ("Phase", |o| told(o, "/status/phase")),
            ("Node", |o| text(o, "/spec/nodeName")),
        ],
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") => {
            &[("Replicas", |o| text(o, "/spec/replicas")), ("Ready", ready_replicas)]
        }
        ("", "Service") => &[
            ("Type", |o| text(o, "/spec/type")),
            ("Cluster-IP", |o| text(o, "/spec/clusterIP")),
            ("Ports", ports),
        ],
        ("", "ConfigMap") => &[("Data", |o| entries(o, "/data"))],
        ("", "Secret") => &[("Type", |o| text(o, "/type")), ("Data", |o| entries(o, "/data"))],
        ("", "PersistentVolumeClaim") => &[
            ("Volume", |o| text(o, "/spec/volumeName")),
            ("Storageclass", |o| text(o, "/spec/storageClassName")),
        ],
        ("batch", "CronJob") => &[
            ("Schedule", |o| text(o, "/spec/schedule")),
            ("Suspend", |o| text(o, "/spec/suspend")),
        ],
        _ => &[],
    }
}

fn text(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A field of the status; not the same as none where no status was recorded.
fn told(object: &Value, pointer: &str) -> String {
    let recorded = object.pointer(pointer).and_then(Value::as_str);
    recorded.unwrap_or("<unknown>").to_owned()
}

/// Controllers leave `readyReplicas` out while it is 0; `observedGeneration` they always set.
fn ready_replicas(object: &Value) -> String {
    if object.pointer("/status/observedGeneration").is_none() {
        return "<unknown>".to_owned();
    }
    let ready = object.pointer("/status/readyReplicas").and_then(Value::as_u64);
    ready.unwrap_or_default().to_string()
}

fn ready_containers(object: &Value) -> String {
    let statuses = object.pointer("/status/containerStatuses").and_then(Value::as_array);
    let Some(statuses) = statuses else { return "<unknown>".to_owned() };
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    format!("{ready}/{}", statuses.len())
}

fn entries(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len).to_string()
}

fn ports(object: &Value) -> String {
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    let port = |port: &Value| format!("{}/{}", text(port, "/port"), text(port, "/protocol"));
    let ports: Vec<String> = ports.into_iter().flatten().map(port).collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

fn images(object: &Value) -> String {
    let pod = ["/spec/template/spec/containers", "/spec/containers"];
    let containers = pod.iter().find_map(|pointer| object.pointer(pointer)?.as_array());
    let images: Vec<String> =
        containers.into_iter().flatten().map(|container| text(container, "/image")).collect();
    images.join(",")
}

/// How long before `at` the object was made, as kubectl writes ages.
fn age(object: &Value, at: Timestamp) -> String {
    let made = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    let Some(made) = made.and_then(Timestamp::parse_rfc3339) else {
        return "<unknown>".to_owned();
    };
    let seconds = at.ms_since(made) / 1_000;
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    match (seconds, hours, hours / 24) {
        (0..120, _, _) => format!("{seconds}s"),
        (120..600, _, _) if !seconds.is_multiple_of(60) => format!("{minutes}m{}s", seconds % 60),
        (_, 0..3, _) => format!("{minutes}m"),
        (_, 3..8, _) if !minutes.is_multiple_of(60) => format!("{hours}h{}m", minutes % 60),
        (_, 3..48, _) => format!("{hours}h"),
        (_, _, days @ 2..8) if !hours.is_multiple_of(24) => format!("{days}d{}h", hours % 24),
        (_, _, days) => format!("{days}d"),
    }
}

/// The table of `rows`, as of `at`.
pub(super) fn table(rows: Vec<Row>, at: Timestamp, include: Include, metadata: Value) -> Value {
    let own = columns_of(rows.first().map(|row| &row.key));
    let column = |name: &str, format: &str, priority: u8| {
        json!({"name": name, "type": "string", "format": format, "priority": priority,
            "description": ""})
    };
    let mut columns = vec![column("Name", "name", 0)];
    columns.extend(own.iter().map(|(name, _)| column(name, "", 0)));
    columns.extend([column("Health", "", 0), column("Age", "", 0)]);
    columns.extend([column("Images", "", 1), column("Message", "", 1)]);
    let rows: Vec<Value> = rows.into_iter().map(|row| cells(row, own, at, include)).collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns, "rows": rows})
}

fn cells(row: Row, own: &[Column], at: Timestamp, include: Include) -> Value {
    let object = row.object;
    let mut cells = vec![text(&object, "/metadata/name")];
    cells.extend(own.iter().map(|(_, cell)| cell(&object)));
    cells.extend([row.health.to_owned(), age(&object, at), images(&object), row.message]);
    match include {
        Include::None => json!({"cells": cells}),
        Include::Object => json!({"cells": cells, "object": object}),
        Include::Metadata => json!({"cells": cells, "object": {
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"]}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let made = Timestamp::parse_rfc3339("2026-11-20T00:00:00Z").unwrap();
        let object = json!({"metadata": {"creationTimestamp": "2026-11-20T00:00:00Z"}});
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (130, "2m10s"),
            (600, "10m"),
            (7_200, "120m"),
            (4 * 3_600 + 300, "4h5m"),
            (8 * 3_600 + 300, "8h"),
            (50 * 3_600, "2d2h"),
            (9 * 86_400 + 3_600, "9d"),
        ] {
            let at = made.plus_ms(seconds * 1_000);
            assert_eq!(age(&object, at), expected, "{seconds}");
        }
        assert_eq!(age(&json!({}), made), "<unknown>");
    }
}
