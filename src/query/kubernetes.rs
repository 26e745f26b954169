//! The past as a Kubernetes API, read-only: discovery, GET, LIST and Table of what was recorded,
//! as of one instant.
//!
//! Everything here is a function of a world as it was and of the ledger's blobs. A `status` is that
//! of the last observation, so that it may be older than the instant; whole kinds that were not
//! watched are not offered. Writes are refused in the words that Kubernetes clients understand.
//!
//! Security: values of Secrets are not in what is recorded; the digests that stand for them are
//! left out too, so that only the keys are seen.

mod discovery;
mod review;
mod selector;
mod status;
mod table;
mod target;

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use self::discovery::Discovery;
use self::selector::Selector;
use self::table::{Include, Row, table};
use self::target::{Objects, Target};
use super::book::Book;
use crate::cluster::{ManagerFields, Stored};
use crate::ledger::event::ServedKind;
use crate::model::{GroupKind, ObjectKey, Timestamp};
use crate::replay::{LiveObject, World};

pub use status::Refusal;

/// Bound: how many objects a list has.
const LIST_MAX: usize = 50_000;

/// A request of a Kubernetes client, without the prefix that names the instant.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path, beginning with `/`.
    pub path: &'a str,
    /// The parameters, decoded.
    pub query: &'a [(String, String)],
    /// What the client accepts.
    pub accept: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A document, and what the client's user should be warned of.
    Document(Value),
    /// A watch: nothing happens any more at an instant, so it stays silent for so many seconds,
    /// or until the client goes.
    Silence(Option<u64>),
}

/// The cluster as it was.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// What was known.
    pub world: &'a World,
    /// Where the objects are.
    pub book: &'a dyn Book,
    /// The instant.
    pub at: Timestamp,
}

impl Request<'_> {
    fn parameter(&self, name: &str) -> &str {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    fn asks_for(&self, name: &str) -> bool {
        matches!(self.parameter(name), "true" | "1")
    }

    /// Whether a Table is the first thing that the client accepts and that is offered.
    fn wants_table(&self) -> bool {
        let mut accepted = self.accept.split(',').map(str::trim);
        let offered = accepted.find(|media| {
            let plain = *media == "application/json" || media.starts_with("*/*");
            plain || (is_json(media) && media.contains("as=Table"))
        });
        offered.is_some_and(|media| media.contains("as=Table"))
    }

    fn include(&self) -> Result<Include, Refusal> {
        match self.parameter("includeObject") {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::None),
            "Object" => Ok(Include::Object),
            other => Err(Refusal::bad(format!("includeObject `{other}` is not known"))),
        }
    }
}

fn is_json(media: &str) -> bool {
    media.starts_with("application/json;") && media.contains("g=meta.k8s.io")
}

