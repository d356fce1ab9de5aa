//! Tokens that the owner gives to editors and agents.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, NotFound, now_ms};
use crate::domain::access::{Grant, Right, View, is_token_name};
use crate::domain::source::SourceId;
use crate::error::{BadRequest, Failure};
use crate::store::tokens;

/// What a new token is to be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// Its name: letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,64}$"))]
    pub name: String,
    /// What it may do; `read` and `ask` when nothing is said.
    #[serde(default)]
    pub rights: Vec<Right>,
    /// The sources that it may see; all when nothing is said.
    pub sources: Option<Vec<SourceId>>,
}

/// A new token. It is told once, and kept nowhere.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// What to send as bearer token.
    pub token: String,
    /// What goes with it.
    #[serde(flatten)]
    pub grant: Grant,
}

/// Tokens, without what would let somebody use them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// The tokens, by name.
    pub tokens: Vec<Grant>,
}

/// A token that was taken back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    /// Its name.
    pub revoked: String,
}

/// Who asks, and the knowledge base as they see it.
#[derive(Clone)]
pub struct Caller {
    /// The knowledge base, or the part of it that may be seen.
    pub app: Arc<App>,
    /// What goes with the token; none is the owner.
    grant: Option<Arc<Grant>>,
}

impl Caller {
    /// The owner.
    pub fn owner(app: &Arc<App>) -> Self {
        Self {
            app: Arc::clone(app),
            grant: None,
        }
    }

    /// Who holds a token; `app` is what goes with it.
    pub fn holder(app: Arc<App>, grant: Arc<Grant>) -> Self {
        let grant = Some(grant);
        Self { app, grant }
    }

    /// The name of the token; the owner's has none.
    pub fn name(&self) -> Option<&str> {
        self.grant.as_ref().map(|grant| grant.name.as_str())
    }

    /// May they?
    pub fn has(&self, right: Right) -> bool {
        let grant = self.grant.as_ref();
        grant.is_none_or(|grant| grant.rights.contains(&right))
    }

    /// May this source be seen?
    pub fn sees(&self, source: SourceId) -> bool {
        let sources = self.grant.as_ref().and_then(|grant| grant.sources.as_ref());
        sources.is_none_or(|sources| sources.contains(&source))
    }

    /// Is everything to be seen?
    pub fn sees_all(&self) -> bool {
        let grant = self.grant.as_ref();
        grant.is_none_or(|grant| grant.sources.is_none())
    }
}

/// What is kept of a token: so many random bits need no slow hash.
pub fn hash(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// Two random UUIDs: 244 random bits, as hexadecimal digits.
pub fn random_token() -> String {
    let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    halves.map(|half| half.simple().to_string()).concat()
}

impl App {
    /// The knowledge base as the holder of a token sees it.
    #[must_use]
    pub fn seen_by(&self, view: View) -> Self {
        let mut settings = self.settings.clone();
        if !view.everyones_answers {
            // Nothing of the owner's money may be spent, nor is told how much there is.
            settings.remote.tokens_per_day = 0;
            settings.remote.money_per_day = 0.0;
        }
        Self {
            settings,
            places: self.places.clone(),
            models: self.models.clone(),
            store: self.store.seen_by(view).into(),
            spaces: self.spaces.clone(),
            generator: self.generator.clone(),
            reranker: self.reranker.clone(),
            ingest: self.ingest.clone(),
            presence: self.presence.clone(),
        }
    }

    /// All tokens.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn tokens(&self) -> Result<Tokens, Failure> {
        let tokens = self.store.ledger().read(|snapshot| snapshot.tokens())?;
        Ok(Tokens { tokens })
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`BadRequest`] for a name that cannot be or is taken, and for sources that are not there.
    pub fn add_token(&self, body: TokenBody) -> Result<NewToken, Failure> {
        if !is_token_name(&body.name) {
            return Err(BadRequest::new(
                "bad_token_name",
                format!("`{}` cannot be the name of a token", body.name),
                "use letters, digits, `.`, `_` and `-`, at most 64",
            )
            .into());
        }
        let known = self.store.ledger().read(|snapshot| snapshot.sources())?;
        for id in body.sources.iter().flatten() {
            if !known.iter().any(|source| source.id == *id) {
                return Err(crate::store::StoreError::NoSource { id: *id }.into());
            }
        }
        let rights: BTreeSet<Right> = if body.rights.is_empty() {
            [Right::Read, Right::Ask].into()
        } else {
            body.rights.into_iter().collect()
        };
        if body.sources.is_some() && rights.contains(&Right::Admin) {
            return Err(BadRequest::new(
                "admin_sees_all",
                "who may do everything cannot be kept from a source",
                "leave out the right `admin`, or the sources",
            )
            .into());
        }
        let token = random_token();
        let grant = Grant {
            id: uuid::Uuid::now_v7().to_string(),
            name: body.name,
            rights,
            sources: body.sources.map(|sources| sources.into_iter().collect()),
            added_ms: now_ms(),
        };
        let ledger = self.store.ledger();
        let hash = hash(&token);
        if !ledger.write(|transaction| tokens::put_token(transaction, &grant, &hash))? {
            return Err(BadRequest::new(
                "token_exists",
                format!("there is a token `{}` already", grant.name),
                "choose another name, or take that one back with `coho token revoke`",
            )
            .into());
        }
        Ok(NewToken { token, grant })
    }

    /// Takes a token back; whoever holds it is refused from the next request on.
    ///
    /// # Errors
    /// [`NotFound`], or what the ledger says.
    pub fn revoke_token(&self, name: &str) -> Result<Revoked, Failure> {
        let ledger = self.store.ledger();
        if ledger.write(|transaction| tokens::remove_token(transaction, name))? {
            self.store.renew_copy()?;
            return Ok(Revoked {
                revoked: name.to_owned(),
            });
        }
        Err(NotFound::new("token", name).into())
    }
}
