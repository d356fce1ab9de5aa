//! The tools: which of them a caller has, what each does, and what it says.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rmcp::model::{Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::PAGE;
use super::arguments::{Feedback, Health, Nothing, Question, Remember, Search, Which, arguments};
use crate::app::documents::WholeDocument;
use crate::app::tokens::Caller;
use crate::app::{App, Problems, Status};
use crate::domain::access::Right;
use crate::domain::image::without_images;
use crate::domain::source::{DocumentId, place};
use crate::error::{BadRequest, Failure};
use crate::flow::answer::Answer;
use crate::flow::search::Found;
use crate::store::units::UseUnits;

/// Passages of a document that are read at once.
const PASSAGES: usize = 100;

/// Documents whose names are compared at once.
const LOOKED_THROUGH: usize = 1000;

/// Who asks, writes and judges here, where no token has a name: an agent, whose token it may be. It
/// speaks for itself and not for the owner.
const AGENT: &str = "mcp";

fn tool<T: JsonSchema>(name: &'static str, title: &str, description: &'static str) -> Tool {
    let schema = serde_json::to_value(schemars::schema_for!(T)).unwrap_or_default();
    let mut schema = match schema {
        Value::Object(schema) => schema,
        _ => serde_json::Map::new(),
    };
    schema.remove("title");
    schema.remove("description");
    // Some clients want it even where it is empty.
    schema.entry("properties").or_insert_with(|| json!({}));
    Tool::new(name, description, Arc::new(schema)).with_title(title)
}

pub(super) fn tools(caller: &Caller) -> Result<Vec<Tool>, Failure> {
    let reads = || ToolAnnotations::new().read_only(true).open_world(false);
    let writes = || {
        ToolAnnotations::new()
            .read_only(false)
            .destructive(false)
            .open_world(false)
    };
    let mut tools = Vec::new();
    if caller.has(Right::Read) {
        tools.push(
            tool::<Search>(
                "search",
                "Search the notes",
                "Find passages in the owner's notes by words and meaning. Returns the best \
                 passages with file, lines and headings.",
            )
            .with_annotations(reads()),
        );
    }
    if caller.has(Right::Ask) {
        tools.push(
            tool::<Question>(
                "ask",
                "Ask the notes",
                "Answer a question from the owner's notes, with citations. Says so when the notes \
                 do not tell.",
            )
            .with_annotations(reads()),
        );
    }
    if caller.has(Right::Read) {
        tools.push(
            tool::<Which>(
                "get_document",
                "Read a note",
                "Read a whole document that search or ask has found, by its path.",
            )
            .with_annotations(reads()),
        );
        tools.push(
            tool::<Nothing>(
                "list_sources",
                "List the folders",
                "List the folders of notes, how many documents each holds, and which versions and \
                 models are in use.",
            )
            .with_annotations(reads()),
        );
        tools.push(
            tool::<Health>(
                "status",
                "How coho fares",
                "Tell the version, the models, how many notes and knowledge units there are, and \
                 how many files could not be read; or which files, and why.",
            )
            .with_annotations(reads()),
        );
    }
    if caller.has(Right::Write) && caller.app.takes_notes()? {
        tools.push(
            tool::<Remember>(
                "remember",
                "Write a note",
                "Write a new note into the owner's notes. Never changes a note that is there.",
            )
            .with_annotations(writes()),
        );
    }
    if caller.has(Right::Ask) {
        tools.push(
            tool::<Feedback>(
                "feedback",
                "Judge an answer",
                "Say whether an answer of `ask` was good or bad, when the user says so.",
            )
            .with_annotations(writes()),
        );
    }
    Ok(tools)
}

/// What a tool says: text for a model, JSON for a program.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) value: Value,
}

impl Said {
    fn new(text: String, value: &impl Serialize) -> Self {
        let mut value = serde_json::to_value(value).unwrap_or_default();
        take_images_out(&mut value);
        Self { text, value }
    }
}

/// Members that name files, or what fits their names: told as they are, as they are asked for again.
const NAMES: [&str; 5] = ["path", "links", "backlinks", "include", "exclude"];

/// Takes images out of all that notes say in a value: a program may show it as Markdown, too.
fn take_images_out(value: &mut Value) {
    match value {
        Value::String(text) => *text = without_images(text),
        Value::Array(values) => values.iter_mut().for_each(take_images_out),
        Value::Object(members) => {
            for (name, value) in members {
                if !NAMES.contains(&name.as_str()) {
                    take_images_out(value);
                }
            }
        }
        _ => {}
    }
}

