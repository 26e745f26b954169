//! What the API server serves: kinds, their versions and resource names.
//!
//! Aggregated discovery answers in two requests; servers without it are asked group by group. A
//! group that cannot be asked is named as broken and costs nothing else. Kinds that cannot be
//! listed are left out: nobody can observe them.
//!
//! This module also decides which kinds are watched, by [`KindPattern`]s alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use futures::StreamExt;
use serde_json::Value;

use super::connection::Connection;
use super::request::{Call, Class, Error};
use crate::ledger::event::ServedKind;
use crate::model::{GroupKind, ObjectKey, ParseIdError, Scope};

/// Asks for the whole of discovery in one answer, newest form first, else the plain form.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
     application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
/// How many groups are asked at once where aggregated discovery is not served.
const GROUPS_AT_ONCE: usize = 8;
/// The most kinds that are taken over; an API server with more is broken or hostile.
const KINDS_MAX: usize = 20_000;

/// What is not watched unless configured otherwise: what changes all the time or is derived from
/// other objects, and what cannot be watched in earnest. The list is Argo CD's, extended.
const EXCLUDED: [&str; 20] = [
    "*.custom.metrics.k8s.io",
    "*.external.metrics.k8s.io",
    "*.metrics.k8s.io",
    "*.reports.kyverno.io",
    "*.wgpolicyk8s.io",
    "*Review.*",
    "CSIStorageCapacity.storage.k8s.io",
    "CertificateRequest.cert-manager.io",
    "CertificateSigningRequest.certificates.k8s.io",
    "CiliumEndpoint.cilium.io",
    "CiliumIdentity.cilium.io",
    "ComponentStatus",
    "EndpointSlice.discovery.k8s.io",
    "Endpoints",
    "Event",
    "Event.events.k8s.io",
    "IPAddress.networking.k8s.io",
    "Lease.coordination.k8s.io",
    "LeaseCandidate.coordination.k8s.io",
    "StorageVersion.internal.apiserver.k8s.io",
];

/// A pattern of kinds: `Kind` in the core group, `Kind.group` elsewhere. Either part may contain
/// `*`; the group `*` is any group, the core group included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindPattern {
    kind: String,
    group: String,
}

impl KindPattern {
    /// What is not watched unless configured otherwise.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        EXCLUDED.iter().map(|text| Self::split(text)).collect()
    }

    /// Whether the pattern names this kind.
    #[must_use]
    pub fn matches(&self, kind: &GroupKind) -> bool {
        glob(&self.kind, &kind.kind) && glob(&self.group, &kind.group)
    }

    fn split(text: &str) -> Self {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        Self { kind: kind.to_owned(), group: group.to_owned() }
    }
}

impl FromStr for KindPattern {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pattern = Self::split(text);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'-' | b'.');
        if pattern.kind.is_empty() || !text.bytes().all(allowed) {
            return Err(ParseIdError {
                what: "pattern of kinds (Kind or Kind.group)",
                input: text.into(),
            });
        }
        Ok(pattern)
    }
}

impl fmt::Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        GroupKind::new(&self.group, &self.kind).fmt(f)
    }
}

/// Whether `text` matches `pattern`, where `*` stands for anything.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => match text.strip_prefix(start) {
            // Every tail is tried: patterns are short and come from the configuration.
            Some(tail) => (0..=tail.len())
                .filter(|at| tail.is_char_boundary(*at))
                .any(|at| glob(rest, &tail[at..])),
            None => false,
        },
    }
}

/// What the API server serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovered {
    /// All kinds that can be listed, in order.
    pub kinds: Vec<ServedKind>,
    /// Groups whose discovery failed; what they serve is not known.
    pub broken_groups: Vec<String>,
}

/// Where a kind is found, in every version it is served in.
#[derive(Debug, Default)]
pub(super) struct Resources {
    by_version: BTreeMap<(GroupKind, String), Resource>,
}

/// How objects of a kind are addressed in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) plural: String,
    pub(super) scope: Scope,
    listable: bool,
    watchable: bool,
}

/// One line of discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: GroupKind,
    version: String,
    resource: Resource,
}

/// What discovery says, before it is sorted.
#[derive(Debug, Default)]
struct Found {
    /// In the server's order of preference within each group.
    entries: Vec<Entry>,
    broken: Vec<String>,
}

