//! The routes under `/v1`, each with what is to be said of it; `OpenAPI` 3.1 comes out of the same
//! table, so that a route cannot be there and not in the document.

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with, post_with};
use aide::generate::{self, GenContext};
use aide::openapi::{
    Info, MediaType, OpenApi, Operation, ReferenceOr, Response, SchemaObject, SecurityScheme,
    StatusCode, Tag,
};
use aide::transform::TransformOperation;
use aide::{OperationInput, OperationOutput};
use axum::extract::{Path, Query};
use axum::middleware;
use axum::{Json, Router};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator, json_schema};

use super::Context;
use super::failure::{Refusal, also_for_openai};
use super::wire::{At, Body, Parameters, Problem, Told};
use super::{openai, routes};
use crate::app::learning::Batches;
use crate::app::tokens::NewToken;
use crate::flow::answer::Answer;
use crate::store::sources::Source;

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        Json::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for At<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        Path::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for Parameters<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        Query::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationOutput for Told<T> {
    type Inner = T;

    fn operation_response(context: &mut GenContext, operation: &mut Operation) -> Option<Response> {
        Json::<T>::operation_response(context, operation)
    }

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, Response)> {
        Json::<T>::inferred_responses(context, operation)
    }
}

impl OperationOutput for Refusal {
    type Inner = Problem;

    fn operation_response(context: &mut GenContext, operation: &mut Operation) -> Option<Response> {
        let mut response = Json::<Problem>::operation_response(context, operation)?;
        let schema = response.content.shift_remove("application/json")?;
        response
            .content
            .insert("application/problem+json".into(), schema);
        Some(response)
    }

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, Response)> {
        let response = Self::operation_response(context, operation);
        response
            .map(|response| (None, response))
            .into_iter()
            .collect()
    }
}

type Said<'a> = TransformOperation<'a>;

/// What is said of every route: its name, what it belongs to, what it does.
fn says<'a>(operation: Said<'a>, id: &str, tag: &str, summary: &str) -> Said<'a> {
    names(operation, id, tag, summary).security_requirement("token")
}

/// The same of a route that wants no token.
fn names<'a>(operation: Said<'a>, id: &str, tag: &str, summary: &str) -> Said<'a> {
    operation.id(id).tag(tag).summary(summary)
}

/// A stream of server-sent events, described by a sentence.
fn events<'a>(mut operation: Said<'a>, description: &str) -> Said<'a> {
    let schema = SchemaObject {
        json_schema: json_schema!({ "description": description }),
        example: None,
        external_docs: None,
    };
    let stream = MediaType {
        schema: Some(schema),
        ..MediaType::default()
    };
    let responses = operation.inner_mut().responses.get_or_insert_default();
    let ok = responses
        .responses
        .entry(StatusCode::Code(200))
        .or_insert_with(|| {
            ReferenceOr::Item(Response {
                description: description.into(),
                ..Response::default()
            })
        });
    if let ReferenceOr::Item(response) = ok {
        response.content.insert("text/event-stream".into(), stream);
    }
    operation
}

