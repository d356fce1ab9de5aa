//! The air gap on the command line: where the owner wants one, no command reaches out either.
//!
//! The filter of system calls closes the way out for the service that is started with it. A command
//! is a process of its own, which that filter does not bind: it looks at the settings, and asks the
//! service that runs on the same data folder.

use super::remote::Remote;
use super::units::WritebackAction;
use super::{Command, Session, eval, models};
use crate::app::network::{Level, distance};
use crate::domain::generator::shown_address;
use crate::error::{BadRequest, Failure};
use crate::flow::answer::Strategy;
use crate::settings::{Places, Settings};

/// Something that a command would speak to over the network, and how it is told not to.
struct WayOut {
    what: String,
    without: &'static str,
}

/// Refuses a command that would reach out where there is to be an air gap.
///
/// # Errors
/// [`BadRequest`]; what the running service says when it is asked.
pub(super) fn keep(session: &Session, command: &Command) -> Result<(), Failure> {
    let Some(WayOut { what, without }) = way_out(&session.settings, command) else {
        return Ok(());
    };
    let open_it = if session.settings.serve.air_gap {
        "set `serve.air_gap` to false"
    } else if is_enforced(&session.places)? {
        "start the service without --air-gap"
    } else {
        return Ok(());
    };
    let message = format!("behind the air gap {what} is not spoken to");
    let hint = format!("{without}, or {open_it}");
    Err(BadRequest::new("air_gap", message, hint).into())
}

/// Does the service of this data folder, if one runs, keep an air gap?
fn is_enforced(places: &Places) -> Result<bool, Failure> {
    let service = Remote::find(places);
    service.map_or(Ok(false), |service| service.is_behind_gap())
}

/// The first thing on the network that a command would speak to.
fn way_out(settings: &Settings, command: &Command) -> Option<WayOut> {
    let (remote, speak) = match command {
        Command::Ask(asked) => (asked.remote, asked.speak),
        _ => (false, false),
    };
    let url = &settings.remote.url;
    if remote && !url.is_empty() {
        let what = format!("the remote model at {}", shown_address(url));
        let without = "leave out --remote";
        return Some(WayOut { what, without });
    }
    let url = &settings.speech.url;
    if speak && !url.is_empty() {
        let what = format!("the speech server at {}", shown_address(url));
        let without = "set `speech.url` to nothing, for `speech.command`";
        return Some(WayOut { what, without });
    }
    if let Command::Models {
        action: Some(models::Action::Install { .. }),
    } = command
    {
        return Some(WayOut {
            what: "a package registry".into(),
            without: "add a model that lies here by `coho models add`",
        });
    }
    let url = &settings.models.server.url;
    let elsewhere = !url.is_empty() && distance(url) > Level::AirGapped;
    (elsewhere && asks_model(settings, command)).then(|| WayOut {
        what: format!("the model server at {}", shown_address(url)),
        without: "set `models.server.url` to nothing or to this machine",
    })
}

/// May this command ask the language model?
fn asks_model(settings: &Settings, command: &Command) -> bool {
    match command {
        Command::Ask(asked) => {
            let strategy = asked.strategy.unwrap_or(settings.answer.strategy);
            strategy != Strategy::Extractive
        }
        Command::Mcp { print_config, .. } => print_config.is_none(),
        Command::Writeback { action } => matches!(action, Some(WritebackAction::Run { .. })),
        Command::Eval { action } => matches!(action, Some(eval::Action::Run(_))),
        _ => false,
    }
}