/// Calls a tool; `None` when there is no such tool for this caller. Blocks.
pub(super) fn call(
    caller: &Caller,
    name: &str,
    given: Value,
    cancel: &Arc<AtomicBool>,
) -> Result<Option<Said>, Failure> {
    if !tools(caller)?.iter().any(|tool| tool.name == name) {
        return Ok(None);
    }
    let app = &caller.app;
    let said = match name {
        "search" => search(app, arguments(given)?),
        "ask" => ask(app, arguments(given)?, cancel),
        "get_document" => document(app, &arguments(given)?),
        "list_sources" => list_sources(app, &arguments(given)?),
        "status" => status(app, &arguments(given)?),
        "remember" => remember(caller, &arguments(given)?),
        _ => feedback(app, &arguments(given)?),
    };
    said.map(Some)
}

fn search(app: &App, wanted: Search) -> Result<Said, Failure> {
    let source = app.source_meant(wanted.source.as_ref())?;
    let mut query = app.query(wanted.query, wanted.k, source);
    query.literal = wanted.literal;
    query.rerank = wanted.rerank.unwrap_or(query.rerank);
    query.explain = wanted.explain;
    let found = app.search(&query)?;
    Ok(Said::new(hits(&found), &found))
}

fn ask(app: &App, wanted: Question, cancel: &Arc<AtomicBool>) -> Result<Said, Failure> {
    let source = app.source_meant(wanted.source.as_ref())?;
    let mut ask = app.question(wanted.query, wanted.strategy, wanted.k, source);
    ask.asker = Some(AGENT.into());
    if wanted.no_units {
        ask.units = UseUnits::Off;
    }
    let mut answer = app.ask(&ask, cancel, &mut |_| ControlFlow::Continue(()))?;
    answer.answer = without_images(&answer.answer);
    Ok(Said::new(answered(&answer), &answer))
}

fn document(app: &App, wanted: &Which) -> Result<Said, Failure> {
    let id = match (wanted.id, &wanted.path) {
        (Some(id), _) => DocumentId(id),
        (None, Some(path)) => document_named(app, path)?,
        (None, None) => {
            let hint = "give its `path` as a hit names it, or its `id`";
            return Err(BadRequest::new("bad_arguments", "no document is named", hint).into());
        }
    };
    let mut document = app.document(id)?;
    let all = document.text.len();
    let text = document.text.into_iter().skip(wanted.skip).take(PASSAGES);
    document.text = text.collect();
    let seen = wanted.skip.saturating_add(document.text.len());
    let mut text = whole(&document);
    if seen < all {
        let _ = write!(text, "\n\n({} passages follow: skip {seen})", all - seen);
    } else if wanted.skip >= all && all > 0 {
        let _ = write!(text, "\n\n(nothing follows: there are {all} passages)");
    }
    Ok(Said::new(text, &document))
}

/// The document in a file, by its path as hits and citations name it: bytes that are no text stand
/// there as `\xE4`.
fn document_named(app: &App, path: &Path) -> Result<DocumentId, Failure> {
    let missing = match app.document_at(path) {
        Err(failure) if failure.code() == "not_found" => failure,
        found => return found,
    };
    if !path.to_string_lossy().contains("\\x") {
        return Err(missing);
    }
    let mut after = Some(0);
    while let Some(last) = after {
        let page = app.documents(None, DocumentId(last), LOOKED_THROUGH)?;
        if let Some(found) = page.documents.iter().find(|known| known.path == path) {
            return Ok(DocumentId(found.id));
        }
        after = page.next;
    }
    Err(missing)
}

fn list_sources(app: &App, _: &Nothing) -> Result<Said, Failure> {
    let status = app.status()?;
    let mut text = String::new();
    for source in &status.sources {
        let notes = if source.source.notes {
            ", takes notes"
        } else {
            ""
        };
        let (id, path) = (source.source.id, source.source.path.display());
        let _ = writeln!(text, "{id}: {path} ({} documents{notes})", source.documents);
    }
    text.push_str(&versions(&status));
    let sources = json!({
        "sources": status.sources,
        "version": status.version,
        "models": status.models,
    });
    Ok(Said::new(text, &sources))
}

fn status(app: &App, wanted: &Health) -> Result<Said, Failure> {
    if wanted.problems {
        let problems = app.problems()?;
        return Ok(Said::new(unread(&problems), &problems));
    }
    let status = app.status()?;
    let text = format!(
        "{} documents, {} passages, {} knowledge units in use, {} files that could not be read\n{}",
        status.documents,
        status.chunks,
        status.units.active,
        status.problems,
        versions(&status)
    );
    Ok(Said::new(text, &status))
}

/// The files that could not be read; a program finds those beyond the first in the JSON.
fn unread(problems: &Problems) -> String {
    if problems.problems.is_empty() {
        return "Every file could be read.".into();
    }
    let mut text = String::new();
    for problem in problems.problems.iter().take(PAGE) {
        let path = problem.path.display();
        let _ = writeln!(text, "{path}: {} (since {})", problem.reason, problem.since);
    }
    let more = problems.problems.len().saturating_sub(PAGE);
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    text
}

fn versions(status: &Status) -> String {
    let generator = status.models.generator.as_deref().unwrap_or("none");
    let (version, embedder) = (&status.version, &status.models.embedder);
    format!("coho {version}, embedding {embedder}, language model {generator}")
}

