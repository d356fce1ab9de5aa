//! `coho token`: who else may ask.

use std::process::ExitCode;

use clap::Subcommand;

use super::sources::source_named;
use super::{Session, app, show};
use crate::app::tokens::TokenBody;
use crate::domain::access::{Grant, Right};
use crate::error::Failure;
use crate::store::Access;

#[derive(Default, Subcommand)]
pub(super) enum Action {
    /// Make a token for an editor or an agent; it is told once and kept nowhere
    Add {
        /// Its name
        name: String,
        /// What it may do (may be repeated; `read` and `ask` when nothing is said)
        #[arg(long = "right", value_name = "RIGHT")]
        rights: Vec<Right>,
        /// A source that it may see (its number or its path; may be repeated; all when nothing is said)
        #[arg(long = "source", value_name = "SOURCE")]
        sources: Vec<String>,
    },
    /// List tokens, with what they may do
    #[default]
    List,
    /// Take a token back; whoever holds it is refused at once
    Revoke {
        /// Its name
        name: String,
    },
}

pub(super) fn run(session: Session, action: Action) -> Result<ExitCode, Failure> {
    let json = session.json;
    // A running service looks tokens up in the ledger, so that it need not be told.
    let app: app::App = session.open_records(Access::Read)?;
    match action {
        Action::Add {
            name,
            rights,
            sources,
        } => {
            let named = sources.iter().map(|name| source_named(&app, name));
            let named: Vec<_> = named.collect::<Result<_, _>>()?;
            let body = TokenBody {
                name,
                rights,
                sources: (!named.is_empty()).then_some(named),
            };
            let made = app.add_token(body)?;
            if json {
                show::json(&made);
            } else {
                out!("{}", made.token);
                note!(
                    "the token `{}` {}; it is not shown again",
                    made.grant.name,
                    said(&made.grant)
                );
            }
        }
        Action::List => {
            let tokens = app.tokens()?;
            if json {
                show::json(&tokens);
            } else if tokens.tokens.is_empty() {
                out!("no tokens but your own: `coho token add NAME` makes one");
            } else {
                for grant in &tokens.tokens {
                    out!("{} {}", grant.name, said(grant));
                }
            }
        }
        Action::Revoke { name } => {
            let revoked = app.revoke_token(&name)?;
            if json {
                show::json(&revoked);
            } else {
                out!("took back the token `{name}`");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn said(grant: &Grant) -> String {
    let rights: Vec<&str> = grant.rights.iter().map(|right| right.as_str()).collect();
    let rights = rights.join(", ");
    match &grant.sources {
        None => format!("may {rights} in everything"),
        Some(sources) if sources.is_empty() => {
            format!("may {rights}, but sees no source")
        }
        Some(sources) => {
            let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
            format!("may {rights} in source {}", sources.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::SourceId;

    #[test]
    fn what_a_token_may_is_told() {
        let check = |sources: Option<&[i64]>, expected: &str| {
            let grant = Grant {
                id: "1".into(),
                name: "agent".into(),
                rights: [Right::Read, Right::Ask].into(),
                sources: sources.map(|ids| ids.iter().copied().map(SourceId).collect()),
                added_ms: 0,
            };
            assert_eq!(said(&grant), expected);
        };
        check(None, "may read, ask in everything");
        check(Some(&[1, 2]), "may read, ask in source 1, 2");
        check(Some(&[]), "may read, ask, but sees no source");
    }
}
