//! Answers without a daemon: the ledger's files are folded here. Nothing is locked or written.

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::{self, Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::asker::Newest;
use super::error::{Error, Exit};
use super::named;
use super::report::ReportOf;
use crate::config::Config;
use crate::http::{self, Fresh, dto};
use crate::ledger::{self, Archive};
use crate::model::{Instant, ObjectKey, Seq, Timestamp};
use crate::plan::{Compared, Limits};
use crate::query::between::{self, Of};
use crate::query::blame::{self, Blame};
use crate::query::coverage::Scope;
use crate::query::instant::{self, About, At};
use crate::query::planned::{self, Planned};
use crate::query::recovery::{Asked, gather};
use crate::query::unattributed::unattributed;
use crate::query::{
    self, AsOf, Book, ResourceFilter, cluster, desired, past, people, report, search, why,
};
use crate::render::{Sandbox, Tools};
use crate::replay::World;
use crate::source;

/// What to do about a ledger that is damaged before its end.
pub(super) const NO_START: &str = "the daemon does not start on it: bring back the newest copy that is whole, or make one of \
     what can be read: greffier ledger salvage --plan";
/// What becomes of files whose end is missing.
pub(super) const SHORTENED: &str = "bring the newest whole copy back; without one the daemon starts all the same: it records \
     that events are lost, and is frozen until you have looked";
/// What to do where there is no copy.
pub(super) const SALVAGE: &str =
    "without a copy, make a ledger of what can be read: greffier ledger salvage --plan";
/// Set once damage was told. A process reads one ledger.
static DAMAGE: OnceLock<()> = OnceLock::new();
/// How many events are read at a time.
const CHUNK_EVENTS: u64 = 4_096;
/// How many rows of a report are told at a time.
const REPORT_ROWS: usize = 500;
/// After how long progress is shown.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// The ledger's files, and the world that they fold to.
pub(super) struct Files {
    archive: Archive,
    /// The instant that is asked about, where it is not now, and how it is told.
    at: Option<(At, dto::Instant)>,
    about: About,
    world: World,
    compared: Compared,
    limits: Limits,
    sandbox: Sandbox,
    mirrors: source::Options,
    /// The sources of audit records that are configured.
    audited: Vec<String>,
}

/// Opens the ledger's files for reading. Without the key, Secrets stay sealed.
pub(super) fn open(config: &Config) -> Result<Archive, Error> {
    let key = config.key_file.is_file().then_some(config.key_file.as_path());
    let archive = Archive::open(&config.ledger_dir(), key)?;
    if let Some(damage) = archive.damage()
        && DAMAGE.set(()).is_ok()
    {
        tell_of(&damage, &archive);
    }
    Ok(archive)
}

/// Whether the ledger that was read is damaged: an answer from what stands before that is none
/// that a script may take for whole.
pub(super) fn met_damage() -> bool {
    DAMAGE.get().is_some()
}

/// Not silenced by `--quiet`: every answer is wrong without it.
fn tell_of(damage: &ledger::Error, archive: &Archive) {
    let head = archive.head();
    let shown = Error::new(Exit::Ledger, "the ledger is DAMAGED").because(damage);
    let shown = shown
        .hint(format!("answers end with event #{head}: nothing that was recorded later is in them"))
        .hint(if archive.shortened().is_some() { SHORTENED } else { NO_START });
    let _ = anstream::stderr().write_all(shown.render().as_bytes());
}

impl Files {
    /// Whether there is room for a daemon to open the ledger.
    pub(super) fn room(&self, reserve: u64) -> Result<(), ledger::Error> {
        self.archive.room(reserve)
    }

    /// Opens, and folds up to the instant.
    pub(super) fn open(
        config: &Config,
        quiet: bool,
        at: Option<&Instant>,
        about: &About,
    ) -> Result<Self, Error> {
        let archive = open(config)?;
        let mut about = about.clone();
        let at = match at {
            None => None,
            Some(at) => {
                if about.object.is_some() && named::is_about(at) {
                    let now = fold(&archive, archive.head(), quiet)?;
                    about = named::whole(&about, &now, &archive);
                }
                let found = instant::resolve(&archive, at, &about, Timestamp::now())?;
                let scope = about.object.clone().map_or(Scope::All, Scope::Object);
                let told = http::instant_dto(&archive, &found, &scope)?;
                Some((found, told))
            }
        };
        let last = at.as_ref().map_or(archive.head(), |(at, _)| at.seq);
        let world = fold(&archive, last, quiet)?;
        let limits = query::limits(&config.gate);
        let sandbox = Tools::configured(&config.tools).sandbox;
        let mirrors = source::Options::new(config.mirrors_dir());
        let (compared, audited) = (Compared::new(), config.audit.sources());
        Ok(Self { archive, at, about, world, compared, limits, sandbox, mirrors, audited })
    }

    /// The last event that answers know of.
    pub(super) fn last(&self) -> Seq {
        self.world.seq
    }

    /// The instant that is asked about, where it is not now.
    pub(super) fn instant(&self) -> Option<&dto::Instant> {
        self.at.as_ref().map(|(_, told)| told)
    }

    /// The world that answers are about, and all that is recorded.
    pub(super) fn known(&self) -> (&World, &Archive) {
        (&self.world, &self.archive)
    }

    /// The ledger as far as answers know it.
    fn book(&self) -> AsOf<'_> {
        AsOf::new(&self.archive, self.world.seq)
    }

    pub(super) fn status(&self) -> Result<dto::Status, Error> {
        let views = query::apps(&self.world, &self.compared, &self.limits);
        let mut status = http::status_dto(&self.world, &views);
        status.ledger.id = self.archive.ledger_id().to_string();
        status.as_of = self.instant().cloned();
        if status.as_of.is_none() {
            status.audit.retain(|audit| self.audited.contains(&audit.source));
        }
        let status = http::with_actors(status, |seq| {
            let found = self.archive.get(Seq(seq)).ok().flatten();
            found.map(|recorded| recorded.actor.to_string()).unwrap_or_default()
        });
        Ok(http::completed(status, &self.book())?)
    }

    pub(super) fn apps(&self) -> Vec<dto::App> {
        let views = query::apps(&self.world, &self.compared, &self.limits);
        views.iter().map(|view| http::app_dto(&self.world, view)).collect()
    }

    fn view(&self, name: &str) -> Result<query::AppView<'_>, Error> {
        query::app(&self.world, &self.compared, &self.limits, name).map_err(|error| unknown(&error))
    }

    pub(super) fn app(&self, name: &str) -> Result<dto::App, Error> {
        Ok(http::app_dto(&self.world, &self.view(name)?))
    }

    pub(super) fn resources(&self, filter: ResourceFilter) -> Result<Vec<dto::Resource>, Error> {
        if let Some(app) = &filter.app {
            self.view(app)?;
        }
        let views = query::apps(&self.world, &self.compared, &self.limits);
        let found = query::resources(&self.world, &views, &filter);
        Ok(found.iter().map(http::resource_dto).collect())
    }

    pub(super) fn tree(&self, name: &str) -> Result<dto::Node, Error> {
        let view = self.view(name)?;
        Ok(http::tree_dto(&query::tree(&self.world, &self.compared, &self.limits, &view)))
    }

    pub(super) fn diff(&self, name: &str) -> Result<dto::Diff, Error> {
        let view = self.view(name)?;
        let commit = view.app.commit().map(ToString::to_string).unwrap_or_default();
        let diff = query::diff::gather(&self.world, &view).read(&self.book(), &self.sandbox)?;
        Ok(http::diff_dto(name, commit, diff))
    }

    pub(super) fn why(
        &self,
        subject: &str,
        namespace: Option<&str>,
        field: Option<&str>,
    ) -> Result<why::Why, Error> {
        let answer = || -> Result<why::Why, why::Error> {
            let named = why::Subject::parse(subject, namespace)?;
            let gathered = why::gather(&self.world, &self.compared, &self.limits, &named)?;
            let pending = gathered.with_field(&self.world, &named, field)?;
            pending.read(&self.book(), &self.mirrors)
        };
        answer().map_err(|error| match error {
            why::Error::Subject(error) => error.into(),
            why::Error::Ledger(error) | why::Error::Field(blame::Error::Ledger(error)) => {
                error.into()
            }
            why::Error::Field(error) => Error::usage(error.to_string()).hint(error.hint()),
        })
    }

    pub(super) fn blame(
        &self,
        subject: &str,
        namespace: Option<&str>,
        field: Option<&str>,
    ) -> Result<Blame, Error> {
        let named = why::Subject::parse(subject, namespace).map_err(blame::Error::from);
        let gathered = named.and_then(|named| blame::gather(&self.world, &named, field));
        gathered.and_then(|pending| pending.read(&self.book(), &self.mirrors)).map_err(|error| {
            match error {
                blame::Error::Ledger(error) => error.into(),
                error => Error::usage(error.to_string()).hint(error.hint()),
            }
        })
    }

    pub(super) fn plan(&self, names: &[String]) -> Result<Vec<Planned>, Error> {
        let gathered = planned::gather(&self.world, &self.compared, &self.limits, names);
        Ok(gathered.map_err(|error| unknown(&error))?.read(&self.book())?)
    }

    pub(super) fn recovery(&self, asked: &Asked) -> Result<dto::Recovery, Error> {
        let pending = gather(&self.world, asked).map_err(|error| unknown(&error))?;
        let has = |addr| self.archive.has_blob(addr);
        Ok(http::recovery_dto(pending, Fresh::of(&self.world), &self.book(), has)?)
    }

    pub(super) fn desired(&self, name: &str) -> Result<dto::Rendered, Error> {
        let desired = desired::desired(&self.world, &self.view(name)?).read(&self.book())?;
        Ok(http::rendered_dto(name.to_owned(), desired))
    }

    pub(super) fn object_at(
        &self,
        key: &ObjectKey,
        known: Option<&Instant>,
    ) -> Result<dto::ObjectAt, Error> {
        let now = Timestamp::now();
        let known = known
            .map(|known| instant::resolve(&self.archive, known, &self.about, now))
            .transpose()?;
        let at = self.at.as_ref().map(|(at, _)| at).or(known.as_ref());
        let at = at.ok_or_else(|| Error::usage("say when: --at, or --as-known-at"))?;
        let last = known.as_ref().map_or(self.archive.head(), |known| known.seq);
        Ok(http::object_dto(&AsOf::new(&self.archive, last), key, at)?)
    }

    pub(super) fn marks(&self) -> Result<Vec<dto::Mark>, Error> {
        Ok(http::marks_dto(&self.archive)?)
    }

    pub(super) fn cluster(&self) -> cluster::Known {
        cluster::known(&self.world)
    }

    pub(super) fn people(&self) -> Vec<people::Person> {
        people::listed(&self.world.people)
    }

    pub(super) fn coverage(
        &self,
        about: &About,
        span: (&Instant, &Instant),
    ) -> Result<Vec<dto::Unwatched>, Error> {
        let last = self.at.as_ref().map(|(at, _)| at.seq);
        Ok(http::coverage_dto(&self.archive, about, span, last, Timestamp::now())?)
    }

    pub(super) fn report_head(&self, of: &ReportOf) -> Result<dto::ReportHead, Error> {
        let book = self.book();
        let span = report::span(&book, &of.from, &of.to, of.app.as_ref(), Timestamp::now())?;
        Ok(dto::ReportHead {
            ledger: self.archive.ledger_id().to_string(),
            app: of.app.as_ref().map(ToString::to_string).unwrap_or_default(),
            namespace: of.namespace.clone(),
            ..http::report_head_dto(&book, &span)?
        })
    }

    pub(super) fn report_page(
        &self,
        head: &dto::ReportHead,
        after: u64,
    ) -> Result<report::Page, Error> {
        let app = (!head.app.is_empty()).then(|| head.app.parse()).transpose();
        let app = app.map_err(|error| Error::usage(format!("{error}")))?;
        let asked = report::Asked {
            book: &self.book(),
            people: &self.world.people,
            app: app.as_ref(),
            namespace: (!head.namespace.is_empty()).then_some(head.namespace.as_str()),
        };
        Ok(report::page(&asked, Seq(after), Seq(head.last), REPORT_ROWS)?)
    }

    pub(super) fn newest(
        &self,
        mut filter: search::Filter,
        bounds: (Option<Instant>, Option<Instant>),
        limit: usize,
        patch: bool,
    ) -> Result<Newest, Error> {
        let book = self.book();
        instant::bound(&book, &mut filter, bounds, Timestamp::now())?;
        filter.people.clone_from(&self.world.people);
        let unknown = filter.name_kind(&self.world);
        // What waited when the daemon stopped waits on when it starts again.
        let unattributed = match self.audited.is_empty() {
            false => unattributed(&book, &filter, self.world.now)?,
            true => None,
        };
        let found = search::newest(&book, &filter, limit)?;
        if let Some(unknown) = unknown.filter(|_| found.is_empty())
            && !filter.has_kind(&book)?
        {
            return Err(unknown.into());
        }
        let rows = found.into_iter().map(|found| {
            let row = http::row(&found.recorded, found.described, true);
            if patch { http::patched(&book, &found.recorded, row) } else { row }
        });
        Ok((rows.collect(), self.last().0, unattributed))
    }

    pub(super) fn between(
        &self,
        of: &Of,
        from: &Instant,
        to: &Instant,
    ) -> Result<dto::Between, Error> {
        let (about, scope) = http::about_of(of);
        let now = Timestamp::now();
        let from = instant::resolve(&self.archive, from, &about, now)?;
        let to = instant::resolve(&self.archive, to, &about, now)?;
        if from.seq > to.seq {
            let (a, b) = (from.seq, to.seq);
            return Err(Error::usage(format!("event #{a} comes after event #{b}"))
                .hint("--from is the earlier of the two"));
        }
        let range = (from.seq, to.seq);
        let asked: (&dyn Book, _) = (&self.archive, self.world.people.as_slice());
        let found = match of {
            Of::Object(key) => between::object(asked, key, range)?.into_iter().collect(),
            _ => {
                let first = fold(&self.archive, from.seq, true)?;
                let last = fold(&self.archive, to.seq, true)?;
                if let Of::App(name) = of
                    && !first.apps.contains_key(name)
                {
                    let compared = Compared::new();
                    let view = query::app(&last, &compared, &self.limits, name.as_str());
                    view.map_err(|error| unknown(&error))?;
                }
                let (first, last) = (between::inventory(&first, of), between::inventory(&last, of));
                between::compare(asked, (&first, &last), range)?
            }
        };
        Ok(http::between_dto(&self.archive, &from, &to, &scope, found)?)
    }

    pub(super) fn two(&self, app: &str, other: &str) -> Result<dto::Diff, Error> {
        let wanted = |name: &str| {
            let pending = desired::desired(&self.world, &self.view(name)?);
            Ok::<_, Error>(pending.read(&self.book())?)
        };
        let (first, second) = (wanted(app)?, wanted(other)?);
        Ok(http::diff_dto(app, other.to_owned(), desired::two(&first, &second, false)))
    }

    pub(super) fn event(&self, seq: Seq, known: Option<&Instant>) -> Result<dto::Event, Error> {
        let (now, about) = (Timestamp::now(), About::default());
        let known =
            known.map(|known| instant::resolve(&self.archive, known, &about, now)).transpose()?;
        let as_of = known.as_ref().or(self.at.as_ref().map(|(at, _)| at)).map(|at| at.seq);
        let recorded = self.archive.get(seq)?.ok_or_else(|| {
            let head = self.archive.head();
            Error::usage(format!("there is no event {seq}; the last one is {head}"))
        })?;
        if let Some(as_of) = as_of.filter(|as_of| *as_of < seq) {
            return Err(Error::usage(http::not_yet(seq, as_of)));
        }
        let row = http::event(&self.archive, &recorded, as_of)?;
        Ok(http::patched(&self.archive, &recorded, row))
    }
}

