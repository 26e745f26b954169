//! Who answers: the daemon if there is one, else the ledger's files.

use std::time::Duration;

use super::args::Global;
use super::error::{Error, Exit};
use super::files::Files;
use super::report::ReportOf;
use super::{at, output::say, people as persons};
use crate::config::{Config, Loaded};
use crate::http::{Client, ClientError, dto, query_string};
use crate::model::{AppName, Instant, ObjectKey, Seq, Timestamp};
use crate::query::ResourceFilter;
use crate::query::between::Of;
use crate::query::blame::Blame;
use crate::query::instant::About;
use crate::query::people::{Party, Person};
use crate::query::planned::Planned;
use crate::query::recovery::Asked;
use crate::query::report::Page;
use crate::query::search::Filter;
use crate::query::unattributed::Unattributed;
use crate::query::why::Why;

/// How long the daemon may take to answer when nobody says.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How many rows are asked for at a time.
const PAGE_ROWS: usize = 5_000;

/// What every verb has.
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) loaded: Loaded,
}

impl Context {
    pub(super) fn config(&self) -> &Config {
        &self.loaded.config
    }

    pub(super) fn client(&self) -> Client {
        let wait = self.global.timeout.map_or(ANSWER_WAIT, Into::into);
        Client::new(&self.config().socket, wait)
    }

    /// A daemon, for verbs that change something.
    pub(super) async fn daemon(&self) -> Result<Client, Error> {
        let client = self.client();
        client.probe().await?;
        Ok(client)
    }

    /// Whoever can answer a question that is about nothing in particular.
    pub(super) async fn asker(&self) -> Result<Asker, Error> {
        self.asker_about(About::default()).await
    }

    /// Whoever can answer a question about this, as of the instant that was given.
    pub(super) async fn asker_about(&self, about: About) -> Result<Asker, Error> {
        let at = self.global.at.as_deref().map(at::parse).transpose()?.map(Instant::or_end);
        let client = self.client();
        let unreachable = match client.probe().await {
            Ok(()) => {
                let at = match at {
                    Some(at) => self.instant(&client, &at, &about).await?,
                    None => At::default(),
                };
                return Ok(Asker::Daemon(client, at));
            }
            Err(error @ ClientError::Unreachable { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        if !self.config().ledger_dir().is_dir() {
            let dir = self.config().ledger_dir();
            let error: Error = unreachable.into();
            return Err(
                error.hint(format!("there is no ledger to read in {} either", dir.display()))
            );
        }
        let files = Files::open(self.config(), self.global.quiet, at.as_ref(), &about)?;
        if !self.global.quiet {
            let head = files.last();
            say(&format!(
                "note: no daemon is running: read from the ledger's files, as of event {head}"
            ));
            if let Err(error) = files.room(self.config().ledger.free_bytes_reserve) {
                say(&format!(
                    "note: a daemon that is started is read-only, or waits for room: {error}"
                ));
            }
        }
        if let Some(at) = files.instant().filter(|_| !self.global.quiet) {
            at::tell(at);
        }
        Ok(Asker::Files(Box::new(files)))
    }

    /// Has the daemon find an instant, and says which it is.
    async fn instant(&self, client: &Client, at: &Instant, about: &About) -> Result<At, Error> {
        let given = at.to_string();
        let app = about.app.as_ref().map(ToString::to_string).unwrap_or_default();
        let object = about.object.as_ref().map(ToString::to_string).unwrap_or_default();
        let query = query_string(&[("at", &given), ("app", &app), ("object", &object)]);
        let found: dto::Instant = client.get("instant", &query).await?;
        if !self.global.quiet {
            at::tell(&found);
        }
        Ok(At { given, event: format!("#{}", found.seq), last: Some(Seq(found.seq)) })
    }
}

/// An instant as the daemon is asked for it; empty = now.
#[derive(Debug, Clone, Default)]
pub(super) struct At {
    /// As it was given, in a form that no zone changes.
    given: String,
    /// The event that it stands for: every page of an answer is about the same.
    event: String,
    last: Option<Seq>,
}

impl At {
    /// As a parameter of a question.
    pub(super) fn query(&self) -> String {
        query_string(&[("at", &self.event)])
    }
}

/// The newest events, oldest first, the last one there is, and what may be missing among them.
pub(super) type Newest = (Vec<dto::Event>, u64, Option<Unattributed>);

/// Who answers.
pub(super) enum Asker {
    Daemon(Client, At),
    Files(Box<Files>),
}

/// Which events are wanted, as words.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) kinds: Vec<String>,
    pub(super) app: Option<String>,
    pub(super) object: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) commit: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) from: Option<Instant>,
    pub(super) to: Option<Instant>,
    pub(super) object_kind: Option<String>,
    pub(super) field: Option<String>,
    pub(super) patch: bool,
    pub(super) all: bool,
}

