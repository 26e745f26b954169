//! What a commit would have to be for Git to say what a rollback holds.
//!
//! What the render of then read (the folder of each source, the kustomizations that it led to, its
//! value files) goes back to what the commits of then have there; everything else of the branch
//! stays. What is made so is rendered once, and what differs from what was in force then is named:
//! a definition that changed since is not put back by a commit to the application's own source.
//!
//! Blocking; objects are written to the mirror, and nothing is pushed or recorded.

mod branch;
mod error;
mod other;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

pub use branch::There;
pub(super) use branch::{made, own_commit};
pub use error::GitBackError;

use self::branch::{Decided, Target};
use self::other::Other;
use super::driver::Parts;
use super::opened::{self, Opened, Served};
use super::render_job::{digest_of, with_namespace};
use crate::ledger::event::{Event, HeldRender, Signature};
use crate::model::{AppName, AppSpec, CommitId, Digest, ObjectKey, Source, Timestamp};
use crate::replay::{Repo, World};
use crate::source::{self, Back, Followed, Made, Mirror, NewCommit};

/// How many objects are named that would differ.
const NAMED_MAX: usize = 20;

/// What a person wants in Git.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The application.
    pub app: AppName,
    /// What was in force of it.
    pub held: HeldRender,
    /// A new branch, by its full name; `None` = the branches that its sources follow.
    pub branch: Option<String>,
}

/// The commits that would say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitBack {
    /// One for each branch.
    pub commits: Vec<BackCommit>,
    /// What they do not put back, and why.
    pub unproven: Vec<String>,
    /// What they change of other applications.
    pub shared: Vec<String>,
    /// Branches that say it already, because greffier made the commit before.
    pub there: Vec<There>,
}

/// A commit that would be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackCommit {
    /// The repository, as Applications name it.
    pub repo: String,
    /// The same without a password.
    pub shown: String,
    /// The full name of the branch.
    pub branch: String,
    /// Whether the branch is made.
    pub creates: bool,
    /// Whether it is a branch of its own, which somebody has to merge.
    pub proposes: bool,
    /// The parent.
    pub parent: CommitId,
    /// The tree, and what differs.
    pub made: Made,
    /// The commit that each path is taken from, in the order of `made.paths`.
    pub then: Vec<CommitId>,
}

/// What is worked with, copied out of the world.
struct Known {
    spec: AppSpec,
    served: Served,
    repos: BTreeMap<String, Repo>,
    /// Other applications, with the commits of their sources.
    others: Vec<(AppName, AppSpec, Vec<Option<CommitId>>)>,
}

impl Known {
    fn of(world: &World, name: &AppName) -> Option<Self> {
        let state = world.apps.get(name)?;
        let repos = state.spec.sources.iter().filter_map(|source| {
            Some((source.repo.clone(), world.repos.get(&source.repo)?.clone()))
        });
        let repos: BTreeMap<String, Repo> = repos.collect();
        let shares = |spec: &AppSpec| spec.sources.iter().any(|s| repos.contains_key(&s.repo));
        let others = world.apps.iter().filter(|(other, app)| {
            *other != name && !app.removing && !app.spec.skip && shares(&app.spec)
        });
        let others = others
            .filter_map(|(other, app)| Some((other.clone(), app.spec.clone(), world.wanted(app)?)));
        let others = others.collect();
        Some(Self { spec: state.spec.clone(), served: Served::of(world), others, repos })
    }
}