pub(super) fn unknown(error: &query::UnknownApp) -> Error {
    let hint = match error.near.as_slice() {
        [] => "`greffier get apps` lists them".to_owned(),
        near => format!("did you mean {}?", near.join(", ")),
    };
    Error::usage(error.to_string()).hint(hint)
}

pub(super) fn fold(archive: &Archive, head: Seq, quiet: bool) -> Result<World, Error> {
    let begun = time::Instant::now();
    let may_show = !quiet && std::io::stderr().is_terminal();
    let mut bar: Option<ProgressBar> = None;
    let mut world = World::default();
    while world.seq < head {
        let to = Seq((world.seq.0 + CHUNK_EVENTS).min(head.0));
        let events = Book::range(archive, world.seq.next(), to)?;
        if events.is_empty() {
            let text = format!("the ledger ends at event {}, not at {head}", world.seq);
            return Err(Error::new(Exit::Ledger, text).hint("run `greffier ledger verify`"));
        }
        for recorded in events {
            past::fold(&mut world, &recorded);
        }
        if may_show && begun.elapsed() > PROGRESS_AFTER {
            bar.get_or_insert_with(|| progress(head)).set_position(world.seq.0);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(world)
}

fn progress(head: Seq) -> ProgressBar {
    let style =
        ProgressStyle::with_template("reading the ledger {bar:30} {pos}/{len} events, {eta} left");
    let bar = ProgressBar::new(head.0);
    // The template is a constant; were it wrong, the default style would do.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