impl Past<'_> {
    /// Answers a request.
    ///
    /// # Errors
    /// A refusal, as Kubernetes words it.
    pub fn answer(&self, request: &Request<'_>) -> Result<Answer, Refusal> {
        let target = Target::parse(request.path);
        if request.method == "POST" {
            return Self::review(&target, request).map(Answer::Document);
        }
        if request.method != "GET" {
            return Err(Refusal::read_only(request.method));
        }
        let discovery = Discovery::new(&self.world.cluster.kinds);
        let absent = || Refusal::unknown(format!("there is nothing at {}", request.path));
        let document = match target {
            Target::Version => self.version(),
            Target::Healthy => json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
            Target::CoreVersions => discovery.core_versions(),
            Target::Groups => discovery.groups(),
            Target::Group(name) => discovery.group(&name).ok_or_else(absent)?,
            Target::Resources(of) => discovery.resources(&of).ok_or_else(absent)?,
            Target::Objects(objects) => return self.objects(&discovery, &objects, request),
            Target::Nothing => return Err(absent()),
        };
        Ok(Answer::Document(document))
    }

    /// The kind whose objects a path names.
    #[must_use]
    pub fn kind_at(&self, path: &str) -> Option<GroupKind> {
        let Target::Objects(objects) = Target::parse(path) else { return None };
        let discovery = Discovery::new(&self.world.cluster.kinds);
        discovery.find(&objects.of, &objects.plural).map(|served| served.kind.clone())
    }

    fn version(&self) -> Value {
        let version = self.world.cluster.version.as_str();
        let mut parts = version.trim_start_matches('v').split('.');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (major, minor) = (part(), part());
        json!({"major": major, "minor": minor, "gitVersion": version,
            "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "",
            "compiler": "greffier", "platform": ""})
    }

    /// The only thing that may be posted.
    fn review(target: &Target, request: &Request<'_>) -> Result<Value, Refusal> {
        let reviews = matches!(target, Target::Objects(objects)
            if objects.of.group == "authorization.k8s.io"
                && objects.plural == "selfsubjectaccessreviews");
        if !reviews {
            return Err(Refusal::read_only(request.method));
        }
        review::review(request.body)
    }

    fn objects(
        &self,
        discovery: &Discovery<'_>,
        objects: &Objects,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let plural = &objects.plural;
        let Some(served) = discovery.find(&objects.of, plural) else {
            let message = if discovery.is_excluded(&objects.of, plural) {
                format!("{plural} were not recorded: greffier does not watch them")
            } else {
                format!("the cluster is not known to have served {}", request.path)
            };
            return Err(Refusal::unknown(message));
        };
        if !objects.subresource.is_empty() {
            let subresource = &objects.subresource;
            return Err(Refusal::unknown(format!("{plural}/{subresource} is not recorded")));
        }
        if request.asks_for("watch") {
            return watch(request);
        }
        if objects.name.is_empty() {
            self.list(served, objects, request).map(Answer::Document)
        } else {
            self.get(served, objects, request).map(Answer::Document)
        }
    }

    fn get(
        &self,
        served: &ServedKind,
        objects: &Objects,
        request: &Request<'_>,
    ) -> Result<Value, Refusal> {
        let kind = &served.kind;
        let key = ObjectKey::new(&kind.group, &kind.kind, &objects.namespace, &objects.name);
        let Some(live) = self.world.live.get(&key) else {
            let plural = &served.plural;
            let message = format!("{plural} \"{}\" not found at {}", key.name(), self.at);
            return Err(Refusal::absent(&kind.group, plural, key.name(), message));
        };
        let row = self.row(&key, live)?;
        if !request.wants_table() {
            return Ok(row.object);
        }
        let metadata = json!({"resourceVersion": self.world.seq.to_string()});
        Ok(table(vec![row], self.at, request.include()?, metadata))
    }

    fn list(
        &self,
        served: &ServedKind,
        objects: &Objects,
        request: &Request<'_>,
    ) -> Result<Value, Refusal> {
        let selector =
            Selector::parse(request.parameter("labelSelector"), request.parameter("fieldSelector"))
                .map_err(Refusal::bad)?;
        let limit = limit(request.parameter("limit"))?;
        let kind = &served.kind;
        let first = ObjectKey::new(&kind.group, &kind.kind, &objects.namespace, "");
        let after = position(request.parameter("continue"))?;
        let (mut rows, mut more) = (Vec::new(), None);
        for (key, live) in self.world.live.range(first..) {
            let beyond = !objects.namespace.is_empty() && key.namespace() != objects.namespace;
            if key.group() != kind.group || key.kind() != kind.kind || beyond {
                break;
            }
            let place = (key.namespace(), key.name());
            if after.as_ref().is_some_and(|(ns, name)| place <= (ns.as_str(), name.as_str())) {
                continue;
            }
            if !selector.admits(key.namespace(), key.name()) {
                continue;
            }
            let row = self.row(key, live)?;
            if !selector.selects(&row.object) {
                continue;
            }
            if rows.len() == limit {
                more = rows.last().map(|row: &Row| cursor(&row.key));
                break;
            }
            rows.push(row);
        }
        let metadata = json!({"resourceVersion": self.world.seq.to_string(),
            "continue": more.unwrap_or_default()});
        if request.wants_table() {
            return Ok(table(rows, self.at, request.include()?, metadata));
        }
        let version = match kind.group.as_str() {
            "" => served.version.clone(),
            group => format!("{group}/{}", served.version),
        };
        let items: Vec<Value> = rows.into_iter().map(|row| row.object).collect();
        Ok(json!({"kind": format!("{}List", kind.kind), "apiVersion": version,
            "metadata": metadata, "items": items}))
    }

    fn row(&self, key: &ObjectKey, live: &LiveObject) -> Result<Row, Refusal> {
        let failed = |error: String| Refusal::failed(format!("{key} cannot be read: {error}"));
        let bytes = self.book.blob(live.object).map_err(|error| failed(error.to_string()))?;
        let stored = Stored::from_stored(&bytes).map_err(|error| failed(error.to_string()))?;
        let status = live.status.map(|status| self.book.blob(status)).transpose();
        let status = status.map_err(|error| failed(error.to_string()))?;
        let status = status.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        let status: Option<Value> = status.map_err(|error| failed(error.to_string()))?;
        let health = live.health.as_str();
        let message = live.health_message.clone();
        let mut object = restored(stored, key, live);
        if let (Some(fields), Some(status)) = (object.as_object_mut(), status.or(told_of(key))) {
            fields.insert("status".into(), status);
        }
        Ok(Row { key: key.clone(), object, health, message })
    }
}

