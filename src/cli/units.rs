//! `coho units` and `coho writeback`: what was learned, and who decides about it.

use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use clap::{ArgGroup, Subcommand};

use super::{Session, Writing, open_for_writing, output, show, stop_on_interrupt};
use crate::app::App;
use crate::app::learning::{self, RunBody, Stand, Story};
use crate::domain::unit::{OWN, Review, State, Unit};
use crate::error::Failure;
use crate::flow::writeback::{Decision, Report, Step};
use crate::store::Access;
use crate::store::units::batches::{Batch, Undo};
use crate::store::units::life::BY_OWNER;
use crate::store::units::{GOOD, SECOND_SOURCES};

#[derive(Subcommand)]
pub(super) enum UnitsAction {
    /// List units, the newest first
    List {
        /// Only those in this state
        #[arg(long)]
        state: Option<State>,
        /// So many at most
        #[arg(
            long,
            default_value_t = learning::LISTED,
            value_parser = RangedU64ValueParser::<usize>::new().range(1..)
        )]
        limit: usize,
    },
    /// Tell the whole story of a unit
    Show {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Put units in use
    Approve {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take units out of use because they are wrong
    Reject {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take units out of use because they are of no use
    Retire {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Look at every unit for what should not be; exit code 1 when there is something
    Lint,
    /// Take back one unit, a batch, everything since a day, or everything
    ///
    /// What was made goes out of use; of a batch or since a day, what was widened is what it was
    /// before, what was merged away comes back, and so do the weights of the ranking. What a gate
    /// took out of use stays out. What you take back is not learned again: `coho units approve`
    /// puts it in use.
    #[command(group = ArgGroup::new("what").required(true))]
    Undo {
        /// One unit
        #[arg(group = "what")]
        id: Option<String>,
        /// All that one run did (`coho writeback list` names the runs)
        #[arg(long, group = "what")]
        batch: Option<String>,
        /// All that was done since this day (`2026-11-21`, `7d`) or moment
        #[arg(long, group = "what", value_name = "DAY")]
        since: Option<String>,
        /// All that was ever made, and the learned weights of the ranking
        #[arg(long, group = "what")]
        all: bool,
    },
}

impl Default for UnitsAction {
    fn default() -> Self {
        Self::List {
            state: None,
            limit: learning::LISTED,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum WritebackAction {
    /// Distil units from the answers that hold up, and try them on past questions
    Run {
        /// Judge only; write nothing
        #[arg(long)]
        dry_run: bool,
        /// Only answers since this day (`2026-11-21`, `7d`) or moment
        #[arg(long, value_name = "DAY")]
        since: Option<String>,
        /// Say what each gate found
        #[arg(long)]
        explain: bool,
    },
    /// List runs with the units that they made and changed, what was spent today, and weights of the
    /// ranking that were learned
    List {
        /// Go back to the weights that everybody has first
        #[arg(long)]
        reset_ranking: bool,
    },
}

impl Default for WritebackAction {
    fn default() -> Self {
        Self::List {
            reset_ranking: false,
        }
    }
}

pub(super) fn run(session: Session, action: UnitsAction) -> Result<ExitCode, Failure> {
    let json = session.json;
    // Decisions are single transactions of the ledger: they need no lock, also beside a service.
    let app = session.open_records(Access::Read)?;
    let decide = |ids: &[String], decision| decide(&app, json, ids, decision);
    match action {
        UnitsAction::List { state, limit } => {
            let units = app.units(state, limit)?;
            if json {
                show::json(&units);
            } else {
                list(&units.units, state);
                if units.units.len() == limit {
                    out!("there may be more: `--limit N` lists so many");
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        UnitsAction::Show { id } => {
            let story = app.unit(&id)?;
            if json {
                show::json(&story);
            } else {
                tell(&story, app.settings.writeback.review);
            }
            Ok(ExitCode::SUCCESS)
        }
        UnitsAction::Approve { ids } => decide(&ids, Decision::Approve),
        UnitsAction::Reject { ids } => decide(&ids, Decision::Reject),
        UnitsAction::Retire { ids } => decide(&ids, Decision::Retire),
        UnitsAction::Lint => {
            let findings = app.lint()?;
            let clean = findings.is_empty();
            if json {
                show::json(&output::Linted { findings });
            } else if clean {
                out!("every unit stands in its sources");
            } else {
                for finding in findings {
                    out!("{}: {}", finding.unit, finding.reason);
                }
            }
            Ok(if clean {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            })
        }
        UnitsAction::Undo {
            id,
            batch,
            since,
            all: _,
        } => {
            let what = match (id, batch, since) {
                (Some(id), ..) => Undo::Unit(id),
                (_, Some(batch), _) => Undo::Batch(batch),
                (.., Some(since)) => Undo::Since(learning::moment(&since)?),
                _ => Undo::All,
            };
            let undone = app.undo(&what)?;
            if json {
                show::json(&undone);
            } else {
                out!("{}", taken_back(undone.retired));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Decides about all of these units, or about none where one is not there.
fn decide(app: &App, json: bool, ids: &[String], decision: Decision) -> Result<ExitCode, Failure> {
    let found = ids.iter().map(|id| app.unit(id).map(|story| story.unit.id));
    let found = found.collect::<Result<Vec<String>, Failure>>()?;
    let mut units = Vec::new();
    for id in &found {
        match app.decide(id, decision) {
            Ok(unit) => units.push(unit),
            Err(failure) => {
                // A state that does not allow it stops here; what was done before is done.
                for unit in &units {
                    note!("{} is {}", unit.id, unit.state.as_str());
                }
                return Err(failure);
            }
        }
    }
    if json {
        show::json(&learning::Units { units });
    } else {
        for unit in units {
            out!("{} is {}", unit.id, unit.state.as_str());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(units: &[Unit], state: Option<State>) {
    if units.is_empty() {
        out!("{}", none(state));
    }
    for unit in units {
        out!(
            "{}  {:<9}  {}",
            unit.id,
            unit.state.as_str(),
            show::label(&unit.title)
        );
        out!("    {}", unit.text.replace('\n', "\n    "));
        out!("    ({})", unit.reason);
    }
}

/// What is said of units that were taken back.
fn taken_back(units: usize) -> String {
    match units {
        0 => "no unit changed: none that this names was in use or in trial".into(),
        1 => "1 unit is out of use, or what it was before".into(),
        _ => format!("{units} units are out of use, or what they were before"),
    }
}

/// What is said where no unit is listed.
fn none(state: Option<State>) -> String {
    state.map_or_else(
        || "no units yet: ask questions, then `coho writeback run`".into(),
        |state| {
            let state = state.as_str();
            format!("no unit is {state}: `coho units list` lists those in other states")
        },
    )
}

/// The story of a unit, to be read aloud.
fn tell(story: &Story, review: Review) {
    let unit = &story.unit;
    out!(
        "{}  {}  {}",
        unit.id,
        unit.state.as_str(),
        show::label(&unit.title)
    );
    out!("{}", unit.text);
    out!("");
    out!("answers");
    for question in &unit.questions {
        out!("    {question}");
    }
    out!("rests on");
    story.evidence.iter().for_each(evidence);
    out!("gates");
    for verdict in &unit.gates {
        gate(verdict);
    }
    out!("what happened");
    for event in &story.events {
        let before = event.before.map_or("made", State::as_str);
        let when = super::show::moment(event.at_ms);
        out!(
            "    {when}  {before} → {}: {}",
            event.after.as_str(),
            event.reason
        );
    }
    if let Some(what) = waits_for(unit, review) {
        let id = &unit.id;
        out!("in trial: it waits for {what} (`coho units approve {id}`, or `reject`)");
    }
    let uses = unit.uses;
    out!(
        "uses: near {} questions, cited {} times, helped {}, harmed {}",
        uses.retrieved,
        uses.cited,
        uses.helped,
        uses.harmed
    );
    out!(
        "trust {}, made by {}, batch {}",
        unit.trust,
        unit.recipe,
        unit.batch
    );
    if !story.answers.is_empty() {
        out!("made of answers {}", story.answers.join(", "));
    }
    if !unit.replaces.is_empty() {
        out!("in the place of units {}", unit.replaces.join(", "));
    }
}

/// Where sentences of a unit stand now: the file may have had another name when the unit was made.
fn stands(stand: &Stand) -> String {
    match &stand.file {
        Some(file) => show::place(file, stand.lines, stand.page),
        None => format!("{}  (what it quotes is gone)", show::label(&stand.path)),
    }
}

fn evidence(stand: &Stand) {
    out!("    {}", stands(stand));
    for sentence in &stand.sentences {
        let flat = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
        out!("        “{flat}”");
    }
}

/// What a unit in trial waits for.
fn waits_for(unit: &Unit, review: Review) -> Option<&'static str> {
    if unit.state != State::Shadow {
        return None;
    }
    if review == Review::Ask || unit.uses.harmed > 0 {
        return Some("your word");
    }
    let is_called_good = unit.score(GOOD) > 0.0;
    let is_backed = unit.trust >= OWN || unit.score(SECOND_SOURCES) > 0.0 || is_called_good;
    // What spoke for it when the owner took it out of use, the owner knew.
    let is_proved = (unit.uses.helped > 0 || is_called_good) && !unit.reason.starts_with(BY_OWNER);
    Some(if is_backed && is_proved {
        "the next run of writeback"
    } else if is_backed {
        "another question that it answers, or your word"
    } else {
        "a second document, as others wrote this one, or your word"
    })
}

fn gate(verdict: &crate::domain::gate::Verdict) {
    let mark = if verdict.passed { "✓" } else { "✗" };
    let score = verdict
        .score
        .map_or(String::new(), |score| format!(" {score:.2}"));
    out!(
        "    {mark} {:<11}{score:>7}  {}",
        verdict.gate.as_str(),
        verdict.reason
    );
}

pub(super) fn writeback(session: Session, action: WritebackAction) -> Result<ExitCode, Failure> {
    let json = session.json;
    match action {
        WritebackAction::Run {
            dry_run,
            since,
            explain,
        } => {
            let body = RunBody { dry_run, since };
            let report = match open_for_writing(session)? {
                Writing::Here(app) => {
                    let stop = stop_on_interrupt();
                    let bar = show::CountBar::new("answers", 0);
                    let told = |step: Step| bar.update_of(step.judged, step.answers);
                    let report = app.write_back(&body, &told, &stop);
                    bar.finish();
                    report?
                }
                Writing::There(remote) => remote.write_back(&body)?,
            };
            if json {
                show::json(&report);
            } else {
                summary(&report, explain);
            }
        }
        WritebackAction::List { reset_ranking } => {
            let app = session.open_records(Access::Read)?;
            if reset_ranking {
                app.reset_ranking()?;
            }
            let batches = app.batches(50)?;
            if json {
                show::json(&batches);
                return Ok(ExitCode::SUCCESS);
            }
            if reset_ranking {
                out!("the ranking has the weights that everybody has first");
            }
            for batch in &batches.batches {
                let when = show::moment(batch.started_ms);
                out!("{}  {when}  {}", batch.id, came_of(batch));
            }
            let today = batches.today;
            out!(
                "today: {:.1} s, {:.0} J, {} units",
                today.seconds,
                today.joules,
                today.units
            );
            if let Some(learned) = &batches.ranking {
                out!(
                    "ranking learned from your questions: reciprocal rank {:+.3} ({:+.3} to {:+.3}) on {} others",
                    learned.gain,
                    learned.interval.0,
                    learned.interval.1,
                    learned.questions
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of a run. One that was killed is under way until the next one has gone on with it.
fn came_of(batch: &Batch) -> String {
    let state = match batch.state.as_str() {
        "rolled_back" => "rolled back",
        "running" => "under way, or cut off: the next run goes on with it",
        other => other,
    };
    let did = format!("{} made, {} changed", batch.made, batch.changed);
    if batch.reason.is_empty() {
        format!("{did}; {state}")
    } else {
        format!("{did}; {state}: {}", batch.reason)
    }
}

/// What a run did, or a dry one would have: that looks at nothing but answers.
fn judged(report: &Report) -> String {
    let (answers, made, widened) = (report.considered.len(), report.made, report.widened);
    if report.dry {
        return format!(
            "{answers} answers judged: {made} units would be made, {widened} widened; nothing was \
             written, and neither units that are there nor past questions were looked at"
        );
    }
    format!(
        "{answers} answers judged: {made} units made, {widened} widened, {} put in use, \
         {} contested, {} retired, {} verified again",
        report.promoted.len(),
        report.contested.len(),
        report.retired.len(),
        report.verified.len()
    )
}

fn summary(report: &Report, explain: bool) {
    if explain {
        for considered in &report.considered {
            out!("{}", considered.question);
            considered.gates.iter().for_each(gate);
            if let Some(unit) = &considered.unit {
                out!("    unit {unit}");
            }
        }
    }
    out!("{}", judged(report));
    if report.made > 0 && !report.dry {
        out!(
            "`coho units list --state shadow` lists what is in trial, `coho units show ID` says what it \
             waits for"
        );
    }
    if report.replayed > 0 {
        out!(
            "tried on {} past questions: reciprocal rank of their evidence {:+.4}",
            report.replayed,
            report.change
        );
    }
    if report.rolled_back {
        out!("rolled back: {}", report.reason);
    } else if !report.reason.is_empty() {
        out!("{}", report.reason);
    }
    out!(
        "{:.1} s, {:.0} J, {} calls of the language model",
        report.seconds,
        report.joules,
        report.model_calls
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_named_so_that_it_can_be_opened() {
        let mut stand = Stand {
            path: "b/c.md".into(),
            file: Some("/nowhere/a/b/c.md".into()),
            chunk_id: String::new(),
            lines: Some((3, 4)),
            page: None,
            text: Some(String::new()),
            sentences: Vec::new(),
        };
        assert_eq!(stands(&stand), "/nowhere/a/b/c.md:3-4");
        (stand.file, stand.text, stand.lines) = (None, None, None);
        assert_eq!(stands(&stand), "b/c.md  (what it quotes is gone)");
    }

    #[test]
    fn what_a_unit_in_trial_waits_for_is_said() {
        let check = |change: &dyn Fn(&mut Unit), review, expected: Option<&str>| {
            let mut unit: Unit = serde_json::from_value(serde_json::json!({
                "id": "u", "state": "shadow", "title": "", "text": "", "questions": [], "sources": [],
                "scores": {}, "gates": [], "batch": "", "trust": 1.0, "recipe": "", "reason": "found",
                "made_ms": 0, "uses": { "retrieved": 0, "cited": 0, "helped": 0, "harmed": 0 }
            }))
            .unwrap();
            change(&mut unit);
            assert_eq!(waits_for(&unit, review), expected, "{unit:?}");
        };
        let (run, word) = (Some("the next run of writeback"), Some("your word"));
        let question = Some("another question that it answers, or your word");
        let document = Some("a second document, as others wrote this one, or your word");
        check(&|_| (), Review::Auto, question);
        check(&|_| (), Review::Ask, word);
        check(&|unit| unit.uses.harmed = 1, Review::Auto, word);
        check(&|unit| unit.uses.helped = 1, Review::Auto, run);
        check(&|unit| unit.state = State::Active, Review::Ask, None);
        let of_others = |unit: &mut Unit| {
            unit.trust = 0.5;
            unit.uses.helped = 1;
        };
        check(&of_others, Review::Auto, document);
        let good = |unit: &mut Unit| {
            of_others(unit);
            unit.scores.insert(GOOD.into(), 1.0);
        };
        check(&good, Review::Auto, run);
        let taken_back = |unit: &mut Unit| {
            good(unit);
            unit.reason = format!("{BY_OWNER} undid it");
        };
        check(&taken_back, Review::Auto, question);
        let second = |unit: &mut Unit| {
            of_others(unit);
            unit.scores.insert(SECOND_SOURCES.into(), 1.0);
        };
        check(&second, Review::Auto, run);
    }

    #[test]
    fn a_dry_run_claims_nothing_that_it_did_not_look_at() {
        let report = |dry| Report {
            dry,
            made: 2,
            ..Report::default()
        };
        let real = "0 answers judged: 2 units made, 0 widened, 0 put in use, 0 contested, 0 retired, \
                    0 verified again";
        assert_eq!(judged(&report(false)), real);
        let dry = judged(&report(true));
        assert!(
            dry.contains("2 units would be made") && !dry.contains("retired"),
            "{dry}"
        );
    }

    #[test]
    fn what_came_of_a_run_is_said_in_plain_words() {
        let check = |state: &str, reason: &str, expected: &str| {
            let expected = format!("3 made, 1 changed; {expected}");
            let batch = Batch {
                id: "b".into(),
                started_ms: 0,
                ended_ms: None,
                state: state.into(),
                reason: reason.into(),
                made: 3,
                changed: 1,
            };
            assert_eq!(came_of(&batch), expected);
        };
        check("published", "", "published");
        check(
            "rolled_back",
            "the owner undid it",
            "rolled back: the owner undid it",
        );
        check(
            "running",
            "",
            "under way, or cut off: the next run goes on with it",
        );
    }

    #[test]
    fn how_many_units_were_taken_back_is_said() {
        let check = |units, expected: &str| assert_eq!(taken_back(units), expected);
        check(
            0,
            "no unit changed: none that this names was in use or in trial",
        );
        check(1, "1 unit is out of use, or what it was before");
        check(2, "2 units are out of use, or what they were before");
    }

    #[test]
    fn where_no_unit_is_listed_it_is_said_of_which() {
        let check = |state, expected: &str| assert_eq!(none(state), expected);
        let all = "no units yet: ask questions, then `coho writeback run`";
        check(None, all);
        let stale = "no unit is stale: `coho units list` lists those in other states";
        check(Some(State::Stale), stale);
    }
}
