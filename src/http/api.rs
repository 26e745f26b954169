//! The handlers.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State as Having};
use axum::http::{StatusCode, Uri};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::convert;
use super::dto;
use super::error::Error;
use super::past::AtQuery;
use super::peer::Peer;
use super::server::State;
use super::who;
use crate::command::{self, Command};
use crate::config::Period;
use crate::model::{ObjectKey, Seq, Timestamp};
use crate::query::coverage::Scope;
use crate::query::instant::{About, At};
use crate::query::search::{self, Filter, Found};
use crate::query::unattributed::unattributed;
use crate::query::why::{SubjectError, named_of};
use crate::query::{self, AppView, Book, ResourceFilter, children};
use crate::replay::World;

/// How many entries a page has when nobody says.
const PAGE_DEFAULT: usize = 500;
/// Bound: how many entries a page has at most.
const PAGE_MAX: usize = 5_000;

pub(super) type Answer<T> = Result<Json<T>, Error>;
pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;
pub(super) type Given<T> = Result<Json<T>, JsonRejection>;

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text(), "")
    }
}

impl From<BytesRejection> for Error {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text(), "")
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text(), "")
    }
}

pub(super) async fn no_route(uri: Uri) -> Error {
    let message = format!("there is nothing at {}", uri.path());
    Error::new(StatusCode::NOT_FOUND, "no_route", message, "the API begins at /api/v1")
}

pub(super) async fn status(
    Having(state): Having<State>,
    asked: Asked<AtQuery>,
) -> Answer<dto::Status> {
    let Query(AtQuery { at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::default()).await?;
    let limits = state.limits.clone();
    let (mut status, observe) = state
        .read_at(at.as_ref(), move |world, compared| {
            let views = query::apps(world, compared, &limits);
            (convert::status(world, &views), world.observe)
        })
        .await?;
    if at.is_none() {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let read_only = state.read_only.as_deref().map(str::to_owned);
        status.daemon = Some(dto::Daemon { version, pid: std::process::id(), observe, read_only });
        status.ledger.seq = state.ledger.head().0;
        status.audit.retain(|audit| state.is_audited(&audit.source));
        status.wholeness = Some(state.wholeness());
    }
    status.ledger.id = state.ledger.ledger_id().to_string();
    let ledger = state.ledger.clone();
    let status = state.blocking(move || {
        let by = |seq| {
            let found = ledger.get(Seq(seq)).ok().flatten();
            found.map(|recorded| recorded.actor.to_string()).unwrap_or_default()
        };
        let last = at.as_ref().map_or(ledger.head(), |at| at.seq);
        let as_of = at.map(|at| super::instant_dto(&ledger, &at, &Scope::All)).transpose()?;
        let status =
            super::completed(convert::with_actors(status, by), &query::AsOf::new(&ledger, last))?;
        Ok::<_, crate::ledger::Error>(dto::Status { as_of, ..status })
    });
    Ok(Json(status.await??))
}

pub(super) async fn ledger(Having(state): Having<State>) -> Answer<dto::Ledger> {
    let ledger = state.ledger.clone();
    let info = state.blocking(move || ledger.info()).await?;
    Ok(Json(convert::ledger(&info)))
}

/// Which page of a list by name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PageQuery {
    after: Option<String>,
    limit: Option<usize>,
    at: Option<String>,
}

