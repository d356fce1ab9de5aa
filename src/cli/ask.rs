//! `coho search`, `coho ask` and `coho feedback`: what is asked of the notes.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sources::source_named;
use super::{AskArguments, Session, harmless, output, show};
use crate::app::App;
use crate::error::Failure;
use crate::flow::answer::{Ask, Event};
use crate::store::Access;
use crate::store::units::UseUnits;

/// `coho search`.
pub(super) fn search(
    session: Session,
    text: String,
    k: Option<usize>,
    source: Option<&str>,
    rerank: bool,
    explain: bool,
) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_to_search()?;
    let source = source.map(|name| source_named(&app, name)).transpose()?;
    let mut query = app.query(text, k, source);
    query.rerank |= rerank;
    query.explain = explain;
    let found = app.search(&query)?;
    if json {
        show::json(&found);
    } else {
        show::hits(&found);
    }
    Ok(ExitCode::SUCCESS)
}

impl AskArguments {
    fn asked(&self, app: &App) -> Result<Ask, Failure> {
        let source = self.source.as_deref();
        let source = source.map(|name| source_named(app, name)).transpose()?;
        let mut ask = app.question(self.question.clone(), self.strategy, self.k, source);
        if self.no_units {
            ask.units = UseUnits::Off;
        }
        ask.remote = self.remote;
        Ok(ask)
    }
}

/// Answers without units and with them, to be compared; only the second is kept.
pub(super) fn both_ways(session: Session, arguments: &AskArguments) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_to_search()?;
    let with = arguments.asked(&app)?;
    let without = Ask {
        units: UseUnits::Off,
        kept: false,
        // Under an id of its own: a verdict on it is none on the other.
        ..arguments.asked(&app)?
    };
    let answer = |ask: &Ask| app.ask(ask, &Arc::default(), &mut |_| ControlFlow::Continue(()));
    let both = output::BothWays {
        without: answer(&without)?,
        with: answer(&with)?,
    };
    if json {
        show::json(&both);
    } else {
        let shown = [
            ("without units", &both.without, None),
            ("with units", &both.with, Some(both.with.id.as_str())),
        ];
        for (name, answer, kept_as) in shown {
            out!("{name}\n{}", answer.answer);
            show::citations(answer, kept_as);
            out!("");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `coho ask`.
pub(super) fn ask(session: Session, arguments: &AskArguments) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_to_search()?;
    let ask = arguments.asked(&app)?;
    let cancel = Arc::new(AtomicBool::new(false));
    let speaker = arguments.speak.then(|| app.speaker());
    let mut speaker = speaker.transpose()?;
    let mut stdout = io::stdout();
    let mut tell = |event| {
        if let Some(speaker) = &mut speaker {
            speaker.hear(&event);
        }
        if let (Event::Token(piece), false) = (&event, json) {
            // A reader that has gone away (`| head`) ends the answer.
            if stdout
                .write_all(harmless(piece).as_bytes())
                .and_then(|()| stdout.flush())
                .is_err()
            {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    let answered = AtomicBool::new(false);
    let answer = std::thread::scope(|scope| {
        let watcher = app.generator.as_ref().and_then(|generator| {
            let watcher = std::thread::Builder::new().name("coho-loading".into());
            // Without it, the answer comes all the same.
            let watch = || show::loading(generator, &answered);
            watcher.spawn_scoped(scope, watch).ok()
        });
        let answer = app.ask(&ask, &cancel, &mut tell);
        answered.store(true, Ordering::Relaxed);
        if let Some(watcher) = watcher {
            watcher.thread().unpark();
        }
        answer
    })?;
    if json {
        show::json(&answer);
    } else {
        // The end of what was streamed.
        out!("");
        show::citations(&answer, Some(&answer.id));
    }
    let spoken = speaker.map_or(Ok(()), |speaker| speaker.end());
    // The answer is told already: on stdout nothing more is said.
    Ok(spoken.map_or_else(
        |failure| {
            show::failure(&failure, false);
            ExitCode::from(failure.kind().exit_code())
        },
        |()| ExitCode::SUCCESS,
    ))
}

/// `coho feedback`.
pub(super) fn feedback(
    session: Session,
    answer: &str,
    verdict: &str,
    note: Option<&str>,
) -> Result<ExitCode, Failure> {
    let json = session.json;
    session
        .open_records(Access::Read)?
        .feedback(answer, verdict, (note, None))?;
    if json {
        let (answer, verdict) = (answer.to_owned(), verdict.to_owned());
        show::json(&output::Noted { answer, verdict });
    } else {
        out!("noted: {answer} was {verdict}");
    }
    Ok(ExitCode::SUCCESS)
}
