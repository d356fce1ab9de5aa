//! What may leave this machine, and what did.
//!
//! Two things can lead notes elsewhere, both off unless the owner names an address: a model server
//! in the language model's place, and the remote model for single questions. Sources that never
//! leave are out of sight for both, by the same views that keep tokens from what is not theirs.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network::{self, Level};
use super::{App, now_ms};
use crate::airgap;
use crate::domain::access::View;
use crate::domain::generator::{ServerOptions, shown_address};
use crate::domain::source::{SourceId, lies_in};
use crate::domain::strategy::Strategy;
use crate::engine::GeneratorHandle;
use crate::engine::server::ModelServer;
use crate::error::{BadRequest, Failure};
use crate::flow::answer::outside::{Outside, Terms};
use crate::flow::answer::{self, Answer, Answerer, Ask, Event};
use crate::flow::search::Hit;
use crate::store::StoreError;
use crate::store::outbound::{Sent, Spending};
use crate::store::sources::{self, Source};
use crate::store::units::UseUnits;

/// Requests that are listed at most.
const LISTED: usize = 200;

/// `coho status --left`: exactly what left this machine for the remote model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Left {
    /// Requests ever.
    pub requests: u64,
    /// Spent today (UTC).
    pub today: Spending,
    /// What may be spent a day.
    pub limits: Spending,
    /// The requests, the newest first.
    pub sent: Vec<Sent>,
}

/// What left, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeftSum {
    /// Requests to the remote model, ever.
    pub requests: u64,
    /// Spent today (UTC).
    pub today: Spending,
    /// What may be spent a day.
    pub limits: Spending,
}

impl App {
    fn limits(&self) -> Spending {
        Spending {
            tokens: self.settings.remote.tokens_per_day,
            cost: self.settings.remote.money_per_day,
        }
    }