/// Finds out what would be committed where, and what that comes to.
///
/// # Errors
/// See [`GitBackError`].
pub fn prepare(parts: &Parts, wish: &Wish) -> Result<GitBack, GitBackError> {
    let known = Known::of(&parts.read().world, &wish.app);
    let known = known.ok_or_else(|| GitBackError::UnknownApp(wish.app.to_string()))?;
    let then = definition(parts, wish)?.unwrap_or_else(|| known.spec.clone());
    let paired = pairs(&then, &known.spec);
    if paired.iter().all(Option::is_none) {
        return Err(GitBackError::NoSource);
    }
    let heads = fetched(parts, &known)?;
    let taken = taken(parts, &known, &then, wish)?;
    let targets = targets(parts, &known, (&then, &paired), &heads, (taken, wish))?;
    let mut found = GitBack::default();
    let mut commits: Vec<Option<CommitId>> = vec![None; known.spec.sources.len()];
    for target in targets {
        let (repo, branch, base) =
            (target.repo.clone(), target.branch.clone(), target.base.clone());
        let mirror = Mirror::open(&parts.mirrors, &repo)?;
        let of_branch = |source: &Source| {
            source.repo == repo
                && match target_of(&mirror, source, &heads) {
                    Ok((Followed::Branch(name), _)) => Some(name) == branch,
                    Ok((_, at)) => at == base,
                    Err(_) => false,
                }
        };
        let commit = match target.decide(parts, &mirror, &heads, wish)? {
            Decided::Nothing(at) => at,
            Decided::There(there) => {
                let at = there.commit.clone();
                found.there.push(there);
                at
            }
            Decided::Commit(commit, trial) => {
                let what = (&base, branch.as_deref().unwrap_or(&commit.branch));
                let other = Other { parts, known: &known, mirror: &mirror, branch: what.1 };
                found.shared.extend(other.shared((what.0, &trial), &commit.made));
                found.commits.push(*commit);
                trial
            }
        };
        for (index, source) in known.spec.sources.iter().enumerate() {
            if of_branch(source) {
                commits[index] = Some(commit.clone());
            }
        }
    }
    if found.commits.is_empty() && found.there.is_empty() {
        return Err(GitBackError::SameFiles);
    }
    found.unproven = prove(parts, &known, commits, &wish.held)?;
    if !found.unproven.is_empty() {
        found.unproven.extend(changed_definition(&then, &known.spec, &paired));
    }
    Ok(found)
}

/// The definition that was rendered then.
fn definition(parts: &Parts, wish: &Wish) -> Result<Option<AppSpec>, GitBackError> {
    let recorded = parts.ledger.get(wish.held.declared)?;
    let Some(Event::AppDeclared(body)) = recorded.and_then(|recorded| recorded.event.clone())
    else {
        return Ok(None);
    };
    let manifest = serde_json::from_slice(&body.manifest).ok();
    Ok(manifest.and_then(|manifest| AppSpec::parse(&manifest).ok()))
}

/// For each source of then, which one of now it is.
fn pairs(then: &AppSpec, now: &AppSpec) -> Vec<Option<usize>> {
    let same = |a: &Source, b: &Source| {
        (&a.repo, &a.path, a.lends_only, &a.lends) == (&b.repo, &b.path, b.lends_only, &b.lends)
    };
    let of = |source: &Source| now.sources.iter().position(|other| same(source, other));
    then.sources.iter().map(of).collect()
}

/// What is said of sources that are not what they were.
fn changed_definition(then: &AppSpec, now: &AppSpec, paired: &[Option<usize>]) -> Vec<String> {
    let hint = "a commit to the source does not change that: put it back where it is defined";
    let mut said = Vec::new();
    for (index, (source, pair)) in then.sources.iter().zip(paired).enumerate() {
        let name =
            format!("source {} ({}, {})", index + 1, source::redact(&source.repo), source.path);
        match pair.and_then(|pair| now.sources.get(pair)) {
            None => said.push(format!("{name} is not in the Application any more; {hint}")),
            Some(other) if other.tool != source.tool => {
                said.push(format!("{name} is rendered otherwise by the Application now; {hint}"));
            }
            Some(_) => {}
        }
    }
    let new = (0..now.sources.len()).filter(|index| !paired.contains(&Some(*index)));
    for source in new.filter_map(|index| now.sources.get(index)) {
        let (repo, path) = (source::redact(&source.repo), &source.path);
        said.push(format!("source {repo}, {path} was not in the Application then; {hint}"));
    }
    said
}

/// The refs of every repository as they are now.
type Heads = BTreeMap<String, BTreeMap<String, CommitId>>;

fn fetched(parts: &Parts, known: &Known) -> Result<Heads, GitBackError> {
    let mut heads = Heads::new();
    let repos: BTreeSet<&String> = known.spec.sources.iter().map(|source| &source.repo).collect();
    for repo in repos {
        let recorded = known.repos.get(repo).cloned().unwrap_or_default();
        heads.insert(repo.clone(), fetch(parts, repo, &recorded)?.1);
    }
    Ok(heads)
}