/// The status of an object of which none is recorded: an API server never shows a Pod without
/// one, and k9s ends when it meets such a Pod.
fn told_of(key: &ObjectKey) -> Option<Value> {
    (key.group().is_empty() && key.kind() == "Pod").then(|| json!({}))
}

/// The object with what was kept beside it put back, and without the digests of a Secret.
fn restored(stored: Stored, key: &ObjectKey, live: &LiveObject) -> Value {
    let Stored { mut object, fields } = stored;
    if key.is_secret() {
        for field in ["data", "stringData"] {
            let values = object.get_mut(field).and_then(Value::as_object_mut);
            for (_, value) in values.into_iter().flatten() {
                *value = json!("");
            }
        }
        let annotations = object.pointer_mut("/metadata/annotations");
        for (_, value) in annotations.and_then(Value::as_object_mut).into_iter().flatten() {
            if value.as_str().is_some_and(|text| text.starts_with("hmac:")) {
                *value = json!("");
            }
        }
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("uid".into(), json!(live.uid));
        metadata.insert("resourceVersion".into(), json!(live.resource_version));
        let managed: Vec<Value> = fields.into_iter().map(managed_fields).collect();
        if !managed.is_empty() {
            metadata.insert("managedFields".into(), Value::Array(managed));
        }
    }
    object
}

fn managed_fields(entry: ManagerFields) -> Value {
    let ManagerFields { stamp, api_version, fields_v1 } = entry;
    let mut fields = Map::new();
    let texts = [
        ("manager", stamp.manager),
        ("operation", stamp.operation),
        ("apiVersion", api_version),
        ("time", stamp.time.map(rfc3339_seconds).unwrap_or_default()),
        ("subresource", stamp.subresource),
    ];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        fields.insert(name.to_owned(), Value::String(text));
    }
    fields.insert("fieldsType".into(), json!("FieldsV1"));
    fields.insert("fieldsV1".into(), fields_v1);
    Value::Object(fields)
}

/// Kubernetes' `Time` has whole seconds.
fn rfc3339_seconds(time: Timestamp) -> String {
    let seconds = time.0.div_euclid(1_000_000_000);
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

fn watch(request: &Request<'_>) -> Result<Answer, Refusal> {
    if request.asks_for("sendInitialEvents") {
        // Clients then list first and watch from there.
        return Err(Refusal::invalid("sendInitialEvents is not offered for the past"));
    }
    let seconds = match request.parameter("timeoutSeconds") {
        "" => None,
        text => Some(text.parse().map_err(|_| Refusal::bad(format!("timeoutSeconds `{text}`")))?),
    };
    Ok(Answer::Silence(seconds))
}

/// How many objects a list may have.
fn limit(text: &str) -> Result<usize, Refusal> {
    match text {
        "" | "0" => Ok(LIST_MAX),
        text => match text.parse::<usize>() {
            Ok(limit) => Ok(limit.min(LIST_MAX)),
            Err(_) => Err(Refusal::bad(format!("limit `{text}`"))),
        },
    }
}

/// Where the next page goes on: after this object.
fn cursor(key: &ObjectKey) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}/{}", key.namespace(), key.name()))
}

fn position(token: &str) -> Result<Option<(String, String)>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.and_then(|text| {
        let (namespace, name) = text.split_once('/')?;
        Some((namespace.to_owned(), name.to_owned()))
    });
    place.map(Some).ok_or_else(|| Refusal::bad("the continue token is not one of this server"))
}
