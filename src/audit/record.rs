//! What one audit record (`audit.k8s.io/v1` Event) says, as far as it says who wrote what.
//!
//! Nothing of a record is believed that its client could have made up: of the reference to the
//! object only the name, and of resource versions only the one in the response, for the
//! reference has the one that the request asked for.
//!
//! Security: records hold whole objects. No value of a body leaves this module, and no error
//! quotes a record.

use serde_json::Value;

use super::kinds::Kinds;
use super::reach;
use crate::ledger::event::{AuditLevel, AuditReach, AuditReceivedV1, AuditUser};
use crate::model::{Digest, GroupKind, ObjectKey, Scope, Timestamp};

/// Bounds: how long what is kept of a record may be, in bytes.
const ID_BYTES_MAX: usize = 128;
const CLAIM_BYTES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 512;
/// Bound: how many groups of a user are kept.
const GROUPS_MAX: usize = 32;
/// Bound: how many webhooks are named.
const WEBHOOKS_MAX: usize = 16;
/// Bound: how many objects of one `deletecollection` are told apart.
const COLLECTION_MAX: usize = 1_000;

/// Subresources that change no object that is observed.
const WITHOUT_OBJECTS: [&str; 6] = ["attach", "exec", "log", "portforward", "proxy", "token"];
/// Groups whose resources are questions to the API server.
const QUESTIONS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// Why a record cannot be used. Says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not JSON.
    #[error("not JSON (at byte {0})")]
    NotJson(usize),
    /// It is JSON, but no audit event.
    #[error("not an audit.k8s.io/v1 Event")]
    NoEvent,
    /// A field that every audit event has is missing, or is not what it should be.
    #[error("its `{0}` is missing or not understood")]
    Field(&'static str),
    /// The line is too long to be read.
    #[error("a line of more than {0} bytes")]
    TooLong(usize),
    /// The file ended within the line.
    #[error("a line without an end")]
    NoEnd,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When the request had been answered; of an earlier stage, when that was reached.
    pub at: Timestamp,
    /// What it is about.
    pub about: About,
}

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Nothing that changes an object which is observed.
    Nothing,
    /// A write to the `status` of an object and nothing else, as far as it shows.
    Status,
    /// A write to something whose kind is not known.
    UnknownKind,
    /// A write: one event, or one for each object of a collection that was deleted.
    Write(Vec<AuditReceivedV1>),
}

/// Reads a line of the API server's audit log.
///
/// # Errors
/// Why the line is no record.
pub fn read(line: &[u8], kinds: &Kinds) -> Result<Record, Malformed> {
    let event: Value =
        serde_json::from_slice(line).map_err(|error| Malformed::NotJson(error.column()))?;
    if text(&event, "kind") != "Event" || text(&event, "apiVersion") != "audit.k8s.io/v1" {
        return Err(Malformed::NoEvent);
    }
    understand(&event, kinds)
}

