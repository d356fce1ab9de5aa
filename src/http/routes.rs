//! The handlers: unwrap, call the pipeline and write what comes of it on a blocking thread, wrap.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{BroadcastStream, UnboundedReceiverStream};

use super::caller::{Admin, Ask, May, Read, Write, no_right};
use super::failure::{Refusal, also_for_openai, lost, refusal};
use super::meter::prometheus;
use super::wire::{
    AskBody, At, Body, FeedbackBody, Parameters, Problem, SearchBody, SignalBody, SourceBody, Told,
    UnitBody,
};
use super::{Context, guard};
use crate::app::documents::{Documents, WholeDocument};
use crate::app::learning::{Batches, LISTED, RunBody, Story, Units};
use crate::app::outside::Left;
use crate::app::tokens::{Caller, NewToken, Revoked, TokenBody, Tokens};
use crate::app::{NotFound, Problems, Service, SourceStatus, Status};
use crate::domain::access::{Grant, Right};
use crate::domain::source::{DocumentId, SourceId};
use crate::domain::unit::{self, Unit};
use crate::error::{BadRequest, Failure};
use crate::flow::answer::kept::with_passages;
use crate::flow::answer::{Answer, Event};
use crate::flow::ingest::Report;
use crate::flow::search::Found;
use crate::flow::watch::Heard;
use crate::flow::writeback;
use crate::store::StoreError;
use crate::store::sources::{Rules, Source};
use crate::store::units::UseUnits;

type Outcome<T> = Result<T, Refusal>;

/// Runs a pipeline where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Outcome<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(lost()),
    }
}

/// As [`blocking`]; what comes of it is written as JSON there, too.
pub(super) async fn told<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Outcome<Told<T>> {
    let written = blocking(move || Ok(Told::of(&work()?))).await?;
    written.map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        lost()
    })
}

/// How long a stream that has begun waits for more before its status says that all is well.
const SOON: Duration = Duration::from_millis(300);

/// The one to whom an answer is told while it is made.
pub(super) struct Listener(mpsc::UnboundedSender<Result<sse::Event, Failure>>);