impl Wanted {
    /// The query string of the API, with further pairs.
    pub(super) fn query(&self, more: &[(&str, &str)]) -> String {
        let kinds = self.kinds.join(",");
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (app, object, actor) = (text(&self.app), text(&self.object), text(&self.actor));
        let commit = text(&self.commit);
        let since = self.since.map(|since| since.to_string()).unwrap_or_default();
        let instant =
            |at: &Option<Instant>| at.as_ref().map(ToString::to_string).unwrap_or_default();
        let (from, to) = (instant(&self.from), instant(&self.to));
        let (object_kind, field) = (text(&self.object_kind), text(&self.field));
        let mut pairs = vec![
            ("from", from.as_str()),
            ("to", &to),
            ("object_kind", &object_kind),
            ("field", &field),
            ("patch", if self.patch { "true" } else { "" }),
            ("kind", kinds.as_str()),
            ("app", &app),
            ("object", &object),
            ("actor", &actor),
            ("commit", &commit),
            ("since", &since),
            ("all", if self.all { "true" } else { "" }),
            ("detail", "true"),
        ];
        pairs.extend_from_slice(more);
        query_string(&pairs)
    }

    fn filter(&self) -> Result<Filter, Error> {
        let object = self.object.as_ref().map(|object| object.parse()).transpose();
        let filter = Filter {
            kinds: self.kinds.clone(),
            app: self.app.clone(),
            object: object.map_err(|error| Error::usage(format!("{error}")))?,
            actor: self.actor.clone(),
            commit: self.commit.clone(),
            since: self.since,
            object_kind: self.object_kind.clone(),
            field: self.field.clone(),
            noise: self.all,
            ..Filter::default()
        };
        filter.check().map_err(|error| {
            let hint = match error.near.as_slice() {
                [] => "docs/ledger-format.md lists every kind".to_owned(),
                near => format!("did you mean {}?", near.join(", ")),
            };
            Error::usage(error.to_string()).hint(hint)
        })?;
        if filter.field.is_some() && !filter.is_narrow() {
            return Err(Error::usage("a field of everything cannot be searched")
                .hint("name the application or the object whose field it is"));
        }
        Ok(filter)
    }
}

/// The query string of a question about an application, an object or one of its fields.
fn about(at: &str, subject: &str, namespace: Option<&str>, field: Option<&str>) -> String {
    query_string(&[
        ("at", at),
        ("subject", subject),
        ("namespace", namespace.unwrap_or_default()),
        ("field", field.unwrap_or_default()),
    ])
}

impl Asker {
    pub(super) async fn status(&self) -> Result<dto::Status, Error> {
        match self {
            Self::Daemon(client, at) => Ok(client.get("status", &at.query()).await?),
            Self::Files(files) => files.status(),
        }
    }

    pub(super) async fn apps(&self) -> Result<Vec<dto::App>, Error> {
        let (client, at) = match self {
            Self::Files(files) => return Ok(files.apps()),
            Self::Daemon(client, at) => (client, at),
        };
        let (mut found, mut after) = (Vec::new(), String::new());
        let limit = PAGE_ROWS.to_string();
        loop {
            let query = query_string(&[("limit", &limit), ("after", &after), ("at", &at.event)]);
            let page: dto::Page<dto::App> = client.get("apps", &query).await?;
            found.extend(page.items);
            match page.next {
                Some(next) => after = next,
                None => return Ok(found),
            }
        }
    }