pub(super) async fn apps(
    Having(state): Having<State>,
    asked: Asked<PageQuery>,
) -> Answer<dto::Page<dto::App>> {
    let Query(PageQuery { after, limit, at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::default()).await?;
    let limits = state.limits.clone();
    let page = state.read_at(at.as_ref(), move |world, compared| {
        let after = after.as_deref().unwrap_or_default();
        let mut names = world.apps.keys().filter(|name| name.as_str() > after);
        let items: Vec<_> = names
            .by_ref()
            .take(page(limit))
            .filter_map(|name| query::app(world, compared, &limits, name.as_str()).ok())
            .map(|view| convert::app(world, &view))
            .collect();
        let next = items.last().filter(|_| names.next().is_some()).map(|last| last.name.clone());
        dto::Page { items, next, unattributed: None }
    });
    Ok(Json(page.await?))
}

/// Answers a question about one application.
pub(super) async fn about<R: Send + 'static>(
    state: &State,
    at: Option<&At>,
    name: String,
    answer: impl FnOnce(&World, &AppView<'_>) -> R + Send + 'static,
) -> Result<R, Error> {
    let limits = state.limits.clone();
    let answered = state.read_at(at, move |world, compared| {
        query::app(world, compared, &limits, &name).map(|view| answer(world, &view))
    });
    Ok(answered.await??)
}

/// Refuses an application that is not there, and names those that look like it.
pub(super) async fn exists(state: &State, name: &str) -> Result<(), Error> {
    let name = name.to_owned();
    let found = state.read(move |world, _| query::known(world, &name).map(|_| ()));
    Ok(found.await??)
}

pub(super) async fn app(
    Having(state): Having<State>,
    Path(name): Path<String>,
    asked: Asked<AtQuery>,
) -> Answer<dto::App> {
    let Query(AtQuery { at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::app(&name)).await?;
    about(&state, at.as_ref(), name, convert::app).await.map(Json)
}

pub(super) async fn tree(
    Having(state): Having<State>,
    Path(name): Path<String>,
    asked: Asked<AtQuery>,
) -> Answer<dto::Node> {
    let Query(AtQuery { at }) = asked?;
    let at = state.asked_at(at.as_deref(), About::app(&name)).await?;
    let limits = state.limits.clone();
    let tree = state.read_at(at.as_ref(), move |world, compared| {
        let view = query::app(world, compared, &limits, &name)?;
        Ok(convert::tree(&query::tree(world, compared, &limits, &view)))
    });
    tree.await?.map(Json)
}

/// Which objects, and which page of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResourceQuery {
    namespace: Option<String>,
    kind: Option<String>,
    app: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
    at: Option<String>,
}

pub(super) async fn app_resources(
    Having(state): Having<State>,
    Path(name): Path<String>,
    asked: Asked<ResourceQuery>,
) -> Answer<dto::Page<dto::Resource>> {
    let Query(asked) = asked?;
    list_resources(&state, ResourceQuery { app: Some(name), ..asked }).await
}

pub(super) async fn resources(
    Having(state): Having<State>,
    asked: Asked<ResourceQuery>,
) -> Answer<dto::Page<dto::Resource>> {
    let Query(asked) = asked?;
    list_resources(&state, asked).await
}

async fn list_resources(state: &State, asked: ResourceQuery) -> Answer<dto::Page<dto::Resource>> {
    let ResourceQuery { namespace, kind, app, after, limit, at } = asked;
    let of = About::app(app.as_deref().unwrap_or_default());
    let at = state.asked_at(at.as_deref(), of).await?;
    let after = after.map(|after| after.parse::<ObjectKey>()).transpose();
    let after = after.map_err(|error| Error::bad_request(error.to_string()))?;
    let limit = page(limit);
    let limits = state.limits.clone();
    let found = state.read_at(at.as_ref(), move |world, compared| {
        if let Some(name) = &app {
            query::app(world, compared, &limits, name)?;
        }
        let views = query::apps(world, compared, &limits);
        let filter = ResourceFilter { namespace, kind, app };
        Ok(query::resources(world, &views, &filter))
    });
    let found: Result<Vec<_>, Error> = found.await?;
    let mut rest = found?.into_iter().filter(|r| after.as_ref().is_none_or(|after| r.key > *after));
    let items: Vec<_> = rest.by_ref().take(limit).map(|r| convert::resource(&r)).collect();
    let more = rest.next().is_some();
    let next = items.last().filter(|_| more).map(|last| last.object.clone());
    Ok(Json(dto::Page { items, next, unattributed: None }))
}

fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
}