fn remember(caller: &Caller, wanted: &Remember) -> Result<Said, Failure> {
    let source = caller.app.source_meant(wanted.source.as_ref())?;
    let by = caller.name().unwrap_or(AGENT);
    let note = (wanted.title.as_str(), wanted.text.as_str());
    let kept = caller.app.remember(source, by, note)?;
    Ok(Said::new(
        format!("written to {}", kept.path.display()),
        &kept,
    ))
}

fn feedback(app: &App, wanted: &Feedback) -> Result<Said, Failure> {
    let said = (wanted.note.as_deref(), Some(AGENT));
    app.feedback(&wanted.answer, &wanted.verdict, said)?;
    Ok(Said::new("noted".into(), &json!({ "noted": true })))
}

fn hits(found: &Found) -> String {
    let mut text = String::new();
    if found.hits.is_empty() {
        text.push_str("Nothing was found.");
        if found.explain.is_some() {
            text.push_str("\n\n");
        }
    }
    for hit in &found.hits {
        let place = place(hit.lines, hit.page);
        let path = hit.path.display();
        let _ = write!(text, "[{}] {path}{place}", hit.rank);
        if let Some(heading) = &hit.heading {
            let _ = write!(text, " ({})", without_images(heading));
        }
        let _ = writeln!(text, "\n{}", without_images(&hit.text));
        if let Some(how) = &hit.explain {
            let _ = writeln!(text, "{}", how.told(hit.score).join("\n"));
        }
        text.push('\n');
    }
    if let Some(how) = &found.explain {
        text.push_str(&how.told().join("\n"));
    }
    text
}

fn answered(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.answer);
    for citation in &answer.citations {
        let place = place(citation.lines, citation.page);
        let _ = write!(
            text,
            "\n[{}] {}{place}",
            citation.n,
            citation.path.display()
        );
    }
    // One that is not kept cannot be judged.
    if !answer.unkept {
        let _ = write!(text, "\n\n(answer {})", answer.id);
    }
    text
}

pub(super) fn whole(document: &WholeDocument) -> String {
    let mut text = format!("{}\n", document.document.path.display());
    let mut above: &[String] = &[];
    for passage in &document.text {
        if passage.heading != above {
            above = &passage.heading;
            let _ = write!(text, "\n# {}\n", without_images(&above.join(" > ")));
        }
        let _ = write!(text, "\n{}\n", without_images(&passage.text));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::ProblemStatus;

    #[test]
    fn an_answer_that_is_not_kept_has_no_id_to_judge_it_by() {
        let answer = json!({
            "id": "7", "question": "Who?", "answer": "Oskar.", "abstained": false,
            "strategy": "cascade", "model": null, "citations": [], "claims": [],
            "retrieval": { "hits": [], "took_ms": 0.0 }, "steps": [],
            "timing": { "embed_ms": 0.0, "retrieve_ms": 0.0, "prefill_ms": 0.0,
                        "generate_ms": 0.0, "total_ms": 0.0 },
            "tokens": { "prompt": 0, "generated": 0 },
            "energy": { "joules": 0.0, "method": "" },
        });
        let mut answer: Answer = serde_json::from_value(answer).unwrap();
        assert_eq!(answered(&answer), "Oskar.\n\n\n(answer 7)");
        answer.unkept = true;
        assert_eq!(answered(&answer), "Oskar.\n");
    }

    #[test]
    fn programs_are_told_no_images_either_and_names_of_files_as_they_are() {
        let found = json!({
            "path": "/notes/<img a>.md",
            "hits": [{
                "text": "A plan: ![](https://example.org/plan.png) and <img src=\"x\">",
                "heading": ["![plan](https://example.org/x)"],
                "links": ["<img a>.md"],
                "rank": 1,
            }],
        });
        let told = Said::new(String::new(), &found).value;
        let (before, now) = (&found["hits"][0], &told["hits"][0]);
        assert_eq!(told["path"], found["path"]);
        assert_eq!(
            (&now["links"], &now["rank"]),
            (&before["links"], &before["rank"])
        );
        let said = format!("{}{}", now["text"], now["heading"]);
        assert!(said.contains("plan.png"), "{said}");
        assert!(!said.contains("![") && !said.contains("<img"), "{said}");
    }

    #[test]
    fn files_that_could_not_be_read_are_named() {
        let problem = |n: usize| ProblemStatus {
            path: format!("/notes/{n}.pdf").into(),
            reason: "it is locked".into(),
            since: "2026-11-26".into(),
        };
        let check = |count: usize, expected: &str| {
            let problems = (0..count).map(problem).collect();
            let text = unread(&Problems { problems });
            assert!(text.ends_with(expected), "{text}");
        };
        check(0, "Every file could be read.");
        check(1, "/notes/0.pdf: it is locked (since 2026-11-26)\n");
        check(PAGE + 2, "and 2 more\n");
    }
}
