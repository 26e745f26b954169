//! The variables that an Application may use in what it overrides (Argo CD's build environment).
//!
//! They are replaced as Argo CD does it, with Go's `os.Expand`: in parameters and in the names of
//! files for Helm, in images, labels and, where asked for, annotations for Kustomize.

use super::engine::Input;

/// The values of the variables for one source at one commit.
#[derive(Debug, Clone)]
pub(super) struct Variables(Vec<(&'static str, String)>);

/// What texts name that is neither in the files nor in the Application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The commit that is rendered.
    pub(super) commit: bool,
    /// The version of Kubernetes.
    pub(super) kube_version: bool,
    /// What the cluster serves.
    pub(super) api_versions: bool,
}

impl Named {
    /// What any of `texts` may name. In doubt it does, which only makes renders more frequent.
    pub(super) fn of<'t>(texts: impl IntoIterator<Item = &'t String>) -> Self {
        let mut named = Self::default();
        for text in texts {
            named.commit |= text.contains("ARGOCD_APP_REVISION");
            named.kube_version |= text.contains("KUBE_VERSION");
            named.api_versions |= text.contains("KUBE_API_VERSIONS");
        }
        named
    }
}

impl Variables {
    pub(super) fn of(input: &Input<'_>) -> Self {
        let commit = input.commit.as_str();
        let short = |digits: usize| commit.get(..digits).unwrap_or(commit).to_owned();
        Self(vec![
            ("ARGOCD_APP_NAME", input.app.name.to_string()),
            ("ARGOCD_APP_NAMESPACE", input.app.namespace.clone()),
            ("ARGOCD_APP_PROJECT_NAME", input.app.project.clone()),
            ("ARGOCD_APP_REVISION", commit.to_owned()),
            ("ARGOCD_APP_REVISION_SHORT", short(7)),
            ("ARGOCD_APP_REVISION_SHORT_8", short(8)),
            ("ARGOCD_APP_SOURCE_PATH", input.source.path.clone()),
            ("ARGOCD_APP_SOURCE_REPO_URL", input.source.repo.clone()),
            ("ARGOCD_APP_SOURCE_TARGET_REVISION", input.source.revision.clone()),
            ("KUBE_VERSION", input.kube_version.to_owned()),
            ("KUBE_API_VERSIONS", input.api_versions.join(",")),
            // `$$` is how a `$` is written.
            ("$", "$".to_owned()),
        ])
    }

    /// Whether a text begins with a variable that has no value.
    pub(super) fn unknown_first(&self, text: &str) -> bool {
        let first = text.strip_prefix('$').map(|after| name(after).0);
        first.is_some_and(|name| self.value(name).is_none())
    }

    /// Replaces `$NAME` and `${NAME}`; what is not known becomes nothing.
    pub(super) fn replace(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, bytes) = name(after);
            if bytes == 0 {
                out.push('$');
            }
            out.push_str(self.value(name).unwrap_or_default());
            rest = after.get(bytes..).unwrap_or_default();
        }
        out.push_str(rest);
        out
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// The name that stands behind a `$`, and how many bytes it takes up there: none where the `$`
/// stands for itself. `${}`, and a `${` that nothing closes, are taken up and name nothing.
fn name(after: &str) -> (&str, usize) {
    let special = |first: char| first.is_ascii_digit() || "*#$@!?-".contains(first);
    if let Some(inner) = after.strip_prefix('{') {
        return inner.split_once('}').map_or(("", 1), |(name, _)| (name, name.len() + 2));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = match after.starts_with(special) {
        true => 1,
        false => after.find(|c| !word(c)).unwrap_or(after.len()),
    };
    (after.get(..end).unwrap_or_default(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is replaced is what Go's `os.Expand` replaces, which printed these.
    #[test]
    fn variables_are_replaced_as_argo_cd_does_it() {
        let variables =
            Variables(vec![("A", "one".into()), ("AB", "two".into()), ("$", "$".into())]);
        for (text, expected) in [
            ("x", "x"),
            ("$A", "one"),
            ("${A}B $AB-$A", "oneB two-one"),
            ("a$ ${unknown}b$unknown", "a$ b"),
            ("$", "$"),
            ("${A", "A"),
            ("$$A", "$A"),
            ("$$$A", "$one"),
            ("${$}A", "$A"),
            ("$1A", "A"),
            ("$*$#$@$!$?$-$0x", "x"),
            ("a${}b", "ab"),
            ("${", ""),
            ("${ A}", ""),
            ("$é", "$é"),
            ("é$Aé", "éoneé"),
            ("${A}}", "one}"),
            ("$A$", "one$"),
            ("$A.x", "one.x"),
            ("$.x", "$.x"),
            ("${1}2", "2"),
            ("${A${AB}", ""),
        ] {
            assert_eq!(variables.replace(text), expected, "{text}");
        }
        for (text, unknown) in [
            ("$A/x", false),
            ("${A}", false),
            ("$$A", false),
            ("x$B", false),
            ("$B/$A", true),
            ("$", true),
        ] {
            assert_eq!(variables.unknown_first(text), unknown, "{text}");
        }
    }

    #[test]
    fn what_a_text_names_beyond_the_files_is_known() {
        let named = |text: &str| Named::of(&[text.to_owned()]);
        assert_eq!(named("$ARGOCD_APP_NAME $ARGOCD_APP_SOURCE_TARGET_REVISION"), Named::default());
        let commit = Named { commit: true, ..Named::default() };
        assert_eq!(named("v-${ARGOCD_APP_REVISION_SHORT}"), commit);
        let kube_version = Named { kube_version: true, ..Named::default() };
        assert_eq!(named("$KUBE_VERSION"), kube_version);
        let api_versions = Named { api_versions: true, ..Named::default() };
        assert_eq!(named("${KUBE_API_VERSIONS}"), api_versions);
    }
}
