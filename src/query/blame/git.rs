//! Which commit a field's value comes from.
//!
//! What greffier applied is recorded: each write names its manifest, and its intent the render
//! that the manifest is from. Folding the manifests as the versions of an object are folded tells
//! with which one a field got the value that it is wanted to have; the commit of that render is
//! the answer, and not the one that was in force when a drift was put back. What the ledger does
//! not say (which of several commits between two renders, which file behind a kustomization) is
//! said to be unknown. The line is looked up in the mirror, where the file itself was the manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::book::{Book, read};
use super::super::images::pinned_as;
use super::super::signer::Signer;
use super::super::text::first_line;
use super::Error;
use super::commits::{self, Brought, Made, committed};
use super::fields::at;
use super::mirrored::Mirrored;
use super::parts::{Known, parts};
use super::schema::Schema;
use super::state::State;
use super::stored::Stored;
use super::versions::{Life, Own};
use crate::cluster::project::Step;
use crate::ledger::event::{Event, RenderSucceededV1};
use crate::ledger::{self, Recorded};
use crate::model::{BlobAddr, CommitId, ObjectKey, Seq};
use crate::render::{LineStep, Lines};

/// How long the subject of a commit may be, in characters.
const SUBJECT_CHARS_MAX: usize = 100;

/// The commit that a field's value comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromGit {
    /// The repository; empty when the render is not in the ledger.
    pub repo: String,
    /// The commit; empty where no commit did it.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it, as it states.
    pub author: String,
    /// Who committed it, as it states.
    pub committer: String,
    /// When it was committed, as it states.
    pub time: String,
    /// Who signed it, in words; empty where there is no commit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signer: String,
    /// The file that the object comes from; empty when it is unknown.
    pub file: String,
    /// The line of the field in it, at the commit (or, where no commit did it, as it was rendered).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is not known about it, or else to be said; empty when nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The manifests that greffier applied, folded.
pub(super) struct Desired<'b> {
    book: &'b dyn Book,
    key: &'b ObjectKey,
    schema: &'b Schema,
    /// The writes that brought another manifest, in order.
    writes: Vec<&'b Own>,
    state: State,
    /// The last manifest that could be read.
    last: Value,
    /// Why manifests could not be read; empty when they could.
    sealed: String,
    /// By the number of the write.
    known: BTreeMap<usize, Commit>,
    mirrored: &'b dyn Mirrored,
    /// Documents by commit, file and line; `None` = they cannot be had here.
    documents: BTreeMap<(String, String, u64), Option<Lines>>,
}

/// A commit that a manifest comes from, and where in it the manifest stands.
#[derive(Debug, Clone, Default)]
struct Commit {
    from: FromGit,
    /// The commit at which the file is as it was rendered.
    at: Option<CommitId>,
    /// The line where the document begins.
    document: Option<u64>,
    /// The items of lists of objects that lead to the object.
    items: Vec<usize>,
}

/// The render that a manifest is from.
struct Rendered {
    recorded: Arc<Recorded>,
}

impl Rendered {
    fn body(&self) -> Option<&RenderSucceededV1> {
        match &self.recorded.event {
            Some(Event::RenderSucceeded(body)) => Some(body),
            _ => None,
        }
    }
}