/// Which events, and which page of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventQuery {
    pub(super) after: Option<u64>,
    pub(super) before: Option<u64>,
    pub(super) limit: Option<usize>,
    /// The newest that match, rather than the next after `after`. `next` is then the position up
    /// to which there is nothing newer: what to follow the stream after.
    pub(super) newest: bool,
    /// Comma-separated.
    pub(super) kind: Option<String>,
    pub(super) app: Option<String>,
    pub(super) object: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) commit: Option<String>,
    /// A time as `at` reads it: RFC 3339, a day, or how long ago, e.g. `2h`.
    pub(super) since: Option<String>,
    /// Also what is only of use to somebody who looks for it.
    pub(super) all: bool,
    /// With everything that was recorded.
    pub(super) detail: bool,
    /// From an instant on, as `at` reads it.
    pub(super) from: Option<String>,
    /// Up to an instant.
    pub(super) to: Option<String>,
    /// Of an object of this kind.
    pub(super) object_kind: Option<String>,
    /// Which changed this field.
    pub(super) field: Option<String>,
    /// With what changed of the objects.
    pub(super) patch: bool,
}

impl EventQuery {
    pub(super) fn filter(&self) -> Result<Filter, Error> {
        let since = self.since.as_deref().map(parse_since).transpose()?;
        let object = self.object.as_ref().map(|object| object.parse::<ObjectKey>()).transpose();
        let kinds = self.kind.as_deref().unwrap_or_default().split(',').map(str::trim);
        let filter = Filter {
            after: Seq(self.after.unwrap_or(0)),
            before: self.before.map(Seq),
            since,
            kinds: kinds.filter(|kind| !kind.is_empty()).map(str::to_owned).collect(),
            app: self.app.clone(),
            object: object.map_err(|error| Error::bad_request(error.to_string()))?,
            actor: self.actor.clone(),
            commit: self.commit.clone(),
            object_kind: self.object_kind.clone(),
            field: self.field.clone(),
            noise: self.all,
            ..Filter::default()
        };
        filter.check()?;
        if filter.field.is_some() && !filter.is_narrow() {
            let hint = "name the application or the object whose field it is".to_owned();
            return Err(Self::field_of_nothing(hint));
        }
        Ok(filter)
    }
}

impl EventQuery {
    /// An event as it was asked for.
    pub(super) fn row(&self, book: &dyn Book, found: Found) -> dto::Event {
        let row = convert::row(&found.recorded, found.described, self.detail);
        if self.patch { super::patched(book, &found.recorded, row) } else { row }
    }

    fn field_of_nothing(hint: String) -> Error {
        Error { hint, ..Error::bad_request("a field of everything cannot be searched") }
    }
}

fn parse_since(text: &str) -> Result<Timestamp, Error> {
    let wrong = || {
        let message = format!("`{text}` is no time: `from` takes every instant");
        Error::bad_request(message)
    };
    search::since(text, Timestamp::now(), &TimeZone::UTC)?.ok_or_else(wrong)
}

pub(super) async fn events(
    Having(state): Having<State>,
    asked: Asked<EventQuery>,
) -> Answer<dto::Page<dto::Event>> {
    let Query(asked) = asked?;
    let bounds = (asked.from.as_deref(), asked.to.as_deref());
    let filter = state.bounds(asked.filter()?, bounds).await?;
    let (filter, unknown) = state.of_kind(filter).await?;
    let limit = page(asked.limit);
    let ledger = state.ledger.clone();
    let audits = state.audits().await?;
    let found = state.blocking(move || {
        let (found, next) = if asked.newest {
            let head = ledger.head();
            (search::newest(&ledger, &filter, limit)?, Some(head.to_string()))
        } else {
            let (found, cursor) = search::next(&ledger, &filter, limit)?;
            let more = cursor < ledger.head();
            (found, more.then(|| cursor.to_string()))
        };
        if let Some(unknown) = unknown.filter(|_| found.is_empty())
            && !filter.has_kind(&ledger)?
        {
            return Ok(Err(unknown));
        }
        let items = found.into_iter().map(|found| asked.row(&ledger, found)).collect();
        // Of several pages the last one says it.
        let unattributed = match audits && (asked.newest || next.is_none()) {
            true => unattributed(&ledger, &filter, Timestamp::now())?,
            false => None,
        };
        Ok(Ok(dto::Page { items, next, unattributed }))
    });
    let found: Result<Result<_, SubjectError>, crate::ledger::Error> = found.await?;
    Ok(Json(found??))
}