impl Listener {
    /// Tells something; breaks when they have left.
    pub(super) fn tell(&self, event: sse::Event) -> ControlFlow<()> {
        match self.0.send(Ok(event)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Streams what `work` tells. What fails before anything is told, or soon after the first, is refused
/// with a status: a model that is busy or cannot be reached is known behind the evidence. What fails
/// later is told in the stream, as `failed` says it.
///
/// No thread waits for a client that does not read. What piles up is bounded by the passages and the
/// tokens of one answer, and the connection breaks off when nothing is taken from it for long.
pub(super) async fn streamed(
    cancel: CancelOnDrop,
    failed: fn(&Problem) -> Vec<sse::Event>,
    work: impl FnOnce(&Listener) -> Result<(), Failure> + Send + 'static,
) -> Outcome<Response> {
    let (send, mut told) = mpsc::unbounded_channel();
    tokio::task::spawn_blocking(move || {
        let listener = Listener(send);
        if let Err(failure) = work(&listener) {
            let _ = listener.0.send(Err(failure));
        }
    });
    let mut begun = vec![told.recv().await.ok_or_else(lost)??];
    if let Ok(Some(next)) = tokio::time::timeout(SOON, told.recv()).await {
        begun.push(next?);
    }
    let begun = stream::iter(begun.into_iter().map(Ok));
    let all = begun.chain(UnboundedReceiverStream::new(told));
    let request = guard::current_request();
    let events = all.flat_map(move |told| {
        // The flag lives as long as the stream: a client that leaves sets it.
        let _ = &cancel;
        let events = match told {
            Ok(event) => vec![event],
            Err(failure) => {
                let Refusal(mut problem) = Refusal::from(failure);
                problem.request_id.clone_from(&request);
                failed(&problem)
            }
        };
        stream::iter(events.into_iter().map(Ok::<_, Infallible>))
    });
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response())
}

pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(super) async fn readyz(State(context): State<Context>) -> Outcome<Json<Value>> {
    if context.ready.load(Ordering::Acquire) {
        return Ok(Json(json!({ "status": "ready" })));
    }
    let hint = "wait a moment; `coho doctor` says what is missing if it lasts";
    Err(refusal(
        503,
        "not_ready",
        "the embedding model is loading",
        Some(hint.into()),
    ))
}

/// Gauges in the text format of Prometheus. Counts alone: no name of a note, no question.
pub(super) async fn metrics(State(context): State<Context>) -> Outcome<Response> {
    use std::fmt::Write;
    let service = Arc::clone(&context.service);
    let status = blocking(move || service.status(&service.app)).await?;
    let (units, disk) = (status.units, status.disk.unwrap_or_default());
    let gauges = [
        ("coho_documents", "", status.documents),
        ("coho_chunks", "", status.chunks),
        ("coho_problems", "", status.problems),
        ("coho_units", "{state=\"shadow\"}", units.shadow),
        ("coho_units", "{state=\"active\"}", units.active),
        ("coho_units", "{state=\"contested\"}", units.contested),
        ("coho_units", "{state=\"stale\"}", units.stale),
        ("coho_units", "{state=\"retired\"}", units.retired),
        ("coho_disk_bytes", "{part=\"ledger\"}", disk.ledger_bytes),
        ("coho_disk_bytes", "{part=\"vectors\"}", disk.vector_bytes),
        ("coho_disk_bytes", "{part=\"terms\"}", disk.term_bytes),
    ];
    let mut text = String::new();
    let mut last = "";
    for (name, labels, value) in gauges {
        if name != last {
            let _ = writeln!(text, "# TYPE {name} gauge");
            last = name;
        }
        let _ = writeln!(text, "{name}{labels} {value}");
    }
    context.meter.write(&mut text);
    Ok(prometheus(text))
}

pub(super) async fn nothing_here() -> Refusal {
    refusal(404, "no_such_route", "there is no such route", None)
}

/// As [`nothing_here`], below `/v1`, where a program made for OpenAI's API may look for more of it.
pub(super) async fn no_such_route() -> Response {
    also_for_openai(nothing_here().await.into_response()).await
}

pub(super) async fn wrong_method() -> Refusal {
    refusal(
        405,
        "wrong_method",
        "this route does not take that method",
        None,
    )
}

pub(super) async fn search(
    State(context): State<Context>,
    May(caller, _): May<Read>,
    Body(body): Body<SearchBody>,
) -> Outcome<Told<Found>> {
    let app = Arc::clone(&caller.app);
    let turn = context.searches.take().await.map_err(Failure::from)?;
    let search = move || {
        // It goes on when the client has left, and takes its turn for so long.
        let _turn = turn;
        let source = app.source_meant(body.source.as_ref())?;
        let mut query = app.query(body.query, body.k, source);
        query.literal = body.literal;
        query.rerank = body.rerank.unwrap_or(query.rerank);
        query.explain = body.explain;
        app.search(&query)
    };
    told(search).await
}

pub(super) async fn ask(
    State(context): State<Context>,
    May(caller, _): May<Ask>,
    headers: HeaderMap,
    Body(body): Body<AskBody>,
) -> Outcome<Response> {
    let accepts = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let wants_events = accepts.is_some_and(accepts_events);
    let app = Arc::clone(&caller.app);
    let meant = Arc::clone(&app);
    let source = blocking(move || meant.source_meant(body.source.as_ref())).await?;
    let mut ask = app.question(body.question, body.strategy, body.k, source);
    if body.no_units {
        ask.units = UseUnits::Off;
    }
    // It spends the owner's money, and lets words out.
    if body.remote && !caller.has(Right::Admin) {
        return Err(no_right(Right::Admin));
    }
    ask.remote = body.remote;
    let turn = context.answers.take().await.map_err(Failure::from)?;
    let cancel = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    if !body.stream.unwrap_or(wants_events) {
        let flag = Arc::clone(&cancel.0);
        let work = move || {
            let _turn = turn;
            app.ask(&ask, &flag, &mut |_| ControlFlow::Continue(()))
        };
        return Ok(told(work).await?.into_response());
    }
    let flag = Arc::clone(&cancel.0);
    let failed = |problem: &Problem| vec![event("error", problem)];
    streamed(cancel, failed, move |listener| {
        let _turn = turn;
        let mut tell = |told: Event| listener.tell(wire_event(&told));
        app.ask(&ask, &flag, &mut tell).map(drop)
    })
    .await
}

/// Does an `Accept` header want events? A weight of nothing says that it does not.
fn accepts_events(types: &str) -> bool {
    types.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let is_events = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("text/event-stream"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        is_events && weight.and_then(|q| q.parse::<f32>().ok()) != Some(0.0)
    })
}

/// Sets its flag when the client leaves, and with it the future or stream that holds this.
pub(super) struct CancelOnDrop(pub(super) Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wire_event(answer_event: &Event) -> sse::Event {
    match answer_event {
        Event::Retrieval(retrieval) => event("retrieval", retrieval),
        Event::Token(text) => event("token", &json!({ "text": text })),
        Event::Citation(citation) => event("citation", citation),
        Event::Done(answer) => event("done", answer),
    }
}

fn event(name: &str, data: &impl serde::Serialize) -> sse::Event {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".into());
    sse::Event::default().event(name).data(data)
}

/// What is named in the path.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ById {
    /// Its id.
    pub(super) id: String,
}

/// What is numbered in the path.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ByNumber {
    /// Its number.
    id: i64,
}

