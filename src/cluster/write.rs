//! Single writes and reads of objects: server-side apply, replace, takeover, delete, get.
//!
//! One call is one request and is never retried here: whoever calls has recorded an intent and
//! must learn the fate of exactly that request.

use std::io;

use http::Method;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};
use serde_json::{Value, json};

use super::connection::Connection;
use super::discover::object_path;
use super::normalize::FIELD_MANAGER;
use super::request::{APPLY, Answer, Call, Class, Error};
use super::transfer::{self, Transfer};
use crate::model::{BESIDE_MANAGER, ObjectKey};

/// The media type of a JSON patch (RFC 6902).
const JSON_PATCH: &str = "application/json-patch+json";
const JSON: &str = "application/json";

/// A server-side apply.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplyRequest {
    /// The object.
    pub key: ObjectKey,
    /// The version of its group.
    pub version: String,
    /// The manifest: exactly the fields that greffier wants to own.
    pub manifest: Value,
    /// The `Audit-ID`: `<ledger>-<seq>-<index>` of the intent.
    pub audit_id: String,
    /// Whether fields are taken from managers that have set them otherwise.
    pub force: bool,
    /// Whether the API server refuses what it does not know.
    pub validate: bool,
    /// The resource version the object is known in, to tell whether the apply changed it.
    pub known: Option<String>,
    /// The uid that the object must have if it is known: an update is no creation elsewhere.
    pub uid: Option<String>,
}

/// A replacement of a whole object, or its creation.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplaceRequest {
    /// The object.
    pub key: ObjectKey,
    /// The version of its group.
    pub version: String,
    /// The manifest: what is not in it is taken away.
    pub manifest: Value,
    /// The resource version that the object must have; `None` = it must not be there.
    pub resource_version: Option<String>,
    /// Whether the API server refuses what it does not know.
    pub validate: bool,
    /// The `Audit-ID`.
    pub audit_id: String,
}

/// A takeover of field ownership, bound to the very object that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferRequest {
    /// The object.
    pub key: ObjectKey,
    /// The version of its group.
    pub version: String,
    /// Who owns what afterwards.
    pub transfer: Transfer,
    /// The resource version that the object must have.
    pub resource_version: String,
    /// The `Audit-ID`.
    pub audit_id: String,
}

/// What an apply returned.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedObject {
    /// The object as the API server returned it.
    pub raw: Value,
    /// Whether it was created.
    pub created: bool,
    /// Whether it changed; `None` where the resource version before is not known.
    pub changed: Option<bool>,
}

/// What becomes of the objects that a deleted one owns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted first.
    #[default]
    Foreground,
    /// They are deleted afterwards.
    Background,
    /// They stay.
    Orphan,
}

impl Propagation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Foreground => "Foreground",
            Self::Background => "Background",
            Self::Orphan => "Orphan",
        }
    }
}

/// A delete, bound to the very object that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// The object.
    pub key: ObjectKey,
    /// The version of its group.
    pub version: String,
    /// The uid that it must have.
    pub uid: String,
    /// The resource version that it must have; empty = any.
    pub resource_version: String,
    /// What becomes of the objects it owns.
    pub propagation: Propagation,
    /// The `Audit-ID`.
    pub audit_id: String,
}

/// How a delete ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteResult {
    /// It was deleted, or its deletion was begun.
    Deleted,
    /// There was nothing to delete.
    AlreadyGone,
}

