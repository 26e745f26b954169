//! Commits that greffier makes.

use super::super::event::*;
use super::{app, commit, signature};
use crate::model::Seq;

pub(super) fn pushes() -> Vec<Event> {
    let (repo, branch) = ("/srv/infra".to_owned(), "refs/heads/main".to_owned());
    vec![
        PushIntendedV1 {
            app: app(),
            hold: Seq(30),
            repo: repo.clone(),
            branch: branch.clone(),
            creates: false,
            proposes: false,
            commit: commit('f'),
            tree: commit('b'),
            parent: commit('a'),
            paths: vec![PathBack {
                path: "apps/web".into(),
                then: commit('c'),
                was: Some(commit('d')),
                now: None,
            }],
            files: 3,
            author: signature(),
            committer: signature(),
            message: "Revert web to ccccccc\n\nGreffier-App: web\n".into(),
            attempt: 1,
            timeout_ms: 120_000,
        }
        .into(),
        PushEndedV1 {
            push: Seq(31),
            app: app(),
            repo,
            branch,
            commit: commit('f'),
            result: PushResult::Refused("main is protected".into()),
            settled: true,
        }
        .into(),
    ]
}
