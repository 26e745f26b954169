//! How Kubernetes objects are named.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::ParseIdError;

/// Group and kind of what sets the replicas of other objects.
const AUTOSCALER: (&str, &str) = ("autoscaling", "HorizontalPodAutoscaler");

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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object; `namespace` is empty for cluster-scoped kinds.
    pub fn new(
        group: impl Into<String>,
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The kind of the object.
    #[must_use]
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }

    /// Whether the object is of the kind `kind` in `group`.
    #[must_use]
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
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

    /// Whether this is a `HorizontalPodAutoscaler`.
    #[must_use]
    pub fn is_autoscaler(&self) -> bool {
        self.is(AUTOSCALER.0, AUTOSCALER.1)
    }
}

impl fmt::Display for ObjectKey {
    /// `Kind[.group]/[namespace/]name`; also the form that [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if self.namespace.is_empty() {
            write!(f, "/{}", self.name)
        } else {
            write!(f, "/{}/{}", self.namespace, self.name)
        }
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
}
