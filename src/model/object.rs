//! How Kubernetes objects are named.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::app::AppName;
use super::id::ParseIdError;

/// Group and kind of what sets the replicas of other objects.
const AUTOSCALER: (&str, &str) = ("autoscaling", "HorizontalPodAutoscaler");

/// What ends a part of a key's text.
const END: char = '\0';

/// A kind of object, without its version: `apps/Deployment`, `/ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
}

impl GroupKind {
    /// A kind in a group; the core group is empty.
    pub fn new(group: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }

    /// The kind that sets the replicas of other objects.
    #[must_use]
    pub fn autoscaler() -> Self {
        Self::new(AUTOSCALER.0, AUTOSCALER.1)
    }
}

impl fmt::Display for GroupKind {
    /// `Kind` in the core group, `Kind.group` elsewhere, as kubectl shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.group)
        }
    }
}

/// Whether objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster as a whole.
    Cluster,
}

/// The name of an object: group, kind, namespace and name. The version is not part of it,
/// because one object is served in several.
///
/// It is what almost every map of the program is sorted by, and most of those that are compared
/// differ in their last letters alone. So the four are one text, compared in one go, and clones
/// share it. The order is that of the four, one after the other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Group, kind, namespace and name, each but the last ended by a NUL: no name has one, and
    /// nothing sorts before it.
    text: Arc<str>,
    /// Where the kind, the namespace and the name begin: keys are told apart even if a name that
    /// somebody made up has a NUL.
    begins: [u32; 3],
}

impl ObjectKey {
    /// The key of an object; `namespace` is empty for cluster-scoped kinds.
    ///
    /// # Panics
    ///
    /// Where the four have more than 4 GiB together.
    pub fn new(
        group: impl AsRef<str>,
        kind: impl AsRef<str>,
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
    ) -> Self {
        let parts = [group.as_ref(), kind.as_ref(), namespace.as_ref(), name.as_ref()];
        let mut text = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        let begins = [0, 1, 2].map(|part: usize| {
            text.push_str(parts[part]);
            text.push(END);
            u32::try_from(text.len()).expect("a name is no longer than 4 GiB")
        });
        text.push_str(parts[3]);
        Self { text: text.into(), begins }
    }

    /// The object of that name beside this one.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self::new(self.group(), self.kind(), self.namespace(), name)
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.text[..self.end(0)]
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.text[self.begin(0)..self.end(1)]
    }

    /// The namespace; empty for cluster-scoped objects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.text[self.begin(1)..self.end(2)]
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[self.begin(2)..]
    }

    const fn begin(&self, part: usize) -> usize {
        self.begins[part] as usize
    }

    const fn end(&self, part: usize) -> usize {
        self.begin(part) - END.len_utf8()
    }

    /// The kind of the object.
    #[must_use]
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.group(), self.kind())
    }

    /// Whether the object is of the kind `kind` in `group`.
    #[must_use]
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group() == group && self.kind() == kind
    }

    /// Whether this is a core Secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.is("", "Secret")
    }

    /// Whether this is a Namespace.
    #[must_use]
    pub fn is_namespace(&self) -> bool {
        self.is("", "Namespace")
    }

    /// Whether this is an `argoproj.io` Application.
    #[must_use]
    pub fn is_application(&self) -> bool {
        self.is("argoproj.io", "Application")
    }

    /// The application that an `argoproj.io` Application defines; `None` of other kinds, and where
    /// its name is none of an application.
    #[must_use]
    pub fn child(&self) -> Option<AppName> {
        if self.is_application() { self.name().parse().ok() } else { None }
    }

    /// The definition of a child application, wherever its parent has it.
    #[must_use]
    pub fn application(name: &AppName) -> Self {
        Self::new("argoproj.io", "Application", "", name.as_str())
    }

    /// Whether this is a `HorizontalPodAutoscaler`.
    #[must_use]
    pub fn is_autoscaler(&self) -> bool {
        self.is(AUTOSCALER.0, AUTOSCALER.1)
    }
}