/// How much to list.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Page {
    /// Entries at most: 50 where nothing is said, 500 in any case.
    limit: Option<NonZeroUsize>,
    /// Whether to leave out what was found for them: `retrieval.hits` is empty then.
    #[serde(default)]
    brief: bool,
}

/// Kept answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answers {
    /// The answers, newest first.
    #[schemars(with = "Vec<Answer>")]
    answers: Vec<Value>,
}

/// A kept answer.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Kept(#[schemars(with = "Answer")] Value);

/// Sources.
#[derive(Serialize, JsonSchema)]
pub(super) struct Sources {
    /// The sources, in the order in which they were added.
    sources: Vec<SourceStatus>,
}

pub(super) async fn answers(
    May(caller, _): May<Ask>,
    Parameters(page): Parameters<Page>,
) -> Outcome<Told<Answers>> {
    let limit = page.limit.map_or(50, NonZeroUsize::get).min(500);
    told(move || {
        let answers = caller.app.store.ledger().read(|snapshot| {
            let answers = snapshot.answers(limit)?.into_iter();
            let shown = answers.map(|mut answer| {
                if page.brief {
                    answer["retrieval"]["hits"] = json!([]);
                    return Ok(answer);
                }
                with_passages(snapshot, answer)
            });
            shown.collect::<Result<Vec<Value>, StoreError>>()
        })?;
        Ok(Answers { answers })
    })
    .await
}

pub(super) async fn answer(
    May(caller, _): May<Ask>,
    At(ById { id }): At<ById>,
) -> Outcome<Told<Kept>> {
    told(move || {
        let found = caller.app.store.ledger().read(|snapshot| {
            let found = snapshot.answer(&id)?;
            found
                .map(|answer| with_passages(snapshot, answer))
                .transpose()
        })?;
        let missing = || NotFound::new("answer", id);
        Ok(Kept(found.ok_or_else(missing)?))
    })
    .await
}

