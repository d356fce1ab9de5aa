//! The arguments of the tools: what each takes, and how that is read as models write it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::source::SourceName;
use crate::error::{BadRequest, Failure};
use crate::flow::answer::Strategy;

/// Arguments of `search`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    /// Words; also "phrases", -without, and filters such as tag:work, path:notes/, after:2026-10
    pub(super) query: String,
    /// Hits at most, 1 to 100
    pub(super) k: Option<usize>,
    /// Only this source, by its number or its path
    pub(super) source: Option<SourceName>,
    /// Take the query as words alone, without phrases and filters
    #[serde(default)]
    pub(super) literal: bool,
    /// Rank the best anew with the reranker
    pub(super) rerank: Option<bool>,
    /// Say how each hit came about
    #[serde(default)]
    pub(super) explain: bool,
}

/// Arguments of `ask`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// The question
    #[serde(alias = "question")]
    pub(super) query: String,
    /// How to answer; the owner's choice when nothing is said
    pub(super) strategy: Option<Strategy>,
    /// Passages to look at
    pub(super) k: Option<usize>,
    /// Only this source, by its number or its path
    pub(super) source: Option<SourceName>,
    /// Leave out what was learned from earlier answers
    #[serde(default)]
    pub(super) no_units: bool,
}

/// Arguments of `get_document`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Its path, as hits and citations name it
    pub(super) path: Option<PathBuf>,
    /// Its number, where that is known
    pub(super) id: Option<i64>,
    /// Passages to skip, to read on in a long document
    #[serde(default)]
    pub(super) skip: usize,
}

/// Arguments of `list_sources`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Arguments of `status`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    /// Name the files that could not be read, and say why
    #[serde(default)]
    pub(super) problems: bool,
}

/// Arguments of `remember`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Remember {
    /// The title of the note
    pub(super) title: String,
    /// The text of the note, Markdown
    pub(super) text: String,
    /// The source to write it into, by its number or its path; the first that takes notes when
    /// nothing is said
    pub(super) source: Option<SourceName>,
}

/// Arguments of `feedback`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Feedback {
    /// Id of the answer
    pub(super) answer: String,
    /// `good` or `bad`
    pub(super) verdict: String,
    /// Why
    pub(super) note: Option<String>,
}

/// The arguments of a tool. Models say `null` for what they do not mean: as good as nothing; and they
/// write numbers and truth as texts, or whole numbers as 2.0: read where the schema wants no text.
pub(super) fn arguments<T: DeserializeOwned + JsonSchema>(mut given: Value) -> Result<T, Failure> {
    if let Value::Object(said) = &mut given {
        said.retain(|_, value| !value.is_null());
        let schema = serde_json::to_value(schemars::schema_for!(T)).unwrap_or_default();
        for (name, value) in said {
            let takes = Takes::of(&schema["properties"][name.as_str()], &schema);
            *value = takes.read(name, value.take())?;
        }
    }
    serde_json::from_value(given).map_err(|error| bad_arguments(error.to_string()))
}

fn bad_arguments(what: String) -> Failure {
    let hint = "the tool's input schema says what it takes";
    BadRequest::new("bad_arguments", what, hint).into()
}

/// Characters of a value that are told where it is refused.
const TOLD_CHARS: usize = 60;

/// What an argument may be, as its schema says; nothing for one that the tool does not have.
#[derive(Default)]
struct Takes {
    whole: bool,
    least: Option<i64>,
    truth: bool,
    text: bool,
}

impl Takes {
    fn of(schema: &Value, root: &Value) -> Self {
        let mut takes = Self::default();
        takes.add(schema, root);
        takes
    }

    fn add(&mut self, schema: &Value, root: &Value) {
        let place = schema["$ref"]
            .as_str()
            .map(|name| name.trim_start_matches('#'));
        if let Some(meant) = place.and_then(|place| root.pointer(place)) {
            self.add(meant, root);
        }
        for list in ["anyOf", "oneOf"] {
            for one in schema[list].as_array().into_iter().flatten() {
                self.add(one, root);
            }
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.as_slice(),
            kind => std::slice::from_ref(kind),
        };
        for kind in kinds {
            match kind.as_str() {
                Some("integer") => {
                    self.whole = true;
                    self.least = schema["minimum"].as_i64();
                }
                Some("boolean") => self.truth = true,
                Some("string") => self.text = true,
                _ => {}
            }
        }
    }

    /// The value of this name as the tool takes it.
    fn read(&self, name: &str, value: Value) -> Result<Value, Failure> {
        if !(self.whole || self.truth || self.text) {
            return Ok(value);
        }
        let read = match &value {
            Value::Number(number) if self.whole => whole_number(number.as_i64(), number.as_f64()),
            Value::Bool(_) if self.truth => return Ok(value),
            Value::String(_) if self.text => return Ok(value),
            Value::String(text) => self.read_text(text.trim()),
            _ => None,
        };
        let fits = |read: &Value| {
            read.as_i64()
                .is_none_or(|n| self.least.is_none_or(|l| n >= l))
        };
        read.filter(fits).ok_or_else(|| {
            let told: String = value.to_string().chars().take(TOLD_CHARS).collect();
            bad_arguments(format!("`{name}` takes {}, not {told}", self.wanted()))
        })
    }