/// Where everything in the body may be left out, so may the body.
fn may_be_empty(mut operation: Said<'_>) -> Said<'_> {
    if let Some(ReferenceOr::Item(body)) = &mut operation.inner_mut().request_body {
        body.required = false;
    }
    operation
}

fn nothing(operation: Said<'_>) -> Said<'_> {
    operation.response::<204, ()>()
}

/// The routes that want a token.
pub(super) fn guarded() -> ApiRouter<Context> {
    let parts = [
        notes(),
        answers(),
        learning(),
        sources(),
        service(),
        compatible(),
    ];
    parts.into_iter().fold(ApiRouter::new(), ApiRouter::merge)
}

fn notes() -> ApiRouter<Context> {
    ApiRouter::new()
        .api_route(
            "/v1/search",
            post_with(routes::search, |op| {
                says(op, "search", "notes", "Search the notes")
            }),
        )
        .api_route(
            "/v1/documents",
            get_with(routes::documents, |op| {
                says(op, "listDocuments", "notes", "List documents")
            }),
        )
        .api_route(
            "/v1/documents/{id}",
            get_with(routes::document, |op| {
                says(op, "getDocument", "notes", "Get a document with its text")
            }),
        )
}

fn answers() -> ApiRouter<Context> {
    let asking =
        "Events `retrieval`, `token`, `citation`, then `done` with the answer, or `error`.";
    ApiRouter::new()
        .api_route(
            "/v1/ask",
            post_with(routes::ask, |op| {
                let op = says(
                    op,
                    "ask",
                    "answers",
                    "Ask a question; the answer cites the notes",
                );
                events(op.response::<200, Json<Answer>>(), asking)
            }),
        )
        .api_route(
            "/v1/answers",
            get_with(routes::answers, |op| {
                says(op, "listAnswers", "answers", "List answers")
            }),
        )
        .api_route(
            "/v1/answers/{id}",
            get_with(routes::answer, |op| {
                says(op, "getAnswer", "answers", "Get an answer")
            }),
        )
        .api_route(
            "/v1/answers/{id}/feedback",
            post_with(routes::feedback, |op| {
                nothing(says(
                    op,
                    "giveFeedback",
                    "answers",
                    "Say whether an answer was good; what the owner calls bad is not quoted to that question again",
                ))
            }),
        )
        .api_route(
            "/v1/answers/{id}/signals",
            post_with(routes::signal, |op| {
                let what = "Tell that a citation was opened or an answer copied";
                nothing(says(op, "giveSignal", "answers", what))
            }),
        )
}

fn sources() -> ApiRouter<Context> {
    ApiRouter::new()
        .api_route(
            "/v1/sources",
            get_with(routes::sources, |op| {
                says(op, "listSources", "sources", "List sources")
            })
            .post_with(routes::add_source, |op| {
                says(op, "addSource", "sources", "Add a folder").response::<201, Json<Source>>()
            }),
        )
        .api_route(
            "/v1/sources/{id}",
            delete_with(routes::remove_source, |op| {
                let what = "Forget a source and all that came from it";
                nothing(says(op, "removeSource", "sources", what))
            })
            .get_with(routes::source, |op| {
                says(op, "getSource", "sources", "Get a source")
            }),
        )
        .api_route(
            "/v1/sources/{id}/sync",
            post_with(routes::sync, |op| {
                says(
                    op,
                    "syncSource",
                    "sources",
                    "Read what changed, and tell when it is done",
                )
            }),
        )
}

fn service() -> ApiRouter<Context> {
    ApiRouter::new()
        .api_route(
            "/v1/events",
            get_with(routes::events, |op| {
                let op = says(op, "listen", "service", "Hear of syncs as they go on");
                events(op, "Events `notice`, one for each step of a sync.")
            }),
        )
        .api_route(
            "/v1/status",
            get_with(routes::status, |op| {
                says(op, "getStatus", "service", "What is known")
            }),
        )
        .api_route(
            "/v1/status/problems",
            get_with(routes::problems, |op| {
                says(
                    op,
                    "listProblems",
                    "service",
                    "List files that could not be read",
                )
            }),
        )
        .api_route(
            "/v1/status/left",
            get_with(routes::left, |op| {
                let what = "Tell exactly what left this machine for the remote model";
                says(op, "listLeft", "service", what)
            }),
        )
        .api_route(
            "/v1/tokens",
            get_with(routes::tokens, |op| {
                says(op, "listTokens", "tokens", "List tokens")
            })
            .post_with(routes::add_token, |op| {
                let what = "Make a token for an editor or an agent; it is told once";
                says(op, "addToken", "tokens", what).response::<201, Json<NewToken>>()
            }),
        )
        .api_route(
            "/v1/tokens/{name}",
            delete_with(routes::revoke_token, |op| {
                says(op, "revokeToken", "tokens", "Take a token back")
            }),
        )
}

fn learning() -> ApiRouter<Context> {
    ApiRouter::new()
        .api_route(
            "/v1/units",
            get_with(routes::units, |op| {
                says(op, "listUnits", "units", "List knowledge units")
            }),
        )
        .api_route(
            "/v1/units/{id}",
            get_with(routes::unit, |op| {
                says(
                    op,
                    "getUnit",
                    "units",
                    "Get a unit with its evidence and its story",
                )
            })
            .patch_with(routes::decide_unit, |op| {
                says(
                    op,
                    "decideUnit",
                    "units",
                    "Approve, reject or retire a unit",
                )
            }),
        )
        .api_route(
            "/v1/writeback",
            get_with(routes::batches, |op| {
                says(op, "listBatches", "units", "List runs of writeback")
                    .response::<200, Json<Batches>>()
            })
            .post_with(routes::writeback, |op| {
                says(
                    may_be_empty(op),
                    "writeBack",
                    "units",
                    "Distil units from answers that hold up",
                )
            }),
        )
}

/// The routes that want no token.
fn open() -> ApiRouter<Context> {
    ApiRouter::new()
        .api_route(
            "/healthz",
            get_with(routes::healthz, |op| {
                names(op, "isAlive", "service", "Tell that the service runs")
            }),
        )
        .api_route(
            "/readyz",
            get_with(routes::readyz, |op| {
                names(
                    op,
                    "isReady",
                    "service",
                    "Tell whether questions are answered yet",
                )
            }),
        )
}

/// What programs expect that know nothing of coho.
fn compatible() -> ApiRouter<Context> {
    let chunks = "Chunks as OpenAI streams them, then `[DONE]`.";
    ApiRouter::new()
        .api_route(
            "/v1/chat/completions",
            post_with(openai::chat, |op| {
                let what = "Answer the last message of a conversation from the notes";
                let op = says(op, "createChatCompletion", "openai", what);
                events(op.response::<200, Json<serde_json::Value>>(), chunks)
            }),
        )
        .api_route(
            "/v1/embeddings",
            post_with(openai::embeddings, |op| {
                says(op, "createEmbedding", "openai", "Embed texts")
            }),
        )
        .api_route(
            "/v1/models",
            get_with(openai::models, |op| {
                says(op, "listModels", "openai", "List models")
            }),
        )
        .api_route(
            "/v1/models/{id}",
            get_with(openai::model, |op| {
                says(op, "retrieveModel", "openai", "Tell of a model")
            }),
        )
        .layer(middleware::map_response(also_for_openai))
}

/// The routes that the document tells of, and the document.
pub(super) struct Documented {
    pub guarded: Router<Context>,
    pub open: Router<Context>,
    pub api: OpenApi,
}

/// The routes, with the document that comes out of them.
pub(super) fn documented() -> Documented {
    generate::extract_schemas(true);
    // OpenAPI 3.1 is written in the newest JSON Schema.
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "#/components/schemas/".into();
    });
    generate::in_context(|context| context.schema = SchemaGenerator::new(settings));
    let mut api = OpenApi {
        info: Info {
            title: "coho".into(),
            description: Some(
                "A personal knowledge base that learns from the questions it is asked, on your own \
                 machine. Errors are `application/problem+json` with a stable `code`."
                    .into(),
            ),
            version: env!("CARGO_PKG_VERSION").into(),
            ..Info::default()
        },
        ..OpenApi::default()
    };
    let tags = [
        ("notes", "Searching and reading the notes"),
        ("answers", "Questions, answers, and what was good of them"),
        ("units", "What was distilled from answers"),
        ("sources", "Folders that are read"),
        ("tokens", "Who else may ask"),
        ("service", "How the service fares"),
        ("openai", "Compatible with OpenAI's API"),
    ];
    let guarded = guarded().finish_api_with(&mut api, |api| {
        let scheme = SecurityScheme::Http {
            scheme: "bearer".into(),
            bearer_format: None,
            description: Some("The content of the file `token` in the data folder, or a token of `coho token add`.".into()),
            extensions: OpenApi::default().extensions,
        };
        let api = api.security_scheme("token", scheme);
        tags.iter().fold(api, |api, (name, description)| {
            api.tag(Tag {
                name: (*name).into(),
                description: Some((*description).into()),
                ..Tag::default()
            })
        })
    });
    let open = open().finish_api(&mut api);
    Documented { guarded, open, api }
}

/// The `OpenAPI` document.
pub fn document() -> serde_json::Value {
    serde_json::to_value(documented().api).unwrap_or_default()
}
