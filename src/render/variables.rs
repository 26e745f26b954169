//! The variables that an Application may use in what it overrides (Argo CD's build environment).

use super::engine::Input;

/// The values of the variables for one source at one commit.
#[derive(Debug, Clone)]
pub(super) struct Variables(Vec<(&'static str, String)>);

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
        ])
    }

    /// Whether a text may depend on the commit or the cluster rather than on the files alone.
    pub(super) fn vary_in(text: &str) -> bool {
        text.contains("ARGOCD_APP_REVISION") || text.contains("KUBE_VERSION")
    }

    /// Replaces `$NAME` and `${NAME}`; what is not known becomes nothing, as in a shell.
    pub(super) fn replace(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, left) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}'))
            {
                Some(found) => found,
                None => {
                    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    after.split_at(after.find(|c| !word(c)).unwrap_or(after.len()))
                }
            };
            if name.is_empty() {
                out.push('$');
            } else if let Some((_, value)) = self.0.iter().find(|(known, _)| *known == name) {
                out.push_str(value);
            }
            rest = left;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_as_in_a_shell() {
        let variables = Variables(vec![("A", "one".into()), ("AB", "two".into())]);
        for (text, expected) in [
            ("x", "x"),
            ("$A", "one"),
            ("${A}B $AB-$A", "oneB two-one"),
            ("a$ ${unknown}b$unknown", "a$ b"),
            ("$", "$"),
            ("${A", "${A"),
        ] {
            assert_eq!(variables.replace(text), expected, "{text}");
        }
    }
}
