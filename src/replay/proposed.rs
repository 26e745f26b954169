//! Renders that wait for a person before they take the place of the one in force.
//!
//! A render that a new commit or a new definition asks for takes force at once; its deletions are
//! judged by the planner. Two kinds have nobody behind them, and wait when they would change
//! anything: what a rewritten history comes to that dropped applied commits, and what the same
//! commits come to with another version of greffier, a program, or Kubernetes.
//!
//! Until then the former render stays in force as if nothing had happened, self-heal included.
//! This is decided here, when the render is folded, from what was recorded before it.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::application::{App, Cause, Desired, Proposed, Rewrite};
use super::fold::several_waves;
use super::git::Resolved;
use super::world::{Touched, World};
use crate::ledger::event::{
    HistoryRewrittenV1, KUBERNETES, ProgramsFoundV1, RenderSucceededV1, RevisionAdvancedV1,
};
use crate::model::{AppName, Digest, Seq};

/// A rewrite lists at most so many dropped commits; beyond that it is not known which there are.
const DROPPED_LISTED: usize = 200;

impl World {
    /// Notes for each application whose applied commit a rewrite dropped that its next render
    /// has to be asked about. Comes before the ref moves.
    pub(super) fn history_rewritten(&mut self, seq: Seq, body: &HistoryRewrittenV1) -> Touched {
        if body.follow || body.same_tree {
            return Touched::nothing();
        }
        let dropped: Vec<(AppName, Rewrite)> =
            self.apps.iter().filter_map(|(name, app)| self.dropped(seq, name, app, body)).collect();
        for (name, rewrite) in dropped {
            if let Some(app) = self.apps.get_mut(&name) {
                app.rewritten = Some(rewrite);
            }
        }
        Touched::nothing()
    }

    fn dropped(
        &self,
        seq: Seq,
        name: &AppName,
        app: &App,
        body: &HistoryRewrittenV1,
    ) -> Option<(AppName, Rewrite)> {
        let desired = app.desired.as_ref()?;
        let follows = |repo: &str, revision: &str| {
            let known = self.repos.get(repo).filter(|_| repo == body.repo);
            known.is_some_and(|known| {
                known.resolve(revision) == Resolved::Commit(body.old.clone())
                    || known.was(revision) == Some(&body.old)
            })
        };
        let sources = app.spec.sources.iter().zip(&desired.revisions);
        let mut hit = sources.filter(|(source, rendered)| {
            let gone =
                body.dropped.contains(&rendered.commit) || body.dropped.len() >= DROPPED_LISTED;
            gone && follows(&source.repo, &source.revision)
        });
        let (_, rendered) = hit.next()?;
        let rewrite = Rewrite {
            seq,
            repo: body.repo.clone(),
            name: body.name.clone(),
            dropped: rendered.commit.clone(),
        };
        Some((name.clone(), rewrite))
    }

    /// Notes which versions there are now. What was rendered with others is rendered again.
    pub(super) fn programs_found(&mut self, body: &ProgramsFoundV1) -> Touched {
        self.note_programs(&body.versions);
        self.forget_problems();
        Touched::all()
    }

    /// What did not render may render with other programs.
    pub(super) fn forget_problems(&mut self) {
        for app in self.apps.values_mut() {
            app.render_problem = None;
        }
    }

    /// Notes what a render was made with. A version that nobody had met yet makes every render
    /// with the former one a matter of the past, and each is looked at for that.
    pub(super) fn met_programs(&mut self, versions: &[(String, String)]) -> Touched {
        if self.note_programs(versions) { Touched::all() } else { Touched::nothing() }
    }

    /// The last word on a version is what a render was made with. Returns whether one is new.
    fn note_programs(&mut self, versions: &[(String, String)]) -> bool {
        let mut new = false;
        for (program, version) in versions.iter().filter(|(program, _)| program != KUBERNETES) {
            let former = self.programs.insert(program.clone(), version.clone());
            new |= former.is_some_and(|former| former != *version);
        }
        new
    }

    fn version_of(&self, program: &str) -> Option<&str> {
        let version = if program == KUBERNETES {
            Some(&self.cluster.version)
        } else {
            self.programs.get(program)
        };
        version.map(String::as_str).filter(|version| !version.is_empty())
    }

    /// Whether something that the render depends on has another version now.
    pub(super) fn made_otherwise(&self, desired: &Desired) -> bool {
        desired
            .made_with
            .iter()
            .any(|(program, version)| self.version_of(program).is_some_and(|now| now != version))
    }

