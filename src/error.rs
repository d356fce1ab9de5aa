//! What kind of trouble an error is and what the reader can do about it.
//!
//! Owns the classification that both edges share: the HTTP status and the exit code follow from
//! [`Kind`] alone, here and nowhere else. Refuses to know any module's error type: modules
//! implement [`Fault`], edges carry a [`Failure`].

use std::fmt;

/// Whose move it is, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request or a setting is wrong; sending it again unchanged fails again.
    BadInput,
    /// The thing that was named does not exist, or may not be seen.
    NotFound,
    /// The caller has not shown that it may do this.
    Denied,
    /// The request contradicts the present state, such as a second service on one data folder.
    Conflict,
    /// Something must be installed, loaded or waited for first.
    NotReady,
    /// A defect, or a machine that fails under us.
    Ours,
}

impl Kind {
    /// The HTTP status that tells this kind to a client.
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadInput => 400,
            Self::Denied => 401,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::NotReady => 503,
            Self::Ours => 500,
        }
    }

    /// The process exit code: 1 the user can mend it, 2 ours.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ours => 2,
            _ => 1,
        }
    }
}

/// An error that can say its kind, a stable code and a next step.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// The kind, which decides status and exit code.
    fn kind(&self) -> Kind;

    /// A stable, machine-readable name in snake case, unique to the situation.
    fn code(&self) -> &'static str;

    /// What to do next, when there is something to do.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Any module's error on its way to an edge, with its chain of causes intact.
pub struct Failure(Box<dyn Fault>);

impl Failure {
    /// See [`Fault::kind`].
    pub fn kind(&self) -> Kind {
        self.0.kind()
    }

    /// See [`Fault::code`].
    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// See [`Fault::hint`].
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// The message with its causes, on one line.
    pub fn whole(&self) -> String {
        let mut whole = self.0.to_string();
        for cause in self.causes() {
            whole.push_str(": ");
            whole.push_str(&cause);
        }
        whole
    }

    /// The causes below the message, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = error.source();
        }
        causes
    }
}

impl<F: Fault> From<F> for Failure {
    fn from(fault: F) -> Self {
        Self(Box::new(fault))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request that is wrong in a way that no deeper module has a name for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong, in the caller's words.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
}

impl BadRequest {
    /// A bad request with a code, a message and what to do instead.
    pub fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }
}

impl Fault for BadRequest {
    fn kind(&self) -> Kind {
        Kind::BadInput
    }
    fn code(&self) -> &'static str {
        self.code
    }
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// `names`' nearest entry to `word`, if one is near enough to be a likely slip of the hand.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}