impl Connection {
    /// Asks what the API server serves.
    ///
    /// # Errors
    /// When discovery as a whole fails. Single groups that fail are named in the answer.
    pub async fn discover(&self) -> Result<Discovered, Error> {
        let mut found = Found::default();
        for root in ["/api", "/apis"] {
            let mut call = Call::get(
                root.to_owned(),
                format!("discover {root}"),
                root.to_owned(),
                self.timeout,
            );
            call.accept = AGGREGATED;
            let subject = call.subject.clone();
            let answer = self.call(call).await?;
            let answer: Value = serde_json::from_slice(&answer.bytes).map_err(|source| {
                Error::Unreadable { subject, write: false, source: source.into() }
            })?;
            if text(&answer, "kind") == "APIGroupDiscoveryList" {
                aggregated(&answer, &mut found);
            } else {
                self.group_by_group(&answer, &mut found).await?;
            }
        }
        found.entries.truncate(KINDS_MAX);
        let discovered = sorted(&found, &self.exclude);
        self.remember(found.entries);
        Ok(discovered)
    }

    /// Asks servers without aggregated discovery, or whose aggregated answer is not understood.
    async fn group_by_group(&self, roots: &Value, found: &mut Found) -> Result<(), Error> {
        let versions: Vec<_> = if text(roots, "kind") == "APIVersions" {
            let versions = list(roots, "versions").filter_map(Value::as_str);
            versions.map(|version| (String::new(), version.to_owned())).collect()
        } else {
            list(roots, "groups").flat_map(preferred_first).collect()
        };
        let answers = futures::stream::iter(versions)
            .map(|(group, version)| async move {
                let answer = self
                    .read(&base(&group, &version), &format!("kinds of {group}/{version}"))
                    .await;
                (group, version, answer)
            })
            .buffered(GROUPS_AT_ONCE);
        let mut answers = std::pin::pin!(answers);
        while let Some((group, version, answer)) = answers.next().await {
            match answer {
                Ok(answer) => found.entries.extend(plain(&group, &version, &answer)),
                Err(error) if error.is_outage() => return Err(error),
                Err(_) => found.broken.push(group),
            }
        }
        Ok(())
    }

    /// Every kind and version that the last discovery found.
    #[must_use]
    pub fn served(&self) -> Vec<(GroupKind, String)> {
        let resources = self.resources.read();
        resources.map(|known| known.by_version.keys().cloned().collect()).unwrap_or_default()
    }

    fn remember(&self, entries: Vec<Entry>) {
        let by_version = entries
            .into_iter()
            .map(|entry| ((entry.kind, entry.version), entry.resource))
            .collect();
        if let Ok(mut resources) = self.resources.write() {
            resources.by_version = by_version;
        }
    }

    /// Finds out how objects of a kind are addressed, asking the API server if it is not known.
    pub(super) async fn resolve(
        &self,
        kind: &GroupKind,
        version: &str,
        subject: &str,
    ) -> Result<Resource, Error> {
        let wanted = (kind.clone(), version.to_owned());
        let known = |resources: &Resources| resources.by_version.get(&wanted).cloned();
        if let Some(resource) = self.resources.read().ok().and_then(|known_now| known(&known_now)) {
            return Ok(resource);
        }
        let not_served = || Error::NotServed {
            subject: subject.to_owned(),
            kind: format!("{kind} in version {version}"),
        };
        let call = Call::get(
            base(&kind.group, version),
            subject.to_owned(),
            format!("{kind}"),
            self.timeout,
        );
        let answer = match self.call(call).await {
            Err(error) if matches!(error.class(), Class::NotFound | Class::NotServed) => {
                return Err(not_served());
            }
            other => other?,
        };
        let answer: Value = serde_json::from_slice(&answer.bytes).map_err(|source| {
            Error::Unreadable { subject: subject.to_owned(), write: false, source: source.into() }
        })?;
        let mut entries = plain(&kind.group, version, &answer);
        let entry = entries.find(|entry| entry.kind == *kind).ok_or_else(not_served)?;
        if let Ok(mut resources) = self.resources.write() {
            resources.by_version.insert(wanted, entry.resource.clone());
        }
        Ok(entry.resource)
    }

    /// Forgets how objects of a kind are addressed, after the API server denied it.
    pub(super) fn forget(&self, kind: &GroupKind, version: &str) {
        if let Ok(mut resources) = self.resources.write() {
            resources.by_version.remove(&(kind.clone(), version.to_owned()));
        }
    }
}