/// Reads an event, alone or out of an `EventList`, whose items need not say what they are.
///
/// # Errors
/// Why it is no record.
pub fn understand(event: &Value, kinds: &Kinds) -> Result<Record, Malformed> {
    if !event.is_object() {
        return Err(Malformed::NoEvent);
    }
    let time = |field: &'static str| {
        Timestamp::parse_rfc3339(text(event, field)).ok_or(Malformed::Field(field))
    };
    let at = time("stageTimestamp")?;
    let received = time("requestReceivedTimestamp")?;
    let (stage, verb) = (required(event, "stage")?, required(event, "verb")?);
    let audit_id = required(event, "auditID")?;
    let level = match text(event, "level") {
        "Metadata" => AuditLevel::Metadata,
        "Request" => AuditLevel::Request,
        "RequestResponse" => AuditLevel::RequestResponse,
        _ => return Err(Malformed::Field("level")),
    };
    let query = Query::of(text(event, "requestURI"));
    let nothing = Ok(Record { at, about: About::Nothing });
    let code = event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
    let writes = ["create", "update", "patch", "delete", "deletecollection"].contains(&verb);
    if stage != "ResponseComplete" || !writes || !(200..300).contains(&code) {
        return nothing;
    }
    let reference = event.get("objectRef").filter(|reference| reference.is_object());
    let Some(reference) = reference else { return nothing };
    let (group, subresource) = (text(reference, "apiGroup"), text(reference, "subresource"));
    let bindings = group.is_empty() && text(reference, "resource") == "bindings";
    let aside = bindings || WITHOUT_OBJECTS.contains(&subresource) || QUESTIONS.contains(&group);
    if aside || is_dry_run(event, verb, level, &query) {
        return nothing;
    }
    let write = Write { event, verb, subresource, reference, query: &query };
    let Some(key) = write.key(kinds) else {
        return Ok(Record { at, about: About::UnknownKind });
    };
    if !kinds.is_kept(&key) {
        return nothing;
    }
    if subresource == "status" && !write.reaches_beyond_status() {
        return Ok(Record { at, about: About::Status });
    }
    let user = user(event.get("user"), true).ok_or(Malformed::Field("user"))?;
    let (uid, resource_version) = write.identity(&key, code);
    let received = AuditReceivedV1 {
        audit_id: cut(audit_id, ID_BYTES_MAX),
        level,
        verb: verb.to_owned(),
        reach: write.reach(code),
        key,
        subresource: identity(subresource),
        user: Box::new(user),
        impersonated: self::user(event.get("impersonatedUser"), false).map(Box::new),
        source_ip: last_address(event),
        user_agent: cut(text(event, "userAgent"), CLAIM_BYTES_MAX),
        field_manager: cut(query.value("fieldManager"), CLAIM_BYTES_MAX),
        code: u16::try_from(code).unwrap_or_default(),
        received,
        completed: at,
        uid,
        resource_version,
        webhooks: webhooks(event),
        propagation: write.propagation(),
    };
    Ok(Record { at, about: About::Write(write.each(received)) })
}

/// A request that wrote.
struct Write<'a> {
    event: &'a Value,
    verb: &'a str,
    subresource: &'a str,
    reference: &'a Value,
    query: &'a Query,
}