/// As known when.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AsOf {
    /// The event up to which what was said counts.
    #[serde(default)]
    as_of: Option<String>,
}

pub(super) async fn event(
    Having(state): Having<State>,
    Path(seq): Path<String>,
    Query(asked): Query<AsOf>,
) -> Answer<dto::Event> {
    let read =
        |text: &str| text.parse::<Seq>().map_err(|error| Error::bad_request(format!("{error}")));
    let seq = read(&seq)?;
    let as_of = asked.as_of.as_deref().filter(|as_of| !as_of.is_empty()).map(read).transpose()?;
    if let Some(as_of) = as_of.filter(|as_of| *as_of < seq) {
        let message = who::not_yet(seq, as_of);
        return Err(Error::new(StatusCode::NOT_FOUND, "unknown_event", message, ""));
    }
    let ledger = state.ledger.clone();
    let row = state.blocking(move || {
        let recorded = ledger.get(seq)?;
        let Some(recorded) = recorded else { return Ok(None) };
        let row = who::one(&ledger, &recorded, as_of)?;
        Ok(Some(super::patched(&ledger, &recorded, row)))
    });
    let row: Result<_, crate::ledger::Error> = row.await?;
    row?.map(Json).ok_or_else(|| {
        let head = state.ledger.head();
        let message = format!("there is no event {seq}; the last one is {head}");
        Error::new(StatusCode::NOT_FOUND, "unknown_event", message, "")
    })
}

/// Checks a command against the world and records it.
pub(super) async fn carry_out(
    state: &State,
    peer: Peer,
    command: Command,
) -> Answer<dto::Accepted> {
    let undo = undo_of(&command);
    let removes = matches!(command, Command::RemoveApp { .. });
    let decision = state.read(move |world, _| {
        let decision = command::decide(world, Timestamp::now(), &command)?;
        Ok::<_, command::Error>((decision, peer.actor()))
    });
    let (decision, actor) = decision.await??;
    let already = matches!(decision, command::Decision::AlreadySo(_));
    let seq = command::execute(&state.ledger, actor, decision).await?;
    let undo = if removes && !already { format!("greffier undo '#{seq}'") } else { undo };
    Ok(Json(dto::Accepted { seq: seq.0, already, undo, next: Vec::new() }))
}

/// The command that undoes a command.
fn undo_of(command: &Command) -> String {
    match command {
        Command::Pause { app, .. } => format!("greffier resume {app}"),
        Command::Resume { app } => format!("greffier pause {app}"),
        Command::Freeze { .. } => "greffier unfreeze".to_owned(),
        Command::Unfreeze => "greffier freeze".to_owned(),
        Command::AddApp { manifest } => {
            let name = manifest.pointer("/metadata/name").and_then(|name| name.as_str());
            format!("greffier app remove {}", name.unwrap_or_default())
        }
        // What these bring about is undone by its own events, or in Git, which is the truth.
        Command::RemoveApp { .. }
        | Command::Sync { .. }
        | Command::Approve { .. }
        | Command::Keep { .. }
        | Command::Mark { .. }
        | Command::Rollback { .. }
        | Command::Restore { .. }
        | Command::AcceptCluster { .. }
        | Command::Release { .. } => String::new(),
    }
}

pub(super) type FromPeer = ConnectInfo<Peer>;

pub(super) async fn add_app(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Result<Bytes, BytesRejection>,
) -> Answer<dto::Accepted> {
    let manifest = command::read_manifest(&body?);
    let manifest = manifest.map_err(|error| Error::bad_request(error.to_string()))?;
    carry_out(&state, peer, Command::AddApp { manifest }).await
}

pub(super) async fn remove_app(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    Path(app): Path<String>,
    query: Asked<dto::RemoveQuery>,
) -> Answer<dto::Accepted> {
    let Query(dto::RemoveQuery { cascade }) = query?;
    carry_out(&state, peer, Command::RemoveApp { app, cascade }).await
}

