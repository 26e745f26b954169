//! Commits that say in Git what is held, as people read of them.

use serde::{Deserialize, Serialize};

use crate::ledger::event::PushResult;
use crate::query::text::{clip, repo_name};
use crate::replay::HeldCommit;

/// A commit that would be made. It goes over the wire as it is: fields are added, never renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPlan {
    /// The repository, without a password.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// Whether the branch is made.
    pub creates: bool,
    /// Whether it is a branch of its own, which somebody has to merge.
    #[serde(default)]
    pub proposes: bool,
    /// The parent.
    pub parent: String,
    /// What goes back to which commit.
    pub paths: Vec<String>,
    /// The files that differ, as `git diff --stat` names them.
    pub files: Vec<String>,
    /// How many differ in all.
    pub files_total: usize,
    /// Who the commit says wrote it.
    pub author: String,
    /// The message.
    pub message: String,
}

/// The word for a result.
#[must_use]
pub fn result_word(result: &PushResult) -> (&'static str, &str) {
    match result {
        PushResult::Pushed => ("pushed", ""),
        PushResult::Overtaken(said) => ("overtaken", said),
        PushResult::Refused(said) => ("refused", said),
        PushResult::NotPushed(said) => ("not-pushed", said),
        PushResult::Unknown(said) => ("unknown", said),
    }
}

/// A commit of a hold, and what became of it.
#[must_use]
pub fn held_commit(held: &HeldCommit) -> String {
    let HeldCommit { commit, repo, branch, proposes, result, push } = held;
    let branch = clip(branch.strip_prefix("refs/heads/").unwrap_or(branch), 100);
    let place = format!("commit {} for {branch} of {}", commit.short(), repo_name(repo));
    let how = match (result, proposes) {
        (None, _) => "is being pushed".to_owned(),
        (Some(PushResult::Pushed), true) => "is pushed and waits until it is merged".to_owned(),
        (Some(PushResult::Pushed), false) => "is pushed".to_owned(),
        (Some(PushResult::Unknown(_)), _) => "may be pushed: it is looked for".to_owned(),
        (Some(result), _) => format!("is NOT PUSHED: {}", clip(result_word(result).1, 300)),
    };
    format!("{place} {how} (#{})", push.0)
}

/// What a person can do about a push that was not made.
#[must_use]
pub fn hint_of(result: &PushResult, proposes: bool) -> &'static str {
    let said = match result {
        PushResult::Pushed => return "",
        PushResult::Unknown(_) => {
            return "it is looked for in the repository: `greffier status` and `greffier log` say what is found";
        }
        PushResult::Overtaken(_) if proposes => {
            return "nothing of it was touched: the same with --plan says what is on it now";
        }
        PushResult::Overtaken(_) => {
            return "look again at what would be committed now";
        }
        PushResult::Refused(said) | PushResult::NotPushed(said) => said.to_lowercase(),
    };
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["dubious ownership"]) {
        "the repository belongs to another user of this machine, and its hooks would run as \
         greffier: name it by an ssh URL, or let greffier own it"
    } else if has(&["protected", "hook declined", "not allowed to push", "prohibited", "gh006"]) {
        "the branch is protected: --branch NAME proposes the commit for a merge request"
    } else if has(&["permission", "denied", "read only", "read-only", "deploy key", "403"]) {
        "the credentials that greffier fetches with may not write: give its key write access, or \
         commit by hand"
    } else {
        "what it says has to be mended first"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;
    use crate::replay::testing::commit;

    #[test]
    fn what_became_of_a_commit_is_said_with_the_words_of_the_repository() {
        let mut held = HeldCommit {
            push: Seq(9),
            repo: "/srv/infra.git".into(),
            branch: "refs/heads/main".into(),
            proposes: false,
            commit: commit(1),
            result: None,
        };
        assert!(held_commit(&held).contains("for main of infra"), "{}", held_commit(&held));
        held.result = Some(PushResult::Refused("main is protected\u{1b}[2J".into()));
        let said = held_commit(&held);
        assert!(
            said.contains("NOT PUSHED: main is protected") && !said.contains('\u{1b}'),
            "{said}"
        );
        (held.result, held.proposes) = (Some(PushResult::Pushed), true);
        assert!(held_commit(&held).contains("waits until it is merged"));
    }

    #[test]
    fn a_refusal_comes_with_what_to_do() {
        let hint = |said: &str| hint_of(&PushResult::Refused(said.into()), false);
        assert!(hint("pre-receive hook declined").contains("--branch"));
        assert!(hint("Permission to x.git denied to deploy key").contains("write access"));
        assert!(hint("detected dubious ownership in repository").contains("another user"));
        assert!(hint("out of space").contains("mended"));
    }
}