/// Fetches a repository; what has to be recorded of it is found again by whoever follows it.
pub(super) fn fetch(
    parts: &Parts,
    repo: &str,
    recorded: &Repo,
) -> Result<(Mirror, BTreeMap<String, CommitId>), source::Error> {
    let mirror = Mirror::open(&parts.mirrors, repo)?;
    let fetched = mirror.fetch(&recorded.refs, &recorded.gone, &AtomicBool::new(false))?;
    Ok((mirror, fetched.refs))
}

/// What the render of then read: the source and the path.
fn taken(
    parts: &Parts,
    known: &Known,
    then: &AppSpec,
    wish: &Wish,
) -> Result<Vec<(usize, String)>, GitBackError> {
    let commits: Vec<CommitId> =
        wish.held.revisions.iter().map(|revision| revision.commit.clone()).collect();
    if commits.len() != then.sources.len() {
        let text = "its sources are not those of the definition that is recorded";
        return Err(GitBackError::Unreadable(text.to_owned()));
    }
    let opened = Opened::open(&parts.mirrors, then, &commits);
    let opened = opened.map_err(|problem| GitBackError::Unreadable(problem.text))?;
    let mut reads = opened.reads(&known.served);
    reads.sort();
    reads.dedup();
    // What lies in another goes with it.
    let all = reads.clone();
    reads.retain(|(source, path)| {
        !all.iter().any(|(other, above)| other == source && above != path && is_inside(path, above))
    });
    Ok(reads)
}

