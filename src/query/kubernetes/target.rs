//! What a path of the Kubernetes API names.

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `/version`.
    Version,
    /// `/healthz`, `/livez`, `/readyz`.
    Healthy,
    /// `/api`: the versions of the core group.
    CoreVersions,
    /// `/apis`: all groups.
    Groups,
    /// `/apis/GROUP`: one group.
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`: the resources of a version.
    Resources(GroupVersion),
    /// Objects, or one object.
    Objects(Objects),
    /// Anything else.
    Nothing,
}

/// A version of a group; the core group is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupVersion {
    pub(super) group: String,
    pub(super) version: String,
}

/// Objects of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Objects {
    pub(super) of: GroupVersion,
    /// The name in URLs, e.g. `pods`.
    pub(super) plural: String,
    /// Only of this namespace; empty = of all.
    pub(super) namespace: String,
    /// Only this one; empty = a list.
    pub(super) name: String,
    /// Of it, only this; empty = the object itself.
    pub(super) subresource: String,
}

impl Target {
    /// Reads a path that begins with `/`.
    pub(super) fn parse(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let version_of = |group: &str, version: &str| GroupVersion {
            group: group.to_owned(),
            version: version.to_owned(),
        };
        match parts.as_slice() {
            ["version"] => Self::Version,
            ["healthz" | "livez" | "readyz", ..] => Self::Healthy,
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group((*group).to_owned()),
            ["api", version] => Self::Resources(version_of("", version)),
            ["apis", group, version] => Self::Resources(version_of(group, version)),
            ["api", version, rest @ ..] => Self::objects(version_of("", version), rest),
            ["apis", group, version, rest @ ..] => Self::objects(version_of(group, version), rest),
            _ => Self::Nothing,
        }
    }

    fn objects(of: GroupVersion, rest: &[&str]) -> Self {
        let (namespace, rest) = match rest {
            // `/api/v1/namespaces/NAME` is a Namespace, `…/NAME/pods` are its Pods; what follows
            // a Namespace and is its own subresource is not asked for here.
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let text = |part: Option<&&str>| part.map(|part| (*part).to_owned()).unwrap_or_default();
        if rest.is_empty() || rest.len() > 3 {
            return Self::Nothing;
        }
        Self::Objects(Objects {
            of,
            plural: text(rest.first()),
            namespace: namespace.to_owned(),
            name: text(rest.get(1)),
            subresource: text(rest.get(2)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(path: &str) -> (String, String, String, String, String) {
        let Target::Objects(objects) = Target::parse(path) else { panic!("{path}") };
        let Objects { of, plural, namespace, name, subresource } = objects;
        (format!("{}/{}", of.group, of.version), plural, namespace, name, subresource)
    }

    #[test]
    fn paths_are_read_as_the_api_server_reads_them() {
        for (path, expected) in [
            ("/api/v1/pods", ("/v1", "pods", "", "", "")),
            ("/api/v1/namespaces", ("/v1", "namespaces", "", "", "")),
            ("/api/v1/namespaces/prod", ("/v1", "namespaces", "", "prod", "")),
            ("/api/v1/namespaces/prod/pods", ("/v1", "pods", "prod", "", "")),
            ("/api/v1/namespaces/prod/pods/web/log", ("/v1", "pods", "prod", "web", "log")),
            (
                "/apis/apps/v1/namespaces/prod/deployments/web",
                ("apps/v1", "deployments", "prod", "web", ""),
            ),
            ("/apis/x.io/v1/things/a", ("x.io/v1", "things", "", "a", "")),
        ] {
            let (of, plural, namespace, name, subresource) = objects(path);
            let found = (&*of, &*plural, &*namespace, &*name, &*subresource);
            assert_eq!(found, expected, "{path}");
        }
        for (path, expected) in [
            ("/version", Target::Version),
            ("/livez/ping", Target::Healthy),
            ("/api", Target::CoreVersions),
            ("/apis/", Target::Groups),
            ("/apis/apps", Target::Group("apps".into())),
            ("/", Target::Nothing),
            ("/openapi/v2", Target::Nothing),
            ("/api/v1/namespaces/a/pods/b/c/d", Target::Nothing),
        ] {
            assert_eq!(Target::parse(path), expected, "{path}");
        }
    }
}