    /// Why a render of `name` may not take force unasked.
    pub(super) fn causes_to_ask(&self, name: &AppName, new: &Desired) -> Vec<Cause> {
        let Some(app) = self.apps.get(name) else { return Vec::new() };
        let Some(former) = app.unheld() else { return Vec::new() };
        if same_objects(&former, new) {
            return Vec::new();
        }
        let mut causes: Vec<Cause> = app.hold.iter().map(|hold| Cause::Held(hold.seq)).collect();
        if self.owned_count(name) == 0 && self.children(name).next().is_none() {
            // Nothing was applied that it could take anything of.
            return causes;
        }
        causes.extend(app.rewritten.iter().map(|rewrite| Cause::Rewritten(rewrite.clone())));
        // A commit is behind it if it changed what the render reads, not if it came by.
        let asked_for = former.sources != new.sources;
        let changed = changed_versions(&former, new);
        if !asked_for && !changed.is_empty() {
            causes.push(Cause::Versions(changed));
        }
        causes
    }

    /// A ref moved: whoever is back at what is in force has nothing to ask about any more.
    pub(super) fn forget_undone_rewrite(&mut self, name: &AppName, repo: &str, ref_name: &str) {
        let Some(app) = self.apps.get(name) else { return };
        let Some(desired) = app.desired.as_ref().filter(|d| d.declared == app.declared) else {
            return;
        };
        let Some(wanted) = self.wanted(app) else { return };
        let rewritten = app.rewritten.as_ref();
        let moved_back = rewritten.is_some_and(|r| r.repo == repo && r.name == ref_name);
        if !moved_back || !desired.stands_for(&wanted) {
            return;
        }
        if let Some(app) = self.apps.get_mut(name) {
            app.rewritten = None;
            if !app.is_held() {
                app.proposed.take_if(|proposed| !proposed.desired.stands_for(&wanted));
            }
        }
    }

    /// A commit changes nothing of what a render reads: the render stands for it, too.
    pub(super) fn revision_advanced(&mut self, body: &RevisionAdvancedV1) -> Touched {
        let Some(app) = self.rendered_app(&body.app, body.declared) else {
            return Touched::nothing();
        };
        let waits = app.proposed.as_mut().filter(|waits| waits.desired.inputs == body.inputs);
        if let Some(waits) = waits.filter(|_| app.hold.is_some()) {
            // It waits on, because what is in force is held.
            waits.desired.advance(body);
        } else if let Some(desired) = app.desired.as_mut().filter(|d| d.inputs == body.inputs) {
            desired.advance(body);
            app.proposed = None;
            app.rewritten = None;
        } else {
            // Another render took force meanwhile: the commit does not stand for that one, and is
            // rendered again.
            return Touched::app(&body.app);
        }
        app.render_problem = None;
        let others = self.met_programs(&body.made_with);
        let mut touched = self.caught_up().and(others);
        touched.apps.insert(body.app.clone());
        touched
    }
}

impl Desired {
    /// What a render says, as the event at `seq`.
    #[must_use]
    pub fn of(seq: Seq, body: &RenderSucceededV1) -> Self {
        let objects = body.objects.iter().map(|object| (object.key.clone(), object.clone()));
        let objects = objects.collect();
        Self {
            seq,
            declared: body.declared,
            several_waves: several_waves(&objects),
            revision: body.revision.clone(),
            rendered: body.revision.commit.clone(),
            revisions: body.revisions.clone(),
            inputs: body.inputs,
            sources: body.sources,
            made_with: body.made_with.clone(),
            objects,
            warnings: body.warnings.clone(),
            unknown_kinds: body.unknown_kinds.clone(),
            deleted: BTreeSet::new(),
            counted: None,
        }
    }

    /// It stands for a later commit, too, which changes nothing of what it reads.
    pub fn advance(&mut self, body: &RevisionAdvancedV1) {
        self.revision = body.revision.clone();
        self.revisions.clone_from(&body.revisions);
        self.declared = body.declared;
        self.made_with.clone_from(&body.made_with);
    }
}

/// Whether two renders ask for the same.
pub(super) fn same_objects(former: &Desired, new: &Desired) -> bool {
    let digests = |desired: &Desired| {
        desired.objects.iter().map(|(key, object)| (key.clone(), object.digest)).collect::<Vec<_>>()
    };
    former.objects.len() == new.objects.len() && digests(former) == digests(new)
}

/// What has another version now: what, which it had, which it has.
fn changed_versions(former: &Desired, new: &Desired) -> Vec<(String, String, String)> {
    let known = former.made_with.iter().filter(|(_, version)| !version.is_empty());
    let changed = known.filter_map(|(program, was)| {
        let (_, now) = new.made_with.iter().find(|(other, _)| other == program)?;
        (now != was && !now.is_empty()).then(|| (program.clone(), was.clone(), now.clone()))
    });
    changed.collect()
}

/// What an approval of a proposed render rests on.
pub(super) fn proposal_base(inputs: Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"render");
    hash.update(inputs.0);
    Digest(hash.finalize().into())
}

impl Proposed {
    /// What an approval of it rests on.
    #[must_use]
    pub fn base(&self) -> Digest {
        proposal_base(self.desired.inputs)
    }
}