fn is_inside(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path == folder
        || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The branch that a source follows, and where it is; of a tag or a commit that alone.
fn target_of(
    mirror: &Mirror,
    source: &Source,
    heads: &Heads,
) -> Result<(Followed, CommitId), GitBackError> {
    let followed = mirror.followed(&source.revision)?;
    let head = match &followed {
        Followed::Branch(name) => heads.get(&source.repo).and_then(|refs| refs.get(name)).cloned(),
        Followed::Tag(_) | Followed::Commit => None,
    };
    let at = match head {
        Some(head) => head,
        None => mirror.resolve(&source.revision)?,
    };
    Ok((followed, at))
}

fn targets(
    parts: &Parts,
    known: &Known,
    (then, paired): (&AppSpec, &[Option<usize>]),
    heads: &Heads,
    (taken, wish): (Vec<(usize, String)>, &Wish),
) -> Result<Vec<Target>, GitBackError> {
    let mut targets: Vec<Target> = Vec::new();
    for (index, path) in taken {
        let now = paired.get(index).copied().flatten().and_then(|now| known.spec.sources.get(now));
        let (Some(source), Some(revision)) = (now, wish.held.revisions.get(index)) else {
            continue;
        };
        debug_assert_eq!(then.sources[index].repo, source.repo);
        let mirror = Mirror::open(&parts.mirrors, &source.repo)?;
        let (followed, base) = target_of(&mirror, source, heads)?;
        let branch = match (followed, &wish.branch) {
            (Followed::Branch(name), _) => Some(name),
            (_, Some(_)) => None,
            (followed, None) => {
                let what = if followed == Followed::Commit { "commit" } else { "tag" };
                let (repo, revision) = (mirror.repo().to_owned(), source.revision.clone());
                return Err(GitBackError::NoBranch { repo, revision, what });
            }
        };
        let back = Back { path, then: revision.commit.clone() };
        let same_repo = |target: &&mut Target| target.repo == source.repo;
        if wish.branch.is_some()
            && targets
                .iter_mut()
                .find(same_repo)
                .is_some_and(|t| (&t.branch, &t.base) != (&branch, &base))
        {
            return Err(GitBackError::TwoBranches { repo: mirror.repo().to_owned() });
        }
        match targets.iter_mut().filter(same_repo).find(|target| target.branch == branch) {
            Some(target) => target.back.push(back),
            None => {
                let repo = source.repo.clone();
                targets.push(Target { repo, branch, base, back: vec![back] });
            }
        }
    }
    Ok(targets)
}

/// A commit that nobody sees, to be rendered.
fn trial_commit(mirror: &Mirror, made: &Made, base: &CommitId) -> Result<CommitId, source::Error> {
    let nobody = Signature {
        name: "greffier".to_owned(),
        email: "greffier".to_owned(),
        time: Timestamp::default(),
    };
    mirror.write_commit(&NewCommit {
        tree: made.tree.clone(),
        parent: base.clone(),
        author: nobody.clone(),
        committer: nobody,
        message: "a trial\n".to_owned(),
    })
}

/// In what the commits would render to something else than was in force then.
fn prove(
    parts: &Parts,
    known: &Known,
    commits: Vec<Option<CommitId>>,
    held: &HeldRender,
) -> Result<Vec<String>, GitBackError> {
    let mut all = Vec::with_capacity(commits.len());
    for (commit, source) in commits.into_iter().zip(&known.spec.sources) {
        all.push(match commit {
            Some(commit) => commit,
            None => Mirror::open(&parts.mirrors, &source.repo)?.resolve(&source.revision)?,
        });
    }
    let not = |problem: String| Ok(vec![format!("it would not render: {problem}")]);
    let opened = match Opened::open(&parts.mirrors, &known.spec, &all) {
        Ok(opened) => opened,
        Err(problem) => return not(problem.text),
    };
    match opened.digest(&known.served, &parts.tools) {
        // The same inputs are not rendered again: what was recorded then stands for them. What is
        // held may be other than that, where images are named by their digests.
        Ok(inputs) if inputs.all == held.inputs => {
            let recorded = parts.ledger.get(held.seq)?;
            let event = recorded.as_ref().and_then(|recorded| recorded.event.as_ref());
            if let Some(Event::RenderSucceeded(body)) = event {
                let new = body.objects.iter().map(|object| (&object.key, object.digest));
                let old = held.objects.iter().map(|object| (&object.key, object.digest));
                return Ok(differences(&old.collect(), &new.collect()));
            }
        }
        Ok(_) => {}
        Err(problem) => return not(problem.text),
    }
    let scratch = opened::scratch(parts, &known.spec);
    let rendered = match opened.render(&known.served, &parts.tools, &scratch) {
        Ok(rendered) => with_namespace(&known.spec, rendered.objects),
        Err(problem) => return not(problem.text),
    };
    let new = rendered.iter().map(|object| (&object.key, digest_of(parts, object)));
    let old = held.objects.iter().map(|object| (&object.key, object.digest));
    Ok(differences(&old.collect(), &new.collect()))
}

fn differences(
    old: &BTreeMap<&ObjectKey, Digest>,
    new: &BTreeMap<&ObjectKey, Digest>,
) -> Vec<String> {
    let keys: BTreeSet<&&ObjectKey> = old.keys().chain(new.keys()).collect();
    let said = keys.into_iter().filter_map(|key| match (old.get(*key), new.get(*key)) {
        (Some(was), Some(is)) if was == is => None,
        (Some(_), Some(_)) => Some(format!("{key} would be another than was in force then")),
        (Some(_), None) => Some(format!("{key} would not be there")),
        (None, _) => Some(format!("{key} would be there, and was not then")),
    });
    let mut said: Vec<String> = said.collect();
    let more = said.len().saturating_sub(NAMED_MAX);
    said.truncate(NAMED_MAX);
    if more > 0 {
        said.push(format!("and {more} more objects"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::testing::key;

    #[test]
    fn what_would_differ_is_named_and_what_is_the_same_is_not() {
        let (a, b, c) = (key("ConfigMap/prod/a"), key("ConfigMap/prod/b"), key("ConfigMap/prod/c"));
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let then = BTreeMap::from([(&a, one), (&b, one)]);
        assert!(differences(&then, &then).is_empty());
        let said = differences(&then, &BTreeMap::from([(&a, two), (&c, one)]));
        let expected = [
            "ConfigMap/prod/a would be another than was in force then",
            "ConfigMap/prod/b would not be there",
            "ConfigMap/prod/c would be there, and was not then",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_folder_holds_what_is_below_it_and_not_its_neighbours() {
        assert!(is_inside("web/a.yaml", "web") && is_inside("web", "web") && is_inside("x", ""));
        assert!(!is_inside("website/a.yaml", "web") && !is_inside("web", "web/a"));
    }
}
