//! Field managers, as far as their names tell who is behind them.

/// Programs with which people change objects themselves, by the names that they give the API
/// server; browsers call themselves Mozilla.
const TOOLS_OF_PEOPLE: [&str; 12] = [
    "curl",
    "dashboard",
    "freelens",
    "headlamp",
    "k9s",
    "kubectl",
    "lens",
    "mozilla",
    "oc",
    "octant",
    "openlens",
    "wget",
];

/// The field manager of every write of greffier, but of what it sets for others
/// ([`BESIDE_MANAGER`]).
pub const FIELD_MANAGER: &str = "greffier";

/// The field manager of what others had set of an object that greffier brought to another cluster:
/// theirs there, too.
pub const BESIDE_MANAGER: &str = "greffier-replay";

/// The API server's name for whoever wrote an object before field ownership was kept, or before
/// somebody cleared it.
pub const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Whether what the manager sets is set by hand: by a verb of kubectl or a tool that people edit
/// with. Whoever else it is (controllers, operators, a tool that is not known) is left alone: a
/// wrong guess would fight with a program.
#[must_use]
pub fn is_by_hand(manager: &str) -> bool {
    let name = manager.to_lowercase();
    name.starts_with("kubectl-") || TOOLS_OF_PEOPLE.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_of_kubectl_and_tools_of_people_are_told_from_programs() {
        for manager in ["kubectl", "kubectl-edit", "kubectl-label", "Mozilla", "k9s", "Lens"] {
            assert!(is_by_hand(manager), "{manager}");
        }
        for manager in
            ["greffier", "kube-controller-manager", "my-operator", "helm", "kubectlx", ""]
        {
            assert!(!is_by_hand(manager), "{manager}");
        }
    }
}