impl Connection {
    /// Applies a manifest.
    ///
    /// # Errors
    /// See [`Error::class`]. [`Class::Unknown`] means that it may have been done.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<AppliedObject, Error> {
        self.apply_then(request, async {}).await
    }

    /// Applies a manifest, and waits for `answered` as soon as the answer is there, before reading
    /// it: whoever sends many requests can send the next one meanwhile.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub async fn apply_then(
        &self,
        request: &ApplyRequest,
        answered: impl Future<Output = ()>,
    ) -> Result<AppliedObject, Error> {
        let life = self.guard.life();
        let outcome = self.patch(request, FIELD_MANAGER, false).await;
        answered.await;
        let (answer, subject) = outcome?;
        let created = answer.status == http::StatusCode::CREATED;
        let raw = self.noted(life, &request.key, &request.version, parsed(&answer, subject)?);
        let now = raw.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let changed = match &request.known {
            _ if created => Some(true),
            Some(known) => Some(now != Some(known.as_str())),
            None => None,
        };
        Ok(AppliedObject { raw, created, changed })
    }

    /// Asks what an apply would make of the object, without doing it.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); the fate of a dry run does not matter.
    pub async fn dry_run(&self, request: &ApplyRequest) -> Result<Value, Error> {
        let (answer, subject) = self.patch(request, FIELD_MANAGER, true).await?;
        parsed(&answer, subject)
    }

    /// Applies what others had set of an object, by [`BESIDE_MANAGER`]: then it stays when greffier
    /// applies without it.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub async fn apply_beside(&self, request: &ApplyRequest) -> Result<Value, Error> {
        let life = self.guard.life();
        let (answer, subject) = self.patch(request, BESIDE_MANAGER, false).await?;
        Ok(self.noted(life, &request.key, &request.version, parsed(&answer, subject)?))
    }

    async fn patch(
        &self,
        request: &ApplyRequest,
        manager: &str,
        dry_run: bool,
    ) -> Result<(Answer, String), Error> {
        let subject = format!("{} {}", if dry_run { "dry-run" } else { "apply" }, request.key);
        let mut call = self.about(Method::PATCH, &request.key, &request.version, &subject).await?;
        call.path.push_str(&query(manager, request.validate));
        if request.force {
            call.path.push_str("&force=true");
        }
        if dry_run {
            call.path.push_str("&dryRun=All");
        }
        let mut manifest = request.manifest.clone();
        if let Some(uid) = &request.uid {
            manifest["metadata"]["uid"] = json!(uid);
        }
        call.body = Some((yaml_safe(&manifest), APPLY));
        call.audit_id = Some(request.audit_id.clone()).filter(|id| !id.is_empty());
        let answer = self.call_known(call, &request.key, &request.version).await?;
        Ok((answer, subject))
    }

    /// Replaces an object as a whole if it still is the one that was looked at, or creates it.
    /// With `dry_run` it only says what would become of it.
    ///
    /// # Errors
    /// As [`apply`](Self::apply). [`Class::Conflict`] means that the object has changed, is there
    /// already, or is gone.
    pub async fn replace(&self, request: &ReplaceRequest, dry_run: bool) -> Result<Value, Error> {
        let life = self.guard.life();
        let subject = format!("{} {}", if dry_run { "dry-run" } else { "replace" }, request.key);
        let method = if request.resource_version.is_some() { Method::PUT } else { Method::POST };
        let mut call = self.about(method.clone(), &request.key, &request.version, &subject).await?;
        if method == Method::POST {
            // Objects are created in their collection.
            let collection = call.path.rfind('/').unwrap_or(call.path.len());
            call.path.truncate(collection);
        }
        call.path.push_str(&query(FIELD_MANAGER, request.validate));
        if dry_run {
            call.path.push_str("&dryRun=All");
        }
        let mut manifest = request.manifest.clone();
        if let Some(resource_version) = &request.resource_version {
            manifest["metadata"]["resourceVersion"] = json!(resource_version);
        }
        call.body = Some((manifest.to_string().into_bytes(), JSON));
        call.audit_id = Some(request.audit_id.clone()).filter(|id| !id.is_empty());
        let answer = self.call_known(call, &request.key, &request.version).await?;
        Ok(self.noted(life, &request.key, &request.version, parsed(&answer, subject)?))
    }

    /// Makes the fields of others greffier's own, if the object still is the one looked at.
    ///
    /// # Errors
    /// As [`apply`](Self::apply). [`Class::Conflict`] means that the object has changed.
    pub async fn take_over(&self, request: &TransferRequest) -> Result<Value, Error> {
        let life = self.guard.life();
        let subject = format!("take over the fields of {}", request.key);
        let mut call = self.about(Method::PATCH, &request.key, &request.version, &subject).await?;
        call.path.push_str(&query(FIELD_MANAGER, true));
        let patch = transfer::patch(&request.transfer, &request.resource_version);
        call.body = Some((patch.to_string().into_bytes(), JSON_PATCH));
        call.audit_id = Some(request.audit_id.clone()).filter(|id| !id.is_empty());
        let answer = self.call_known(call, &request.key, &request.version).await?;
        Ok(self.noted(life, &request.key, &request.version, parsed(&answer, subject)?))
    }

    /// Notes the object that was answered.
    fn noted(&self, life: u64, key: &ObjectKey, version: &str, raw: Value) -> Value {
        let text = |pointer| raw.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let seen = (text("/metadata/uid"), text("/metadata/resourceVersion"));
        self.guard.seen(life, key, version, seen);
        raw
    }

    /// Deletes an object if it still is the one that was looked at.
    ///
    /// # Errors
    /// See [`Error::class`]. [`Class::Conflict`] means that it is another object, or has changed.
    pub async fn delete(&self, request: &DeleteRequest) -> Result<DeleteResult, Error> {
        let subject = format!("delete {}", request.key);
        let mut call = self.about(Method::DELETE, &request.key, &request.version, &subject).await?;
        let mut preconditions = json!({"uid": request.uid});
        if !request.resource_version.is_empty() {
            preconditions["resourceVersion"] = json!(request.resource_version);
        }
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": request.propagation.as_str(),
        });
        call.body = Some((options.to_string().into_bytes(), JSON));
        call.audit_id = Some(request.audit_id.clone()).filter(|id| !id.is_empty());
        match self.call_known(call, &request.key, &request.version).await {
            Ok(_) => Ok(DeleteResult::Deleted),
            Err(error) => match error.class() {
                Class::NotFound | Class::NamespaceMissing => Ok(DeleteResult::AlreadyGone),
                _ => Err(error),
            },
        }
    }

    /// Reads an object; `None` when it is not there.
    ///
    /// # Errors
    /// See [`Error::class`].
    pub async fn get(&self, key: &ObjectKey, version: &str) -> Result<Option<Value>, Error> {
        let subject = format!("read {key}");
        let call = self.about(Method::GET, key, version, &subject).await?;
        match self.call_known(call, key, version).await {
            Ok(answer) => parsed(&answer, subject).map(Some),
            Err(error) => match error.class() {
                Class::NotFound | Class::NamespaceMissing => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// A request about one object.
    async fn about(
        &self,
        method: Method,
        key: &ObjectKey,
        version: &str,
        subject: &str,
    ) -> Result<Call, Error> {
        let resource = self.resolve(&key.group_kind(), version, subject).await?;
        let kind = format!("{version} {}", key.group_kind());
        let path = object_path(key, version, &resource);
        let call = Call::get(path, subject.to_owned(), kind, self.timeout);
        Ok(Call { method, secret: key.is_secret(), ..call })
    }

    /// Sends a request, and forgets where the kind is found when the API server denies it.
    async fn call_known(
        &self,
        call: Call,
        key: &ObjectKey,
        version: &str,
    ) -> Result<Answer, Error> {
        let outcome = self.call(call).await;
        if let Err(Error::NotServed { .. }) = &outcome {
            self.forget(&key.group_kind(), version);
        }
        outcome
    }
}

/// The query of a write.
fn query(manager: &str, validate: bool) -> String {
    let validation = if validate { "Strict" } else { "Ignore" };
    format!("?fieldManager={manager}&fieldValidation={validation}")
}

fn parsed(answer: &Answer, subject: String) -> Result<Value, Error> {
    serde_json::from_slice(&answer.bytes).map_err(|source| Error::Unreadable {
        subject,
        // It was carried out, but what came of it is not known.
        write: true,
        source: source.into(),
    })
}

/// JSON that a YAML parser reads as the same value.
///
/// The API server reads apply bodies as YAML 1.1, where a few characters that JSON allows in
/// strings are line breaks or forbidden; they are escaped. Characters beyond the basic plane must
/// not be: YAML has no surrogate pairs.
fn yaml_safe(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, YamlSafe);
    match value.serialize(&mut serializer) {
        Ok(()) => bytes,
        // Writing a JSON value to memory does not fail.
        Err(_) => value.to_string().into_bytes(),
    }
}

struct YamlSafe;

impl Formatter for YamlSafe {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((at, special)) = rest.char_indices().find(|(_, c)| is_special_in_yaml(*c)) {
            CompactFormatter.write_string_fragment(writer, &rest[..at])?;
            write!(writer, "\\u{:04x}", u32::from(special))?;
            rest = &rest[at + special.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// Line breaks of YAML that JSON does not know, and characters YAML forbids unescaped.
fn is_special_in_yaml(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apply_bodies_escape_what_yaml_would_break() {
        let value = json!({"a\u{85}": ["x\u{2028}y\u{feff}", "é😀\n\"", 1.5, null]});
        let bytes = yaml_safe(&value);
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(text, "{\"a\\u0085\":[\"x\\u2028y\\ufeff\",\"é😀\\n\\\"\",1.5,null]}");
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
    }
}
