//! What a commit changes of other applications than the one that it is made for.

use std::collections::BTreeMap;

use super::{Known, is_inside};
use crate::model::{AppSpec, CommitId, Digest, ObjectKey, Source};
use crate::reconcile::driver::Parts;
use crate::reconcile::opened::{self, Opened};
use crate::reconcile::render_job::{digest_of, with_namespace};
use crate::source::{Followed, Made, Mirror};

/// Bound: how many applications that read what changes are rendered to see whether it is anything
/// to them. Of more it is said that they read it.
const RENDERED_MAX: usize = 20;

/// What is asked of other applications.
pub(super) struct Other<'a> {
    pub(super) parts: &'a Parts,
    pub(super) known: &'a Known,
    pub(super) mirror: &'a Mirror,
    pub(super) branch: &'a str,
}

impl Other<'_> {
    /// The other applications that the commit changes: they read what it changes, and do not
    /// demonstrably render to the same with it (`trial`) as without it (`base`).
    pub(super) fn shared(&self, (base, trial): (&CommitId, &CommitId), made: &Made) -> Vec<String> {
        let changed: Vec<&str> = match made.files_total == made.files.len() {
            true => made.files.iter().map(|file| file.path.as_str()).collect(),
            false => {
                made.paths.iter().filter(|p| p.was != p.now).map(|p| p.path.as_str()).collect()
            }
        };
        let (mut said, mut rendered) = (Vec::new(), 0);
        for (name, spec, wanted) in &self.known.others {
            let at = |commit: &CommitId| self.commits(spec, wanted, commit);
            let Some(file) = self.reads(spec, at(base), &changed) else { continue };
            rendered += 1;
            if rendered <= RENDERED_MAX && self.is_the_same(spec, at(base), at(trial)) {
                continue;
            }
            said.push(format!("application {name} reads {file}"));
        }
        said
    }

    fn follows(&self, source: &Source) -> bool {
        let branch = Followed::Branch(self.branch.to_owned());
        source.repo == self.mirror.url()
            && self.mirror.followed(&source.revision).is_ok_and(|followed| followed == branch)
    }

    /// The commits of its sources, where the branch is at `commit`; `None` = not all are known.
    fn commits(
        &self,
        spec: &AppSpec,
        wanted: &[Option<CommitId>],
        commit: &CommitId,
    ) -> Option<Vec<CommitId>> {
        let of = |(index, source): (usize, &Source)| match self.follows(source) {
            true => Some(commit.clone()),
            false => wanted.get(index).cloned().flatten(),
        };
        spec.sources.iter().enumerate().map(of).collect()
    }

    /// The first of the changed files that it reads from the branch; its folders alone count where
    /// it does not open.
    fn reads(
        &self,
        spec: &AppSpec,
        commits: Option<Vec<CommitId>>,
        changed: &[&str],
    ) -> Option<String> {
        let opened = commits.and_then(|all| Opened::open(&self.parts.mirrors, spec, &all).ok());
        let read = match opened {
            Some(opened) => opened.reads(&self.known.served),
            None => {
                let plain = |path: &str| path.trim_matches(['.', '/']).to_owned();
                let sources = spec.sources.iter().enumerate();
                sources.map(|(index, source)| (index, plain(&source.path))).collect()
            }
        };
        let follows = |index: usize| spec.sources.get(index).is_some_and(|s| self.follows(s));
        let mut read = read.into_iter().filter(|(index, _)| follows(*index));
        read.find_map(|(_, path)| {
            let hit = changed.iter().find(|file| is_inside(file, &path) || is_inside(&path, file));
            hit.map(|file| (*file).to_owned())
        })
    }

    /// Whether it renders to the same objects at both: a chart with a file of values for each
    /// environment beside it is read as a whole, and used in part.
    fn is_the_same(
        &self,
        spec: &AppSpec,
        base: Option<Vec<CommitId>>,
        trial: Option<Vec<CommitId>>,
    ) -> bool {
        let render = |commits: Option<Vec<CommitId>>| self.render(spec, &commits?);
        let before = render(base);
        before.is_some() && before == render(trial)
    }

    fn render(
        &self,
        spec: &AppSpec,
        commits: &[CommitId],
    ) -> Option<BTreeMap<ObjectKey, (Digest, i64)>> {
        let opened = Opened::open(&self.parts.mirrors, spec, commits).ok()?;
        let scratch = opened::scratch(self.parts, spec);
        let rendered = opened.render(&self.known.served, &self.parts.tools, &scratch).ok()?;
        let objects = with_namespace(spec, rendered.objects);
        let of = |object: &crate::render::RenderedObject| {
            (object.key.clone(), (digest_of(self.parts, object), i64::from(object.wave)))
        };
        Some(objects.iter().map(of).collect())
    }
}