impl fmt::Display for ObjectKey {
    /// `Kind[.group]/[namespace/]name`; also the form that [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        if !self.group().is_empty() {
            write!(f, ".{}", self.group())?;
        }
        if self.namespace().is_empty() {
            write!(f, "/{}", self.name())
        } else {
            write!(f, "/{}/{}", self.namespace(), self.name())
        }
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectKey")
            .field("group", &self.group())
            .field("kind", &self.kind())
            .field("namespace", &self.namespace())
            .field("name", &self.name())
            .finish()
    }
}

impl Serialize for ObjectKey {
    /// As a structure of the four names.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_struct("ObjectKey", 4)?;
        parts.serialize_field("group", self.group())?;
        parts.serialize_field("kind", self.kind())?;
        parts.serialize_field("namespace", self.namespace())?;
        parts.serialize_field("name", self.name())?;
        parts.end()
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "ObjectKey")]
        struct Parts<'a> {
            #[serde(borrow)]
            group: Cow<'a, str>,
            #[serde(borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            namespace: Cow<'a, str>,
            #[serde(borrow)]
            name: Cow<'a, str>,
        }
        let Parts { group, kind, namespace, name } = Parts::deserialize(deserializer)?;
        Ok(Self::new(group, kind, namespace, name))
    }
}

impl FromStr for ObjectKey {
    type Err = ParseIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error =
            || ParseIdError { what: "object (Kind[.group]/[namespace/]name)", input: s.into() };
        let parts: Vec<&str> = s.split('/').collect();
        let (group_kind, namespace, name) = match parts.as_slice() {
            [group_kind, name] => (*group_kind, "", *name),
            [group_kind, namespace, name] => (*group_kind, *namespace, *name),
            _ => return Err(error()),
        };
        if group_kind.is_empty() || name.is_empty() {
            return Err(error());
        }
        let (kind, group) = group_kind.split_once('.').unwrap_or((group_kind, ""));
        Ok(Self::new(group, kind, namespace, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_and_parse() {
        for text in ["ConfigMap/prod/web", "Namespace/prod", "Deployment.apps/prod/web"] {
            assert_eq!(text.parse::<ObjectKey>().unwrap().to_string(), text);
        }
        assert!("web".parse::<ObjectKey>().is_err());
        assert!("a/b/c/d".parse::<ObjectKey>().is_err());
    }

    #[test]
    fn keys_have_the_order_of_their_four_names() {
        let names = ["", "a", "a-b", "ab", "b", "é"];
        let mut all = Vec::new();
        for group in names {
            for kind in names {
                for namespace in names {
                    all.extend(names.map(|name| (group, kind, namespace, name)));
                }
            }
        }
        all.sort_unstable();
        let keys: Vec<ObjectKey> = all
            .iter()
            .map(|(group, kind, space, name)| ObjectKey::new(group, kind, space, name))
            .collect();
        assert!(keys.is_sorted_by(|one, other| one < other));
        for (key, (group, kind, namespace, name)) in keys.iter().zip(all) {
            assert_eq!(
                (key.group(), key.kind(), key.namespace(), key.name()),
                (group, kind, namespace, name)
            );
        }
    }

    #[test]
    fn keys_are_stored_as_their_four_names() {
        let key = ObjectKey::new("apps", "Deployment", "prod", "we\"b");
        let text = r#"{"group":"apps","kind":"Deployment","namespace":"prod","name":"we\"b"}"#;
        assert_eq!(serde_json::to_string(&key).unwrap(), text);
        assert_eq!(serde_json::from_str::<ObjectKey>(text).unwrap(), key);
        let value = serde_json::to_value(&key).unwrap();
        assert_eq!(serde_json::from_value::<ObjectKey>(value).unwrap(), key);
        let config = bincode::config::standard();
        let stored = bincode::serde::encode_to_vec(&key, config).unwrap();
        let names = ("apps", "Deployment", "prod", "we\"b");
        assert_eq!(stored, bincode::serde::encode_to_vec(names, config).unwrap());
        let (read, _) = bincode::serde::decode_from_slice::<ObjectKey, _>(&stored, config).unwrap();
        assert_eq!(read, key);
    }

    #[test]
    fn a_name_with_a_nul_is_no_other_name() {
        assert_ne!(ObjectKey::new("", "A", "b\0c", "d"), ObjectKey::new("", "A", "b", "c\0d"));
    }
}