impl<'b> Desired<'b> {
    /// Reads and folds the manifests of every write that made a version.
    pub(super) fn read(
        book: &'b dyn Book,
        key: &'b ObjectKey,
        schema: &'b Schema,
        lives: &'b [Life],
        mirrored: &'b dyn Mirrored,
    ) -> Result<Self, Error> {
        let own = lives.iter().flat_map(|life| &life.versions).filter_map(|v| v.own.as_ref());
        let mut writes: Vec<(&Own, BlobAddr)> =
            own.filter_map(|own| Some((own, own.write.manifest?))).collect();
        writes.dedup_by_key(|(_, manifest)| *manifest);
        let mut desired = Self {
            book,
            key,
            schema,
            writes: Vec::new(),
            state: State::default(),
            last: Value::Null,
            sealed: String::new(),
            known: BTreeMap::new(),
            mirrored,
            documents: BTreeMap::new(),
        };
        let (mut known, mut last) = (Known::default(), None::<(Stored, BlobAddr)>);
        for (own, addr) in writes {
            let bytes = match book.blob(addr) {
                Ok(bytes) => bytes,
                Err(error @ (ledger::Error::Sealed(_) | ledger::Error::NoBlob(_))) => {
                    desired.sealed = error.to_string();
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let number = desired.writes.len();
            let now = Stored::plain(Arc::clone(&bytes));
            match &last {
                None => desired.state.begin(schema, number, &read(addr, &bytes)?),
                Some((was, _)) => {
                    let found = parts(schema, &mut known, was, &now);
                    let found = found.map_err(|source| unreadable(addr, source))?;
                    desired.state.go_on_in(schema, number, &found);
                }
            }
            desired.writes.push(own);
            last = Some((now, addr));
        }
        if let Some((last, addr)) = last {
            desired.last = read(addr, last.bytes(last.object()))?;
        }
        Ok(desired)
    }

    /// Where the value at `place` comes from, which the write `own` applied; `live` is the value.
    pub(super) fn origin(
        &mut self,
        own: &Own,
        place: &[String],
        live: &Value,
    ) -> Result<FromGit, Error> {
        let unknown = |note: &str| FromGit { note: note.to_owned(), ..FromGit::default() };
        if !self.sealed.is_empty() {
            return Ok(unknown(&format!("commit unknown: {}", self.sealed)));
        }
        let Some(place) = self.place(place) else {
            return Ok(unknown(
                "not in the manifest: a default, greffier's own mark, or admission",
            ));
        };
        let wanted = at(self.schema, &self.last, &place);
        if !own.write.holds.is_empty() && wanted.is_some_and(|wanted| wanted != live) {
            let holds: Vec<String> = own.write.holds.iter().map(|seq| format!("#{seq}")).collect();
            return Ok(unknown(&format!("kept against Git by the hold {}", holds.join(", "))));
        }
        let Some(entry) = self.state.entries.get(&place) else {
            return Ok(unknown("commit unknown: the manifest says it in another form"));
        };
        let since = entry.since;
        if let Some(note) = self.pinned(since, live)? {
            return Ok(unknown(&note));
        }
        let commit = match self.known.get(&since) {
            Some(known) => known.clone(),
            None => self.commit(since)?,
        };
        self.known.insert(since, commit.clone());
        Ok(self.with_line(commit, &place))
    }

    /// Adds the line of the field, where the file is at hand and has it.
    fn with_line(&mut self, commit: Commit, place: &[String]) -> FromGit {
        let Commit { mut from, at, document, items } = commit;
        let (Some(at), Some(document)) = (at, document) else { return from };
        let lines = self.documents.entry((at.to_string(), from.file.clone(), document));
        let lines = lines.or_insert_with(|| {
            let bytes = self.mirrored.file(&from.repo, &at, &from.file)?;
            Lines::read(&bytes, document)
        });
        let list = items
            .into_iter()
            .flat_map(|item| [LineStep::Field("items".to_owned()), LineStep::Item(item)]);
        let steps = place.iter().map(|edge| line_step(edge)).collect::<Option<Vec<_>>>();
        let steps = steps.map(|steps| list.chain(steps).collect::<Vec<_>>());
        from.line = lines.as_ref().zip(steps).and_then(|(lines, steps)| lines.of(&steps));
        if from.line.is_none() {
            let note = format!("line unknown; the object begins on line {document}");
            from.note = if from.note.is_empty() { note } else { format!("{}; {note}", from.note) };
        }
        from
    }

    /// Where the manifest has what is live at `place`: nearly always there.
    fn place(&self, place: &[String]) -> Option<Vec<String>> {
        let there = |place: &[String]| at(self.schema, &self.last, place).is_some();
        if there(place) {
            return Some(place.to_vec());
        }
        // What a manifest says as text, the API server has encoded.
        let data = place.first().is_some_and(|edge| self.key.is_secret() && edge == "f:data");
        let text: Vec<String> = std::iter::once("f:stringData".to_owned())
            .chain(place.iter().skip(1).cloned())
            .collect();
        (data && there(&text)).then_some(text)
    }

    /// The commit that brought the manifest of a write.
    fn commit(&self, number: usize) -> Result<Commit, Error> {
        let Some(own) = self.writes.get(number) else { return Ok(Commit::default()) };
        let before = number.checked_sub(1).and_then(|before| self.writes.get(before));
        let rendered = self.rendered(own)?;
        let Some(body) = rendered.as_ref().and_then(Rendered::body) else {
            let commit = own.commit.clone();
            let mut from = self.described(commit.as_ref(), "")?;
            from.note = "the render is not in the ledger; file unknown".to_owned();
            return Ok(Commit { from, ..Commit::default() });
        };
        let former = before.map(|before| self.rendered(before)).transpose()?.flatten();
        let former = former.as_ref().and_then(Rendered::body);
        let (file, document, items, about_file) = self.file(body);
        let mut brought = match (self.held(own)?, former) {
            (Some(hold), _) => Brought {
                notes: vec![format!("no commit: hold #{hold} brought it back")],
                ..Brought::default()
            },
            (None, Some(former)) => {
                commits::brought(self.book, (Made::of(former), Made::of(body)), &[], &file)?
            }
            (None, None) => Brought {
                repo: body.revision.repo.clone(),
                // Of several sources the first is one among others.
                commit: (body.revisions.len() <= 1).then(|| body.revision.commit.clone()),
                notes: vec!["as old as the first render, or older".to_owned()],
            },
        };
        brought.notes.extend(about_file);
        let Brought { repo, commit, notes } = brought;
        let repo = if repo.is_empty() { &body.revision.repo } else { &repo };
        let mut from = self.described(commit.as_ref(), repo)?;
        (from.file, from.note) = (file, notes.join("; "));
        let at = commit.unwrap_or_else(|| body.revision.commit.clone());
        Ok(Commit { from, at: Some(at), document, items })
    }

    fn rendered(&self, own: &Own) -> Result<Option<Rendered>, Error> {
        for seq in &own.causes {
            let recorded = self.book.get(*seq)?.map(|recorded| Rendered { recorded });
            if let Some(rendered) = recorded.filter(|rendered| rendered.body().is_some()) {
                return Ok(Some(rendered));
            }
        }
        Ok(None)
    }

    /// The hold of the application that a write was made for.
    fn held(&self, own: &Own) -> Result<Option<Seq>, Error> {
        for seq in &own.causes {
            let cause = self.book.get(*seq)?;
            if cause.is_some_and(|cause| matches!(cause.event, Some(Event::AppHeld(_)))) {
                return Ok(Some(*seq));
            }
        }
        Ok(None)
    }

    /// That the value is an image by the digest which a hold put in the place of its tag.
    fn pinned(&self, number: usize, live: &Value) -> Result<Option<String>, Error> {
        let (Some(own), Some(live)) = (self.writes.get(number), live.as_str()) else {
            return Ok(None);
        };
        for seq in &own.causes {
            let cause = self.book.get(*seq)?;
            if let Some(Event::AppHeld(body)) =
                cause.as_ref().and_then(|cause| cause.event.as_ref())
                && let Some(image) = pinned_as(&body.images, self.key, live)
            {
                let (image, to) = (&image.image, body.to.0);
                return Ok(Some(format!(
                    "not in Git: hold #{seq} names {image} by what its pods ran as of #{to}"
                )));
            }
        }
        Ok(None)
    }

    /// The file that the render has the object from, the line where its document begins, the items
    /// of lists of objects that lead to it, and what is not known of it.
    fn file(&self, body: &RenderSucceededV1) -> (String, Option<u64>, Vec<usize>, Option<String>) {
        let object = body.objects.iter().find(|object| object.key == *self.key);
        let origin = object.map_or("", |object| object.origin.as_str());
        let unknown = |note: String| (String::new(), None, Vec::new(), Some(note));
        if origin.is_empty() {
            return unknown("file unknown".to_owned());
        }
        let (file, items) = split_origin(origin);
        if body.tool.starts_with("kustomize") {
            return unknown(format!("file unknown: built by {file}"));
        }
        // Every source may be a repository of its own, and the origin does not say which.
        if body.revisions.len() > 1 {
            return (file.to_owned(), None, items, Some("of one of several sources".to_owned()));
        }
        match file.rsplit_once(':') {
            Some((file, line)) if line.parse::<u64>().is_ok() => {
                (file.to_owned(), line.parse().ok(), items, None)
            }
            _ => (file.to_owned(), None, items, Some("a template; line unknown".to_owned())),
        }
    }

    fn described(&self, commit: Option<&CommitId>, repo: &str) -> Result<FromGit, Error> {
        let mut found = FromGit { repo: repo.to_owned(), ..FromGit::default() };
        let Some(commit) = commit else { return Ok(found) };
        found.commit = commit.to_string();
        if let Some(Event::CommitRecorded(body)) =
            committed(self.book, commit)?.as_deref().and_then(|recorded| recorded.event.as_ref())
        {
            found.subject = first_line(&body.message, SUBJECT_CHARS_MAX);
            found.author = format!("{} <{}>", body.author.name, body.author.email);
            found.committer = format!("{} <{}>", body.committer.name, body.committer.email);
            found.time = body.committer.time.to_string();
            found.signer = Signer::of(body.signature.as_ref()).text();
        }
        Ok(found)
    }
}

fn unreadable(addr: BlobAddr, source: serde_json::Error) -> Error {
    ledger::Error::Unreadable { addr, source: Arc::new(source) }.into()
}

/// An origin without the items of lists of objects that lead to the object: `a.yaml:3 (item 2)`.
fn split_origin(origin: &str) -> (&str, Vec<usize>) {
    let mut parts = origin.split(" (");
    let file = parts.next().unwrap_or_default();
    let item = |part: &str| {
        let number = part.strip_prefix("item ")?.strip_suffix(')')?.parse::<usize>().ok()?;
        number.checked_sub(1)
    };
    (file, parts.filter_map(item).collect())
}

/// A step to a line; scalars as they are written plainly.
fn line_step(edge: &str) -> Option<LineStep> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(match Step::parse(edge)? {
        Step::Field(name) => LineStep::Field(name.to_owned()),
        Step::Key(keys) => {
            LineStep::Keys(keys.iter().map(|(name, key)| (name.clone(), text(key))).collect())
        }
        Step::Member(member) => LineStep::Member(text(&member)),
        Step::Index(index) => LineStep::Item(index),
        // The order has no line of its own.
        Step::Order => return None,
    })
}