impl Write<'_> {
    fn request(&self) -> &Value {
        self.event.get("requestObject").unwrap_or(&Value::Null)
    }

    fn response(&self) -> &Value {
        self.event.get("responseObject").unwrap_or(&Value::Null)
    }

    fn deletes(&self) -> bool {
        self.verb.starts_with("delete")
    }

    /// The object; `None` where its kind is not known.
    fn key(&self, kinds: &Kinds) -> Option<ObjectKey> {
        let (group, plural) = (text(self.reference, "apiGroup"), text(self.reference, "resource"));
        let namespace = text(self.reference, "namespace");
        let (kind, scope) = match kinds.of_resource(group, plural) {
            Some((kind, scope)) => (kind.clone(), scope),
            None => (self.kind_of_body(group)?, scope_of(namespace)),
        };
        let namespace = match scope {
            Scope::Namespaced => namespace,
            // The reference to a Namespace says that it is in itself.
            Scope::Cluster => "",
        };
        let name = match text(self.reference, "name") {
            "" if self.verb == "create" && !is_status(self.response()) => {
                self.response().pointer("/metadata/name").and_then(Value::as_str).unwrap_or("")
            }
            name => name,
        };
        Some(ObjectKey::new(kind.group, identity(&kind.kind), identity(namespace), identity(name)))
    }

    /// The kind that a body shows, of a resource that is not known (yet). The API server refuses
    /// an object of one kind where another is served.
    fn kind_of_body(&self, group: &str) -> Option<GroupKind> {
        if !self.subresource.is_empty() && self.subresource != "status" {
            return None;
        }
        let bodies = [self.response(), self.request()];
        let mut kinds = bodies.into_iter().filter_map(|body| {
            let version = text(body, "apiVersion");
            let of = version.split_once('/').map_or("", |(group, _)| group);
            let kind = text(body, "kind");
            let is_object = body.pointer("/metadata/name").is_some();
            (is_object && of == group && !kind.is_empty() && kind != "Status").then_some(kind)
        });
        kinds.next().map(|kind| GroupKind::new(group, kind))
    }

    /// The uid and the resulting resource version, where the record proves them.
    fn identity(&self, key: &ObjectKey, code: u64) -> (String, String) {
        let response = self.response();
        let shown = |path: &str| {
            identity(response.pointer(path).and_then(Value::as_str).unwrap_or_default())
        };
        let shows_object =
            ["", "status", "scale", "ephemeralcontainers", "resize", "finalize", "approval"]
                .contains(&self.subresource);
        if is_status(response) {
            let named = shown("/details/name") == key.name();
            let uid = if self.deletes() && named { shown("/details/uid") } else { String::new() };
            return (uid, String::new());
        }
        if shows_object && !key.name().is_empty() && shown("/metadata/name") == key.name() {
            // What was removed at once is shown as somebody else had left it.
            let marked = response.pointer("/metadata/deletionTimestamp").is_some();
            let resulting = !self.deletes() || marked;
            let version = resulting.then(|| shown("/metadata/resourceVersion"));
            return (shown("/metadata/uid"), version.unwrap_or_default());
        }
        // An update and a delete that name a uid are carried out on no other object. The uid in
        // the body of a creation is ignored by the API server.
        let asked = match self.verb {
            "update" if code == 200 && self.subresource.is_empty() => text(self.reference, "uid"),
            "delete" => {
                let uid = self.request().pointer("/preconditions/uid").and_then(Value::as_str);
                uid.unwrap_or_default()
            }
            _ => "",
        };
        (identity(asked), String::new())
    }

    fn reach(&self, code: u64) -> AuditReach {
        let fields = |path: &str| AuditReach::Fields(vec![path.to_owned()]);
        match (self.verb, self.subresource) {
            // What else a Binding brings along goes to the Pod as well.
            ("create", "binding") => AuditReach::Fields(
                [".spec.nodeName", ".metadata.annotations", ".metadata.labels"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            ("update" | "patch", "scale") => fields(".spec.replicas"),
            ("update" | "patch", "ephemeralcontainers") => fields(".spec.ephemeralContainers"),
            // Created by an apply.
            ("patch", _) if code == 201 => AuditReach::Whole,
            ("patch", "" | "status") => reach::of_patch(self.request()),
            ("patch", _) => AuditReach::Unknown,
            _ => AuditReach::Whole,
        }
    }

    /// Whether a patch of the status brings something else along: labels and annotations of some
    /// kinds can be set that way.
    fn reaches_beyond_status(&self) -> bool {
        let (AuditReach::Fields(paths) | AuditReach::Applied(paths)) = self.reach(200) else {
            return false;
        };
        let idle = ["name", "namespace", "uid", "resourceVersion", "managedFields"];
        let idle = idle.map(|field| format!(".metadata.{field}"));
        let is_status = |path: &str| {
            path.strip_prefix(".status")
                .is_some_and(|rest| rest.is_empty() || !rest.starts_with(is_plain))
        };
        paths.iter().any(|path| !is_status(path) && !idle.contains(path))
    }

    fn propagation(&self) -> String {
        if !self.deletes() {
            return String::new();
        }
        let asked = text(self.request(), "propagationPolicy");
        let by_query = self.request().is_null();
        let asked = if by_query { self.query.value("propagationPolicy") } else { asked };
        let known = ["Background", "Foreground", "Orphan"].contains(&asked);
        if known { asked.to_owned() } else { String::new() }
    }

    /// One event for each object that the answer to a `deletecollection` names.
    fn each(&self, event: AuditReceivedV1) -> Vec<AuditReceivedV1> {
        let items = self.response().get("items").and_then(Value::as_array);
        let Some(items) = items.filter(|_| self.verb == "deletecollection") else {
            return vec![event];
        };
        let named = items.iter().take(COLLECTION_MAX).filter_map(|item| {
            let shown = |field: &str| {
                let field = item.get("metadata").map_or("", |metadata| text(metadata, field));
                identity(field)
            };
            let key = event.key.named(&shown("name"));
            // They are shown as they were before, as somebody else had left them.
            let (uid, resource_version) = (shown("uid"), String::new());
            let named = !key.name().is_empty();
            named.then(|| AuditReceivedV1 { key, uid, resource_version, ..event.clone() })
        });
        let named: Vec<_> = named.collect();
        // More than are told apart: then it may be any of them.
        if items.len() > COLLECTION_MAX || named.len() < items.len() { vec![event] } else { named }
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-".contains(character)
}

fn is_status(body: &Value) -> bool {
    text(body, "kind") == "Status" && text(body, "apiVersion") == "v1"
}

/// Whether nothing was carried out. A deletion with a body takes all its options from there and
/// none from the URL (apiserver, handlers/delete.go): where the body is not in the record, it is
/// not known.
fn is_dry_run(event: &Value, verb: &str, level: AuditLevel, query: &Query) -> bool {
    let by_query = query.has("dryRun", "All");
    if !verb.starts_with("delete") {
        return by_query;
    }
    let truncated = event.pointer("/annotations/audit.k8s.io~1truncated").is_some();
    match event.get("requestObject").filter(|body| !body.is_null()) {
        Some(body) => {
            let asked = body.get("dryRun").and_then(Value::as_array);
            asked.is_some_and(|stages| stages.iter().any(|stage| stage == "All"))
        }
        None => by_query && level != AuditLevel::Metadata && !truncated,
    }
}

/// What a resource that is not known is taken to be.
fn scope_of(namespace: &str) -> Scope {
    if namespace.is_empty() { Scope::Cluster } else { Scope::Namespaced }
}

/// A user. What is particular to a credential is taken of an authenticated one only: who
/// impersonates may say anything.
fn user(value: Option<&Value>, authenticated: bool) -> Option<AuditUser> {
    let value = value?;
    let name = text(value, "username");
    if name.is_empty() {
        return None;
    }
    let extra = |field: &str| {
        let values = value.get("extra").and_then(|extra| extra.get(field));
        let first = values.and_then(|values| values.get(0)).and_then(Value::as_str);
        first.filter(|_| authenticated).unwrap_or_default()
    };
    let account = name.strip_prefix("system:serviceaccount:");
    let namespace = account.and_then(|account| account.split_once(':')).map(|(ns, _)| ns);
    let pod = extra("authentication.kubernetes.io/pod-name");
    let groups = value.get("groups").and_then(Value::as_array).into_iter().flatten();
    Some(AuditUser {
        name: identity(name),
        uid: identity(text(value, "uid")),
        groups: groups.filter_map(Value::as_str).take(GROUPS_MAX).map(identity).collect(),
        credential: identity(extra("authentication.kubernetes.io/credential-id")),
        pod: match namespace {
            Some(namespace) if !pod.is_empty() => identity(&format!("{namespace}/{pod}")),
            _ => String::new(),
        },
    })
}

/// The address of the last hop: all before it are what the client says.
fn last_address(event: &Value) -> String {
    let addresses = event.get("sourceIPs").and_then(Value::as_array);
    let last = addresses.and_then(|addresses| addresses.last()).and_then(Value::as_str);
    cut(last.unwrap_or_default(), ID_BYTES_MAX)
}

/// Mutating webhooks that changed the request.
fn webhooks(event: &Value) -> Vec<String> {
    let annotations = event.get("annotations").and_then(Value::as_object);
    let mut found = Vec::new();
    for (name, value) in annotations.into_iter().flatten() {
        if !name.starts_with("mutation.webhook.admission.k8s.io/round_") {
            continue;
        }
        let told = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let Some(told) = told.filter(|told| told.get("mutated") == Some(&Value::Bool(true))) else {
            continue;
        };
        let webhook = format!("{}/{}", text(&told, "configuration"), text(&told, "webhook"));
        let webhook = cut(&webhook, NAME_BYTES_MAX);
        if found.len() < WEBHOOKS_MAX && !found.contains(&webhook) {
            found.push(webhook);
        }
    }
    found
}

/// What stands behind the `?` of a URI.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &str) -> Self {
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).take(64).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Self(pairs.collect())
    }

    fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|(own, is)| own == name && is == value)
    }
}

/// Text of a query, without its escapes.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        match escaped.and_then(|digits| hex::decode(digits).ok()) {
            Some(escaped) => {
                plain.extend(escaped);
                at += 3;
            }
            None => {
                plain.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn required<'a>(event: &'a Value, field: &'static str) -> Result<&'a str, Malformed> {
    match text(event, field) {
        "" => Err(Malformed::Field(field)),
        text => Ok(text),
    }
}

/// The beginning of a text that tells nothing by its end.
fn cut(text: &str, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

/// A text that tells one from another: one that is too long keeps a digest, so that two of them
/// stay two.
fn identity(text: &str) -> String {
    if text.len() <= NAME_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}…{}", cut(text, NAME_BYTES_MAX - 80), Digest::of(text.as_bytes()))
}

#[cfg(test)]
mod tests;
