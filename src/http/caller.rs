//! Who asks: the owner, or the holder of a named token with its rights and its part of the notes.
//!
//! A handler takes the knowledge base from [`May`], which names the right that it wants and checks
//! it; the service in [`Context`](super::Context) is for what no caller sees, such as syncing. What
//! may be seen is not checked at all: the knowledge base of a caller holds nothing else.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use aide::generate::GenContext;
use aide::openapi::{Operation, Response, StatusCode};
use aide::{OperationInput, OperationOutput};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use subtle::ConstantTimeEq;

use super::failure::{Refusal, refusal};
use crate::app::tokens::{self, Caller};
use crate::app::{App, Service};
use crate::domain::access::{Grant, Right};
use crate::error::Failure;

/// The tokens, and the knowledge bases of their holders.
pub(super) struct Door {
    service: Arc<Service>,
    token: String,
    /// By the token's id; made anew when what goes with it changed.
    seats: Mutex<HashMap<String, (Arc<Grant>, Arc<App>)>>,
}

impl Door {
    pub(super) fn new(service: Arc<Service>, token: &str) -> Self {
        Self {
            service,
            token: token.to_owned(),
            seats: Mutex::default(),
        }
    }

    /// Is it the owner's token? Compared in constant time: the time taken says nothing about how
    /// much was right.
    pub(super) fn is_owner(&self, token: &str) -> bool {
        token.as_bytes().ct_eq(self.token.as_bytes()).into()
    }

    /// The owner.
    pub(super) fn owner(&self) -> Caller {
        Caller::owner(&self.service.app)
    }

    /// The holder of a named token; `None` when there is no such token. Reads the ledger.
    pub(super) fn holder(&self, token: &str) -> Result<Option<Caller>, Failure> {
        let hash = tokens::hash(token);
        let ledger = self.service.app.store.ledger();
        let Some(grant) = ledger.read(|snapshot| snapshot.grant(&hash))? else {
            return Ok(None);
        };
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seats.get(&grant.id).filter(|(known, _)| **known == grant);
        let (grant, app) = if let Some(known) = known {
            known.clone()
        } else {
            let app = Arc::new(self.service.app.seen_by(grant.view()));
            // Who was revoked keeps no seat.
            let held = ledger.read(|snapshot| snapshot.tokens())?;
            seats.retain(|id, _| held.iter().any(|grant| grant.id == *id));
            let seat = (Arc::new(grant), app);
            seats.insert(seat.0.id.clone(), seat.clone());
            seat
        };
        Ok(Some(Caller::holder(app, grant)))
    }
}

/// Who comes with a message to an agent's tools.
pub(super) fn of_mcp(message: &RequestContext<RoleServer>) -> Option<Caller> {
    let parts = message.extensions.get::<Parts>()?;
    parts.extensions.get().cloned()
}

/// A right, as a type.
pub(super) trait Needs {
    const RIGHT: Right;
}

macro_rules! rights {
    ($($name:ident => $right:ident),*) => {$(
        pub(super) struct $name;
        impl Needs for $name {
            const RIGHT: Right = Right::$right;
        }
    )*};
}
rights!(Read => Read, Ask => Ask, Write => Write, Admin => Admin);

/// A caller who has a right.
pub(super) struct May<R>(pub(super) Caller, pub(super) PhantomData<R>);

impl<R: Needs, S: Sync> FromRequestParts<S> for May<R> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| unauthorized(false))?;
        if caller.has(R::RIGHT) {
            return Ok(Self(caller, PhantomData));
        }
        Err(no_right(R::RIGHT))
    }
}

impl<R: Needs> OperationInput for May<R> {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        let right = R::RIGHT.as_str();
        let said = format!("Takes a token with the right `{right}`.");
        operation.description = Some(match &operation.description {
            Some(description) => format!("{description} {said}"),
            None => said,
        });
    }

    fn inferred_early_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, Response)> {
        Refusal::inferred_responses(context, operation)
    }
}

/// What somebody hears whose token lacks a right.
pub(super) fn no_right(right: Right) -> Refusal {
    let right = right.as_str();
    let hint = format!("`coho token add NAME --right {right}` makes a token that has it");
    refusal(
        403,
        "right_missing",
        format!("this token lacks the right `{right}`"),
        Some(hint),
    )
}

/// What somebody hears without a token that is known.
pub(super) fn unauthorized(gave_one: bool) -> Refusal {
    let detail = if gave_one {
        "the bearer token is not the right one"
    } else {
        "this route wants a bearer token"
    };
    let hint = "send `Authorization: Bearer …` with the content of the file `token` in the data \
                folder (`coho status` says where that is), or a token of `coho token add`";
    refusal(401, "unauthorized", detail, Some(hint.into()))
}