    /// Exactly what left for the remote model.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn left(&self) -> Result<Left, Failure> {
        let mut sent = self.store.ledger().read(|snapshot| snapshot.sent(LISTED))?;
        for request in &mut sent {
            // Older versions wrote it down as it stood in the settings.
            request.url = shown_address(&request.url);
        }
        let LeftSum {
            requests,
            today,
            limits,
        } = self.left_sum()?;
        Ok(Left {
            requests,
            today,
            limits,
            sent,
        })
    }

    pub(super) fn left_sum(&self) -> Result<LeftSum, StoreError> {
        let ledger = self.store.ledger();
        let (requests, today) = ledger.read(|snapshot| snapshot.sent_today(now_ms()))?;
        Ok(LeftSum {
            requests,
            today,
            limits: self.limits(),
        })
    }

    /// Says whether anything of a source may be sent to another machine.
    ///
    /// # Errors
    /// [`StoreError::NoSource`].
    pub fn keep_here(&self, id: SourceId, never_leaves: bool) -> Result<(), Failure> {
        let ledger = self.store.ledger();
        if ledger.write(|transaction| sources::set_never_leaves(transaction, id, never_leaves))? {
            self.store.renew_copy()?;
            return Ok(());
        }
        Err(StoreError::NoSource { id }.into())
    }

    /// The sources that never leave.
    pub(super) fn staying(&self) -> Result<Vec<Source>, StoreError> {
        let mut sources = self.store.ledger().read(|snapshot| snapshot.sources())?;
        sources.retain(|source| source.never_leaves);
        Ok(sources)
    }

    /// The knowledge base without the sources that never leave; none where there are none.
    fn without_what_stays(&self) -> Result<Option<Self>, Failure> {
        let sources = self.store.ledger().read(|snapshot| snapshot.sources())?;
        if !sources.iter().any(|source| source.never_leaves) {
            return Ok(None);
        }
        let leaving: BTreeSet<SourceId> = sources
            .iter()
            .filter(|source| !source.never_leaves)
            .map(|source| source.id)
            .collect();
        let view = self.store.ledger().view();
        Ok(Some(self.seen_by(View {
            asker: view.and_then(|view| view.asker.clone()),
            everyones_answers: view.is_none_or(|view| view.everyones_answers),
            sources: Some(leaving),
        })))
    }

    /// Does a server on another machine take the language model's place?
    pub(super) fn model_is_elsewhere(&self) -> bool {
        let url = &self.settings.models.server.url;
        !url.is_empty() && network::distance(url) > Level::AirGapped
    }

    /// Whether the language model may be asked about a question. Where it is on another machine and
    /// the best passages are of a source that never leaves, the answer is made without it.
    fn may_ask_model(&self, ask: &Ask) -> Result<bool, Failure> {
        if !self.model_is_elsewhere() {
            return Ok(true);
        }
        let staying = self.staying()?;
        if staying.is_empty() {
            return Ok(true);
        }
        let found = self.search(&ask.query())?;
        let stays = |hit: &Hit| staying.iter().any(|s| lies_in(&hit.path, &s.path));
        Ok(!found.hits.iter().any(stays))
    }

    /// As [`App::answering`], with a model on another machine only where nothing that never leaves
    /// can reach it.
    pub(super) fn answering_to<T>(
        &self,
        ask: &Ask,
        work: impl FnOnce(&Answerer<'_>) -> T,
    ) -> Result<T, Failure> {
        if !self.may_ask_model(ask)? {
            return Ok(self.answering(|parts| {
                work(&Answerer {
                    generator: None,
                    searcher: parts.searcher,
                    options: parts.options,
                })
            }));
        }
        // Further searches on the way may find what the first did not.
        let part = if self.model_is_elsewhere() {
            self.without_what_stays()?
        } else {
            None
        };
        Ok(part.as_ref().unwrap_or(self).answering(work))
    }

    /// Answers by the remote model; blocks. Only what may leave is searched, and what leaves is
    /// masked, limited and written down; see [`Outside`].
    ///
    /// # Errors
    /// [`BadRequest`] where there is none, behind the air gap, or where the source never leaves; else
    /// as [`App::ask`].
    pub(super) fn ask_outside(
        &self,
        ask: &Ask,
        cancel: &Arc<AtomicBool>,
        emit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Answer, Failure> {
        let remote = &self.settings.remote;
        if remote.url.is_empty() {
            return Err(BadRequest::new(
                "remote_off",
                "there is no remote model",
                "set `remote.url` and `remote.model`, if you want one",
            )
            .into());
        }
        // Nothing is entered as sent, or counted, that cannot leave.
        if airgap::is_closed() || self.settings.serve.air_gap {
            return Err(BadRequest::new(
                "air_gap",
                format!(
                    "behind the air gap the remote model at {} cannot be reached",
                    shown_address(&remote.url)
                ),
                "ask without the remote model, or run coho without `serve.air_gap`",
            )
            .into());
        }
        network::encrypted_where_far("remote.url", &remote.url)?;
        let mut staying = self.staying()?.into_iter();
        if let Some(source) = staying.find(|source| Some(source.id) == ask.source) {
            return Err(BadRequest::new(
                "source_never_leaves",
                format!("{} never leaves this machine", source.path.display()),
                "ask without the remote model",
            )
            .into());
        }
        let server = ModelServer::new(&ServerOptions {
            url: remote.url.clone(),
            model: remote.model.clone(),
            key_env: remote.key_env.clone(),
        })?;
        let terms = Terms {
            url: shown_address(&remote.url),
            model: remote.model.clone(),
            limits: self.limits(),
            prices: (remote.price_read, remote.price_written),
            private: remote.private.clone(),
        };
        let store = Arc::clone(&self.store);
        let outside = Outside::new(server, store, terms, (ask.id.clone(), ask.asked_ms));
        let generator = GeneratorHandle::new(&remote.model, outside);
        // Units rest on what they were made of: they stay here.
        let ask = Ask {
            strategy: Strategy::Naive,
            units: UseUnits::Off,
            ..ask.clone()
        };
        let part = self.without_what_stays()?;
        part.as_ref().unwrap_or(self).answering(|parts| {
            let parts = Answerer {
                generator: Some(&generator),
                searcher: parts.searcher,
                options: parts.options,
            };
            answer::answer(&parts, &ask, cancel, emit)
        })
    }
}