pub(super) async fn feedback(
    May(caller, _): May<Ask>,
    At(ById { id }): At<ById>,
    Body(body): Body<FeedbackBody>,
) -> Outcome<StatusCode> {
    // Who may write notes speaks for the owner; an agent that may only ask does not.
    let view = caller.app.store.ledger().view();
    let asker = view.and_then(|view| view.asker.clone());
    let giver = asker.filter(|_| !caller.has(Right::Write));
    blocking(move || {
        let said = (body.note.as_deref(), giver.as_deref());
        caller.app.feedback(&id, &body.verdict, said)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn signal(
    May(caller, _): May<Ask>,
    At(ById { id }): At<ById>,
    Body(body): Body<SignalBody>,
) -> Outcome<StatusCode> {
    blocking(move || caller.app.signal(&id, &body.kind)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which units to list.
#[derive(Deserialize, JsonSchema)]
pub(super) struct UnitsPage {
    /// Only those in this state.
    state: Option<unit::State>,
    /// Units at most: 500 where nothing is said, 10000 in any case.
    limit: Option<NonZeroUsize>,
}

pub(super) async fn units(
    May(caller, _): May<Read>,
    Parameters(page): Parameters<UnitsPage>,
) -> Outcome<Told<Units>> {
    let limit = page.limit.map_or(LISTED, NonZeroUsize::get).min(10_000);
    told(move || caller.app.units(page.state, limit)).await
}

pub(super) async fn unit(
    May(caller, _): May<Read>,
    At(ById { id }): At<ById>,
) -> Outcome<Told<Story>> {
    told(move || caller.app.unit(&id)).await
}

pub(super) async fn decide_unit(
    May(caller, _): May<Admin>,
    At(ById { id }): At<ById>,
    Body(body): Body<UnitBody>,
) -> Outcome<Told<Unit>> {
    told(move || caller.app.decide(&id, body.decision)).await
}

pub(super) async fn batches(May(caller, _): May<Admin>) -> Outcome<Told<Batches>> {
    told(move || caller.app.batches(50)).await
}

pub(super) async fn writeback(
    May(caller, _): May<Admin>,
    Body(body): Body<RunBody>,
) -> Outcome<Told<writeback::Report>> {
    // A client that leaves ends the run after the answer at hand; the next run goes on with it.
    let stop = CancelOnDrop(Arc::default());
    let flag = Arc::clone(&stop.0);
    let report = told(move || caller.app.write_back(&body, &|_| {}, &flag)).await;
    drop(stop);
    report
}

/// Which documents to list.
#[derive(Deserialize, JsonSchema)]
pub(super) struct DocumentsPage {
    /// Only those of this source.
    source: Option<i64>,
    /// Only those behind the one with this number.
    after: Option<i64>,
    /// Documents at most: 100 where nothing is said, 1000 in any case.
    limit: Option<NonZeroUsize>,
}

pub(super) async fn documents(
    May(caller, _): May<Read>,
    Parameters(page): Parameters<DocumentsPage>,
) -> Outcome<Told<Documents>> {
    let limit = page.limit.map_or(100, NonZeroUsize::get).min(1000);
    let source = page.source.map(SourceId);
    let after = DocumentId(page.after.unwrap_or(0));
    told(move || caller.app.documents(source, after, limit)).await
}

pub(super) async fn document(
    May(caller, _): May<Read>,
    At(ByNumber { id }): At<ByNumber>,
) -> Outcome<Told<WholeDocument>> {
    told(move || caller.app.document(DocumentId(id))).await
}

pub(super) async fn sources(
    State(context): State<Context>,
    May(caller, _): May<Read>,
) -> Outcome<Told<Sources>> {
    told(move || {
        let sources = context.service.sources(&caller.app)?;
        Ok(Sources { sources })
    })
    .await
}

pub(super) async fn source(
    State(context): State<Context>,
    May(caller, _): May<Read>,
    At(ByNumber { id }): At<ByNumber>,
) -> Outcome<Told<SourceStatus>> {
    let id = SourceId(id);
    told(move || {
        let mut sources = context.service.sources(&caller.app)?.into_iter();
        let found = sources.find(|status| status.source.id == id);
        Ok(found.ok_or(StoreError::NoSource { id })?)
    })
    .await
}

pub(super) async fn add_source(
    State(context): State<Context>,
    May(caller, _): May<Admin>,
    Body(body): Body<SourceBody>,
) -> Outcome<(StatusCode, Json<Source>)> {
    if !body.path.is_absolute() {
        let hint = "send its whole path: the service is somewhere else than you";
        let detail = format!("{} is no whole path", body.path.display());
        return Err(Failure::from(BadRequest::new("path_not_absolute", detail, hint)).into());
    }
    let source = blocking(move || {
        let rules = Rules {
            include: body.include,
            exclude: body.exclude,
            writeback: body.writeback,
            outside: body.outside,
            notes: body.notes,
            never_leaves: body.never_leaves,
        };
        let source = caller.app.add_source(&body.path, &rules)?;
        // Whoever adds a folder asks for a sync next and wants its report.
        let syncer = &context.service.syncer;
        syncer.watch(&source, Duration::from_secs(1));
        Ok(source)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(source)))
}

pub(super) async fn remove_source(
    State(context): State<Context>,
    May(caller, _): May<Admin>,
    At(ByNumber { id }): At<ByNumber>,
) -> Outcome<StatusCode> {
    blocking(move || {
        // One that may not be seen is not there.
        caller.app.source(SourceId(id))?;
        context.service.remove_source(SourceId(id))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What left for the remote model.
pub(super) async fn left(May(caller, _): May<Admin>) -> Outcome<Told<Left>> {
    told(move || caller.app.left()).await
}

pub(super) async fn sync(
    State(context): State<Context>,
    May(caller, _): May<Write>,
    At(ByNumber { id }): At<ByNumber>,
) -> Outcome<Told<Report>> {
    let id = SourceId(id);
    blocking(move || caller.app.source(id)).await?;
    match context.service.syncer.sync(id).await {
        // It names every file that could not be read.
        Ok(outcome) => told(move || outcome).await,
        Err(_) => Err(Failure::from(StoreError::NoSource { id }).into()),
    }
}

pub(super) async fn events(State(context): State<Context>, May(caller, _): May<Read>) -> Response {
    let mut closing = context.closing.clone();
    let notices = BroadcastStream::new(context.service.syncer.notices());
    let (service, listener) = (Arc::clone(&context.service), caller.clone());
    let events = notices
        .filter_map(|notice| std::future::ready(notice.ok()))
        .take_while(move |_| may_still_listen(Arc::clone(&service), listener.clone()))
        .filter(move |notice| {
            let seen = match notice.source {
                Some(source) => caller.sees(source),
                None => caller.sees_all(),
            };
            std::future::ready(seen)
        })
        .map(|notice: Heard| {
            let event = sse::Event::default().event("notice");
            Ok::<_, Infallible>(event.data(&*notice.json))
        });
    let ended = async move {
        let _ = closing.wait_for(|closing| *closing).await;
    };
    let stream = events.take_until(Box::pin(ended));
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(stream).keep_alive(alive).into_response()
}

/// Is the caller's token still what it was? It may be taken back while its holder listens.
async fn may_still_listen(service: Arc<Service>, caller: Caller) -> bool {
    let Some(view) = caller.app.store.ledger().view().cloned() else {
        // The owner's token is not taken back while the service runs.
        return true;
    };
    let held = blocking(move || service.app.tokens()).await;
    let as_before = |grant: &Grant| grant.view() == view && grant.rights.contains(&Right::Read);
    held.is_ok_and(|held| held.tokens.iter().any(as_before))
}

pub(super) async fn status(
    State(context): State<Context>,
    May(caller, _): May<Read>,
) -> Outcome<Told<Status>> {
    told(move || context.service.status(&caller.app)).await
}

pub(super) async fn problems(May(caller, _): May<Read>) -> Outcome<Told<Problems>> {
    told(move || caller.app.problems()).await
}

pub(super) async fn tokens(May(caller, _): May<Admin>) -> Outcome<Told<Tokens>> {
    told(move || caller.app.tokens()).await
}

pub(super) async fn add_token(
    May(caller, _): May<Admin>,
    Body(body): Body<TokenBody>,
) -> Outcome<(StatusCode, Json<NewToken>)> {
    let token = blocking(move || caller.app.add_token(body)).await?;
    Ok((StatusCode::CREATED, Json(token)))
}

/// A token, by its name.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ByName {
    /// Its name.
    name: String,
}

pub(super) async fn revoke_token(
    May(caller, _): May<Admin>,
    At(ByName { name }): At<ByName>,
) -> Outcome<Told<Revoked>> {
    told(move || caller.app.revoke_token(&name)).await
}