    pub(super) async fn app(&self, name: &str) -> Result<dto::App, Error> {
        match self {
            Self::Daemon(client, at) => {
                let query = query_string(&[("at", &at.event)]);
                Ok(client.get(&Client::app_path(name, ""), &query).await?)
            }
            Self::Files(files) => files.app(name),
        }
    }

    pub(super) async fn resources(
        &self,
        filter: ResourceFilter,
    ) -> Result<Vec<dto::Resource>, Error> {
        let (client, at) = match self {
            Self::Files(files) => return files.resources(filter),
            Self::Daemon(client, at) => (client, at),
        };
        let text = |text: Option<String>| text.unwrap_or_default();
        let (namespace, kind) = (text(filter.namespace), text(filter.kind));
        let app = text(filter.app);
        let limit = PAGE_ROWS.to_string();
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let query = query_string(&[
                ("namespace", &namespace),
                ("kind", &kind),
                ("app", &app),
                ("limit", &limit),
                ("after", &after),
                ("at", &at.event),
            ]);
            let page: dto::Page<dto::Resource> = client.get("resources", &query).await?;
            found.extend(page.items);
            match page.next {
                Some(next) => after = next,
                None => return Ok(found),
            }
        }
    }

    pub(super) async fn why(
        &self,
        subject: &str,
        namespace: Option<&str>,
        field: Option<&str>,
    ) -> Result<Why, Error> {
        match self {
            Self::Daemon(client, at) => {
                let query = about(&at.event, subject, namespace, field);
                Ok(client.get("why", &query).await?)
            }
            Self::Files(files) => files.why(subject, namespace, field),
        }
    }

    pub(super) async fn blame(
        &self,
        subject: &str,
        namespace: Option<&str>,
        field: Option<&str>,
    ) -> Result<Blame, Error> {
        match self {
            Self::Daemon(client, at) => {
                let query = about(&at.event, subject, namespace, field);
                Ok(client.get("blame", &query).await?)
            }
            Self::Files(files) => files.blame(subject, namespace, field),
        }
    }

    pub(super) async fn plan(&self, apps: &[String]) -> Result<Vec<Planned>, Error> {
        match self {
            Self::Daemon(client, at) => {
                let query = query_string(&[("app", &apps.join(",")), ("at", &at.event)]);
                Ok(client.get("plan", &query).await?)
            }
            Self::Files(files) => files.plan(apps),
        }
    }

    pub(super) async fn recovery(&self, asked: &Asked) -> Result<dto::Recovery, Error> {
        match self {
            Self::Daemon(client, at) => {
                let apps: Vec<&str> = asked.apps.iter().map(AppName::as_str).collect();
                let word = |flag: bool| if flag { "true" } else { "false" };
                let query = query_string(&[
                    ("app", &apps.join(",")),
                    ("live", word(asked.live)),
                    ("unowned", word(asked.unowned)),
                    ("at", &at.event),
                ]);
                Ok(client.get("recovery", &query).await?)
            }
            Self::Files(files) => files.recovery(asked),
        }
    }

    pub(super) async fn tree(&self, name: &str) -> Result<dto::Node, Error> {
        match self {
            Self::Daemon(client, at) => {
                let query = query_string(&[("at", &at.event)]);
                Ok(client.get(&Client::app_path(name, "tree"), &query).await?)
            }
            Self::Files(files) => files.tree(name),
        }
    }

    pub(super) async fn diff(&self, name: &str) -> Result<dto::Diff, Error> {
        match self {
            Self::Daemon(client, at) => {
                let query = query_string(&[("at", &at.event)]);
                Ok(client.get(&Client::app_path(name, "diff"), &query).await?)
            }
            Self::Files(files) => files.diff(name),
        }
    }

    /// What an application was to be, as recorded.
    pub(super) async fn desired(&self, name: &str) -> Result<dto::Rendered, Error> {
        match self {
            Self::Daemon(client, at) => {
                let query = query_string(&[("at", &at.event)]);
                Ok(client.get(&Client::app_path(name, "render"), &query).await?)
            }
            Self::Files(files) => files.desired(name),
        }
    }

    /// An object as of the instant; `known` = only what was known at another.
    pub(super) async fn object_at(
        &self,
        key: &ObjectKey,
        known: Option<&Instant>,
    ) -> Result<dto::ObjectAt, Error> {
        match self {
            Self::Daemon(client, at) => {
                let known = known.map(ToString::to_string).unwrap_or_default();
                let (object, given) = (key.to_string(), at.given.as_str());
                let pairs = [("object", object.as_str()), ("at", given), ("as_known_at", &known)];
                Ok(client.get("object", &query_string(&pairs)).await?)
            }
            Self::Files(files) => files.object_at(key, known),
        }
    }

    /// What changed between two instants.
    pub(super) async fn between(
        &self,
        of: &Of,
        from: &Instant,
        to: &Instant,
    ) -> Result<dto::Between, Error> {
        match self {
            Self::Daemon(client, _) => {
                let (from, to) = (from.to_string(), to.to_string());
                let what = match of {
                    Of::App(app) => ("app", app.to_string()),
                    Of::Object(key) => ("object", key.to_string()),
                    Of::Namespace(namespace) => ("namespace", namespace.clone()),
                };
                let pairs = [("from", from.as_str()), ("to", &to), (what.0, &what.1)];
                Ok(client.get("between", &query_string(&pairs)).await?)
            }
            Self::Files(files) => files.between(of, from, to),
        }
    }

    /// How what one application wants differs from what another wants.
    pub(super) async fn two(&self, app: &str, other: &str) -> Result<dto::Diff, Error> {
        match self {
            Self::Daemon(client, at) => {
                let query = query_string(&[("other", other), ("at", &at.event)]);
                Ok(client.get(&Client::app_path(app, "against"), &query).await?)
            }
            Self::Files(files) => files.two(app, other),
        }
    }

    pub(super) async fn marks(&self) -> Result<Vec<dto::Mark>, Error> {
        match self {
            Self::Daemon(client, _) => Ok(client.get("marks", "").await?),
            Self::Files(files) => files.marks(),
        }
    }

    pub(super) async fn people(&self) -> Result<Vec<Person>, Error> {
        match self {
            Self::Daemon(client, at) => Ok(client.get("people", &at.query()).await?),
            Self::Files(files) => Ok(files.people()),
        }
    }

    /// What a report is about.
    pub(super) async fn report_head(&self, of: &ReportOf) -> Result<dto::ReportHead, Error> {
        match self {
            Self::Daemon(client, _) => {
                let (from, to) = (of.from.to_string(), of.to.to_string());
                let app = of.app.as_ref().map(ToString::to_string).unwrap_or_default();
                let query = query_string(&[
                    ("from", &from),
                    ("to", &to),
                    ("app", &app),
                    ("namespace", &of.namespace),
                ]);
                Ok(client.get("report/audit", &query).await?)
            }
            Self::Files(files) => files.report_head(of),
        }
    }

    /// The rows of a report after an event.
    pub(super) async fn report_page(
        &self,
        head: &dto::ReportHead,
        after: u64,
    ) -> Result<Page, Error> {
        match self {
            Self::Daemon(client, _) => {
                let query = query_string(&[
                    ("after", &after.to_string()),
                    ("last", &head.last.to_string()),
                    ("head", &head.head.to_string()),
                    ("app", &head.app),
                    ("namespace", &head.namespace),
                ]);
                Ok(client.get("report/audit/changes", &query).await?)
            }
            Self::Files(files) => files.report_page(head, after),
        }
    }

    /// An event as known at an instant: `known`, or else the one that is asked about.
    pub(super) async fn event(
        &self,
        seq: Seq,
        known: Option<&Instant>,
    ) -> Result<dto::Event, Error> {
        let mut row = match self {
            Self::Daemon(client, at) => {
                let as_of = match known {
                    Some(known) => {
                        let query = query_string(&[("at", &known.to_string())]);
                        Some(Seq(client.get::<dto::Instant>("instant", &query).await?.seq))
                    }
                    None => at.last,
                };
                let as_of = as_of.map(|seq| seq.0.to_string()).unwrap_or_default();
                let query = query_string(&[("as_of", &as_of)]);
                client.get(&format!("events/{seq}"), &query).await?
            }
            Self::Files(files) => files.event(seq, known)?,
        };
        self.name(std::slice::from_mut(&mut row)).await?;
        Ok(row)
    }

    /// Says who the people behind the names in rows are, where the names may be somebody's.
    async fn name(&self, rows: &mut [dto::Event]) -> Result<(), Error> {
        let nobodys = ["greffier", "field-manager"];
        let named = |row: &dto::Event| {
            let scheme = |party: &Party| !nobodys.contains(&party.scheme.as_str());
            row.who.is_some() || row.parties.iter().any(scheme)
        };
        if rows.iter().any(named) {
            persons::name(rows, &self.people().await?);
        }
        Ok(())
    }

    /// What was not watched, of an object or at all, between two instants, but not after the
    /// instant that is asked about.
    pub(super) async fn coverage(
        &self,
        about: &About,
        (from, to): (&Instant, &Instant),
    ) -> Result<Vec<dto::Unwatched>, Error> {
        match self {
            Self::Daemon(client, at) => {
                let object = about.object.as_ref().map(ToString::to_string).unwrap_or_default();
                let app = about.app.as_ref().map(ToString::to_string).unwrap_or_default();
                let (from, to) = (from.to_string(), to.to_string());
                let last = at.last.map(|last| last.0.to_string()).unwrap_or_default();
                let query = query_string(&[
                    ("object", &object),
                    ("app", &app),
                    ("from", &from),
                    ("to", &to),
                    ("last", &last),
                ]);
                Ok(client.get("coverage", &query).await?)
            }
            Self::Files(files) => files.coverage(about, (from, to)),
        }
    }

    /// The newest `lines` events, oldest first, and the position after which newer ones come.
    pub(super) async fn newest(&self, wanted: &Wanted, lines: usize) -> Result<Newest, Error> {
        let mut newest = self.newest_rows(wanted, lines).await?;
        self.name(&mut newest.0).await?;
        Ok(newest)
    }

    async fn newest_rows(&self, wanted: &Wanted, lines: usize) -> Result<Newest, Error> {
        let (client, at) = match self {
            Self::Files(files) => {
                let bounds = (wanted.from.clone(), wanted.to.clone());
                return files.newest(wanted.filter()?, bounds, lines, wanted.patch);
            }
            Self::Daemon(client, at) => (client, at),
        };
        let mut pages: Vec<Vec<dto::Event>> = Vec::new();
        let last = at.last.map(|last| last.next().to_string()).unwrap_or_default();
        let (mut left, mut before, mut head, mut unattributed) = (lines, last, None, None);
        loop {
            let limit = left.min(PAGE_ROWS).to_string();
            let more = [("newest", "true"), ("limit", &limit), ("before", &before)];
            let page: dto::Page<dto::Event> = client.get("events", &wanted.query(&more)).await?;
            let newest = page.next.and_then(|next| next.parse().ok()).unwrap_or(0);
            let head = *head.get_or_insert(newest);
            let count = page.items.len();
            unattributed = unattributed.or(page.unattributed);
            before = page.items.first().map(|row| row.seq.to_string()).unwrap_or_default();
            left -= count.min(left);
            pages.push(page.items);
            if left == 0 || count < PAGE_ROWS {
                return Ok((pages.into_iter().rev().flatten().collect(), head, unattributed));
            }
        }
    }

    /// The client, where only a daemon can help.
    pub(super) fn client(&self) -> Result<&Client, Error> {
        match self {
            Self::Daemon(client, _) => Ok(client),
            Self::Files(_) => {
                Err(Error::new(Exit::Unreachable, "no daemon is running, so nothing new comes")
                    .hint("start the daemon with `greffier serve`"))
            }
        }
    }
}