    fn read_text(&self, text: &str) -> Option<Value> {
        let number = || whole_number(text.parse().ok(), text.parse().ok());
        if self.truth && text.eq_ignore_ascii_case("true") {
            Some(true.into())
        } else if self.truth && text.eq_ignore_ascii_case("false") {
            Some(false.into())
        } else if self.whole {
            number()
        } else {
            None
        }
    }

    fn wanted(&self) -> String {
        let number = match self.least {
            Some(least) => format!("a whole number from {least}"),
            None => "a whole number".into(),
        };
        let kinds = [
            (self.whole, number.as_str()),
            (self.truth, "true or false"),
            (self.text, "a text"),
        ];
        let kinds = kinds.iter().filter(|(takes, _)| *takes);
        let kinds: Vec<&str> = kinds.map(|(_, kind)| *kind).collect();
        kinds.join(" or ")
    }
}

/// A whole number, also one that is written with a fraction of nothing; not beyond what a fraction
/// tells exactly.
fn whole_number(exact: Option<i64>, written: Option<f64>) -> Option<Value> {
    const MOST: f64 = 9_007_199_254_740_992.0;
    let rounded = || {
        let number = written.filter(|number| number.fract() == 0.0 && number.abs() <= MOST);
        number.map(|number| number as i64)
    };
    exact.or_else(rounded).map(Value::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_is_as_good_as_nothing() {
        let given = json!({
            "query": "x", "k": null, "source": null, "literal": null, "rerank": null, "explain": null,
        });
        let search: Search = arguments(given).unwrap();
        assert!(!search.literal && !search.explain && search.k.is_none());
        let given = json!({ "query": "x", "no_units": null, "strategy": null });
        let question: Question = arguments(given).unwrap();
        assert!(!question.no_units);
        let which: Which = arguments(json!({ "path": "a", "skip": null })).unwrap();
        assert_eq!(which.skip, 0);
        let refused = arguments::<Search>(json!({ "query": null })).err().unwrap();
        assert!(refused.to_string().contains("missing field `query`"));
    }

    #[test]
    fn numbers_and_truth_are_read_as_models_write_them() {
        let check = |k: Value, literal: Value, expected: (usize, bool)| {
            let given = json!({ "query": "x", "k": k, "literal": literal });
            let search: Search = arguments(given).unwrap();
            assert_eq!((search.k.unwrap(), search.literal), expected);
        };
        check(json!(2), json!(true), (2, true));
        check(json!(2.0), json!("true"), (2, true));
        check(json!("2"), json!("False"), (2, false));
        check(json!(" 2.0 "), json!(false), (2, false));
        let which: Which = arguments(json!({ "id": "-3", "skip": 1e2 })).unwrap();
        assert_eq!((which.id, which.skip), (Some(-3), 100));
        // A text stays one where a text is wanted, or may be.
        let search: Search = arguments(json!({ "query": "2", "source": "7" })).unwrap();
        assert_eq!(search.query, "2");
        assert!(matches!(search.source, Some(SourceName::Text(name)) if name == "7"));
        let search: Search = arguments(json!({ "query": "true", "source": 7.0 })).unwrap();
        assert_eq!(search.query, "true");
        assert!(matches!(search.source, Some(SourceName::Number(_))));
        let question: Question = arguments(json!({ "question": "2", "no_units": "true" })).unwrap();
        assert!(question.query == "2" && question.no_units);
    }

    #[test]
    fn what_an_argument_takes_is_said_in_words() {
        let check = |given: Value, expected: &str| {
            let refused = arguments::<Search>(given).err().unwrap().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        };
        let number = |k: Value| json!({ "query": "x", "k": k });
        check(
            number(json!("two")),
            "`k` takes a whole number from 0, not \"two\"",
        );
        check(
            number(json!(2.5)),
            "`k` takes a whole number from 0, not 2.5",
        );
        check(
            number(json!("2.5")),
            "`k` takes a whole number from 0, not \"2.5\"",
        );
        check(number(json!(-1)), "`k` takes a whole number from 0, not -1");
        check(
            number(json!("nan")),
            "`k` takes a whole number from 0, not \"nan\"",
        );
        check(
            number(json!(u64::MAX)),
            "`k` takes a whole number from 0, not 18446744073709551615",
        );
        check(
            number(json!(1e300)),
            "`k` takes a whole number from 0, not 1e",
        );
        check(json!({ "query": 2 }), "`query` takes a text, not 2");
        check(
            json!({ "query": ["x"] }),
            "`query` takes a text, not [\"x\"]",
        );
        let literal = json!({ "query": "x", "literal": 1 });
        check(literal, "`literal` takes true or false, not 1");
        let source = json!({ "query": "x", "source": true });
        check(source, "`source` takes a whole number or a text, not true");
        check(json!({ "query": "x", "kk": 1 }), "unknown field `kk`");
    }
}