/// The path under which a group version is served.
pub(super) fn base(group: &str, version: &str) -> String {
    let group = encoded(group);
    let version = encoded(version);
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// The path of an object.
pub(super) fn object_path(key: &ObjectKey, version: &str, resource: &Resource) -> String {
    let base = base(key.group(), version);
    let (plural, name) = (&resource.plural, encoded(key.name()));
    match resource.scope {
        Scope::Namespaced => {
            format!("{base}/namespaces/{}/{plural}/{name}", encoded(key.namespace()))
        }
        Scope::Cluster => format!("{base}/{plural}/{name}"),
    }
}

/// A part of a path, with everything escaped that could end it or climb out of it.
///
/// Security: names come from Git; `..` and `/` must not lead to another object.
pub(super) fn encoded(part: &str) -> String {
    let mut path = String::with_capacity(part.len());
    for byte in part.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
        if plain || byte == b'.' && part != "." && part != ".." {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// The versions of a group in a plain group list, the preferred one first.
fn preferred_first(group: &Value) -> Vec<(String, String)> {
    let preferred = group.get("preferredVersion").map(|preferred| text(preferred, "version"));
    let mut versions: Vec<_> =
        list(group, "versions").map(|version| text(version, "version")).collect();
    versions.sort_by_key(|version| Some(*version) != preferred);
    versions
        .into_iter()
        .map(|version| (text(group, "name").to_owned(), version.to_owned()))
        .collect()
}

/// Reads an aggregated answer.
fn aggregated(answer: &Value, found: &mut Found) {
    for group in list(answer, "items") {
        let name = group.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let mut versions = list(group, "versions").peekable();
        if versions.peek().is_none() {
            found.broken.push(name.to_owned());
        }
        for version in versions {
            if text(version, "freshness") == "Stale" {
                found.broken.push(name.to_owned());
            }
            for resource in list(version, "resources") {
                let kind = resource.pointer("/responseKind/kind").and_then(Value::as_str);
                let scope = text(resource, "scope");
                let plural = text(resource, "resource");
                if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
                    found.entries.push(entry(
                        name,
                        text(version, "version"),
                        kind,
                        plural,
                        scope == "Namespaced",
                        resource,
                    ));
                }
            }
        }
    }
}

/// Reads a plain `APIResourceList`.
fn plain(group: &str, version: &str, answer: &Value) -> impl Iterator<Item = Entry> {
    list(answer, "resources").filter(|resource| !text(resource, "name").contains('/')).map(
        move |resource| {
            let namespaced = resource.get("namespaced") == Some(&Value::Bool(true));
            entry(
                group,
                version,
                text(resource, "kind"),
                text(resource, "name"),
                namespaced,
                resource,
            )
        },
    )
}

fn entry(
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
    namespaced: bool,
    resource: &Value,
) -> Entry {
    let can = |verb: &str| list(resource, "verbs").any(|able| able == verb);
    Entry {
        kind: GroupKind::new(group, kind),
        version: version.to_owned(),
        resource: Resource {
            plural: encoded(plural),
            scope: if namespaced { Scope::Namespaced } else { Scope::Cluster },
            listable: can("list"),
            watchable: can("list") && can("watch"),
        },
    }
}

/// Chooses the preferred version of each kind, and what is watched.
fn sorted(found: &Found, exclude: &[KindPattern]) -> Discovered {
    let mut kinds: BTreeMap<&GroupKind, ServedKind> = BTreeMap::new();
    for Entry { kind, version, resource } in &found.entries {
        if !resource.listable {
            continue;
        }
        // The first is the one that the server prefers.
        kinds.entry(kind).or_insert_with(|| ServedKind {
            kind: kind.clone(),
            version: version.clone(),
            plural: resource.plural.clone(),
            scope: resource.scope,
            watched: resource.watchable && !exclude.iter().any(|pattern| pattern.matches(kind)),
            watchable: resource.watchable,
        });
    }
    let mut broken_groups = found.broken.clone();
    broken_groups.sort();
    broken_groups.dedup();
    Discovered { kinds: kinds.into_values().collect(), broken_groups }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn discovered(answer: &Value) -> Discovered {
        let mut found = Found::default();
        aggregated(answer, &mut found);
        sorted(&found, &KindPattern::defaults())
    }

    fn resource(name: &str, kind: &str, verbs: &[&str]) -> Value {
        json!({"resource": name, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": verbs})
    }

    fn group(name: &str, versions: &[(&str, Value)]) -> Value {
        let versions: Vec<_> = versions
            .iter()
            .map(|(version, resources)| json!({"version": version, "resources": resources}))
            .collect();
        json!({"metadata": {"name": name}, "versions": versions})
    }

    #[test]
    fn the_preferred_version_of_each_kind_is_taken() {
        let all = ["list", "watch"];
        let answer = json!({"items": [group("autoscaling", &[
            ("v2", json!([resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", &all)])),
            ("v1", json!([resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", &all),
                          resource("olds", "Old", &["list"])])),
        ])]});
        let kinds: Vec<_> = discovered(&answer)
            .kinds
            .into_iter()
            .map(|served| (served.kind.kind, served.version, served.watched))
            .collect();
        assert_eq!(
            kinds,
            [
                ("HorizontalPodAutoscaler".to_owned(), "v2".to_owned(), true),
                ("Old".to_owned(), "v1".to_owned(), false)
            ]
        );
    }

    #[test]
    fn what_cannot_be_listed_is_left_out_and_noise_is_not_watched() {
        let answer = json!({"items": [group("", &[("v1", json!([
            resource("bindings", "Binding", &["create"]),
            resource("events", "Event", &["list", "watch"]),
            resource("configmaps", "ConfigMap", &["list", "watch"]),
            {"resource": "odd", "verbs": ["list"]},
        ]))])]});
        let kinds = discovered(&answer).kinds;
        let names: Vec<_> =
            kinds.iter().map(|served| (served.kind.kind.as_str(), served.watched)).collect();
        assert_eq!(names, [("ConfigMap", true), ("Event", false)]);
    }

    #[test]
    fn broken_groups_are_named_once_and_cost_nothing_else() {
        let mut stale = group("metrics.example", &[("v1", json!([])), ("v2", json!([]))]);
        stale["versions"][0]["freshness"] = json!("Stale");
        stale["versions"][1]["freshness"] = json!("Stale");
        let whole =
            group("apps", &[("v1", json!([resource("deployments", "Deployment", &["list"])]))]);
        let answer = json!({"items": [stale, group("empty.example", &[]), whole, "nonsense"]});
        let discovered = discovered(&answer);
        assert_eq!(discovered.broken_groups, ["", "empty.example", "metrics.example"]);
        assert_eq!(discovered.kinds.len(), 1);
    }

    #[test]
    fn plain_lists_are_read_without_subresources() {
        let answer = json!({"resources": [
            {"name": "pods", "kind": "Pod", "namespaced": true, "verbs": ["list", "watch"]},
            {"name": "pods/log", "kind": "Pod", "namespaced": true, "verbs": ["get"]},
            {"name": "nodes", "kind": "Node", "namespaced": false, "verbs": ["list"]},
        ]});
        let scopes: Vec<_> = plain("", "v1", &answer).map(|entry| entry.resource.scope).collect();
        assert_eq!(scopes, [Scope::Namespaced, Scope::Cluster]);
    }

    #[test]
    fn the_preferred_version_comes_first_in_plain_group_lists() {
        let group = json!({"name": "g", "preferredVersion": {"version": "v2"},
            "versions": [{"version": "v1"}, {"version": "v2"}, {"version": "v3"}]});
        let versions: Vec<_> =
            preferred_first(&group).into_iter().map(|(_, version)| version).collect();
        assert_eq!(versions, ["v2", "v1", "v3"]);
    }

    #[test]
    fn patterns_match_kind_and_group() {
        for (pattern, group, kind, expected) in [
            ("Event", "", "Event", true),
            ("Event", "events.k8s.io", "Event", false),
            ("*.metrics.k8s.io", "metrics.k8s.io", "PodMetrics", true),
            ("*.metrics.k8s.io", "custom.metrics.k8s.io", "X", false),
            ("*Review.*", "authorization.k8s.io", "SelfSubjectAccessReview", true),
            ("*Review.*", "", "Review", true),
            ("*Review.*", "", "Reviewer", false),
            ("A*B*C", "", "AxBBxC", true),
            ("A*B*C", "", "AxC", false),
        ] {
            let pattern: KindPattern = pattern.parse().unwrap();
            assert_eq!(
                pattern.matches(&GroupKind::new(group, kind)),
                expected,
                "{pattern} {kind}.{group}"
            );
        }
        for text in ["", ".group", "a b", "é"] {
            assert!(text.parse::<KindPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_cannot_climb_out_of_their_path() {
        let resource = Resource {
            plural: "configmaps".into(),
            scope: Scope::Namespaced,
            listable: true,
            watchable: true,
        };
        let path = |namespace: &str, name: &str| {
            object_path(&ObjectKey::new("", "ConfigMap", namespace, name), "v1", &resource)
        };
        assert_eq!(path("prod", "web.conf"), "/api/v1/namespaces/prod/configmaps/web.conf");
        assert_eq!(path("..", "a/b?c"), "/api/v1/namespaces/%2E%2E/configmaps/a%2Fb%3Fc");
        let cluster = Resource { scope: Scope::Cluster, ..resource };
        let key = ObjectKey::new("x.io", "Shop", "", "system:a");
        assert_eq!(object_path(&key, "v1", &cluster), "/apis/x.io/v1/configmaps/system%3Aa");
    }
}