pub(super) async fn sync(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    Path(app): Path<String>,
    body: Given<dto::SyncBody>,
) -> Result<axum::response::Response, Error> {
    use axum::response::IntoResponse;
    let Json(dto::SyncBody { prune, only, reason, dry_run }) = body?;
    let only: Result<Vec<ObjectKey>, _> = only.iter().map(|key| key.parse()).collect();
    let only = only.map_err(|error| Error::bad_request(error.to_string()))?;
    let of = app.clone();
    let named = move |world: &World, _: &_| {
        only.iter().map(|key| named_of(world, &of, key)).collect::<Result<Vec<_>, _>>()
    };
    let only = state.read(named).await??;
    let command = Command::Sync { app: app.clone(), prune, only: only.clone(), reason };
    if !dry_run {
        return Ok(carry_out(&state, peer, command).await?.into_response());
    }
    let limits = state.limits.clone();
    let plan = state.read(move |world, compared| {
        command::decide(world, Timestamp::now(), &command)?;
        let plan = query::dry_run(world, compared, &limits, &app, prune, only)?;
        Ok::<_, Error>((convert::dry_run(world, &plan), children::coming(world, &plan)))
    });
    let ((mut plan, coming), ledger) = (plan.await??, state.ledger.clone());
    let by = Seq(plan.base);
    plan.come = state.blocking(move || children::come(&ledger, &coming, by)).await??;
    Ok(Json(plan).into_response())
}

pub(super) async fn approve(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    Path(app): Path<String>,
    body: Given<dto::ApproveBody>,
) -> Answer<dto::Accepted> {
    let Json(dto::ApproveBody { plan, reason }) = body?;
    carry_out(&state, peer, Command::Approve { app, plan, reason }).await
}

pub(super) async fn pause(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    Path(app): Path<String>,
    body: Given<dto::PauseBody>,
) -> Answer<dto::Accepted> {
    let Json(dto::PauseBody { period, reason }) = body?;
    let until = after(&period)?;
    carry_out(&state, peer, Command::Pause { app, until, reason }).await
}

/// When a period that begins now is over; `None` where none was given.
pub(super) fn after(period: &str) -> Result<Option<Timestamp>, Error> {
    if period.is_empty() {
        return Ok(None);
    }
    let period: Period = period.parse().map_err(|error| Error::bad_request(format!("{error}")))?;
    Ok(Some(Timestamp::now().plus_ms(period.ms())))
}

pub(super) async fn freeze(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    body: Given<dto::PauseBody>,
) -> Answer<dto::Accepted> {
    let Json(dto::PauseBody { period, reason }) = body?;
    let until = after(&period)?;
    carry_out(&state, peer, Command::Freeze { until, reason }).await
}

pub(super) async fn unfreeze(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
) -> Answer<dto::Accepted> {
    carry_out(&state, peer, Command::Unfreeze).await
}

pub(super) async fn resume(
    Having(state): Having<State>,
    ConnectInfo(peer): FromPeer,
    Path(app): Path<String>,
) -> Answer<dto::Accepted> {
    carry_out(&state, peer, Command::Resume { app }).await
}

pub(super) async fn refresh(
    Having(state): Having<State>,
    body: Given<dto::RefreshBody>,
) -> Result<StatusCode, Error> {
    let Json(dto::RefreshBody { repo }) = body?;
    if repo.is_empty() {
        state.refresh(None);
        return Ok(StatusCode::ACCEPTED);
    }
    let wanted = repo.clone();
    let known = state.read(move |world, _| {
        world.repos.contains_key(&wanted)
            || world.apps.values().any(|app| app.spec.sources.iter().any(|s| s.repo == wanted))
    });
    if !known.await? {
        let message = format!("no application uses the repository `{repo}`");
        return Err(Error::new(
            StatusCode::NOT_FOUND,
            "unknown_repo",
            message,
            "`greffier status` lists them",
        ));
    }
    state.refresh(Some(&repo));
    Ok(StatusCode::ACCEPTED)
}
