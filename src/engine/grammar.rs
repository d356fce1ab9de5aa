//! What a form may cost that a text must have: looked at before the model's process sees it.
//!
//! llama.cpp holds every token of the vocabulary against a grammar, on the one thread that all
//! requests share, and follows each way in which a token may be read. These ways are counted in
//! patterns ([`pattern`]). What is left of that (rules that refer to each other) is for those who
//! look at the clock: the model's process after each token, its keeper when it says nothing any
//! more.

mod pattern;

use serde_json::Value;

use super::EngineError;
use super::generate::Grammar;
use pattern::characters_of;

/// Bytes of a schema or a grammar at most.
const MOST_BYTES: usize = 128 << 10;

/// Levels at most, of a schema's values, of a grammar's brackets and of a pattern's.
const DEEPEST: usize = 64;

/// Properties of one object at most, and forms of which one is to be met: llama.cpp writes a rule
/// for each that may be the first, and goes through all behind it for each of these.
const MOST_FORMS: usize = 256;

/// Values of one `enum` at most.
const MOST_VALUES: usize = 1000;

/// Bytes of a name or a reference at most: llama.cpp searches them by recursion.
const LONGEST_NAME: usize = 256;

/// References that lead to references at most.
const MOST_REFERENCES: usize = 16;

/// Repetitions that llama.cpp writes out at most, of one thing and of a whole schema.
const MOST_COPIES: usize = 2000;
const MOST_WRITTEN: usize = 50_000;

/// The largest number that llama.cpp reads as it is (`int`).
const LARGEST_NUMBER: usize = 0x7fff_ffff;

impl Grammar {
    /// Can it be held against a vocabulary in reasonable time?
    ///
    /// # Errors
    /// [`EngineError::CostlyGrammar`] with what is too much; [`EngineError::Grammar`] for a schema
    /// that is no JSON.
    pub fn check(&self) -> Result<(), EngineError> {
        let costly = |reason| EngineError::CostlyGrammar { reason };
        let (Self::Gbnf(text) | Self::JsonSchema(text)) = self;
        if text.len() > MOST_BYTES {
            let bytes = text.len();
            let reason = format!("it has {bytes} bytes, {MOST_BYTES} are the most");
            return Err(costly(reason));
        }
        match self {
            Self::Gbnf(text) => check_nesting(text).map_err(costly),
            Self::JsonSchema(text) => {
                let root: Value =
                    serde_json::from_str(text).map_err(|error| EngineError::Grammar {
                        reason: error.to_string(),
                    })?;
                let mut schema = Schema {
                    root: &root,
                    written: 0,
                };
                schema.check(&root, false, 0).map_err(costly)
            }
        }
    }
}

fn too_deep(what: &str) -> String {
    format!("{what} lies more than {DEEPEST} levels deep")
}

/// Looks at the brackets of a grammar in llama.cpp's notation, which are read by recursion.
fn check_nesting(gbnf: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    // What ends a text, a range of characters or a comment that was begun.
    let mut end = None;
    let mut characters = gbnf.chars();
    while let Some(character) = characters.next() {
        match (end, character) {
            (Some(last), c) if c == last => end = None,
            (Some('"' | ']'), '\\') => {
                let _ = characters.next();
            }
            (None, '"') => end = Some('"'),
            (None, '[') => end = Some(']'),
            (None, '#') => end = Some('\n'),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(too_deep("a group of it"));
        }
    }
    Ok(())
}

/// A JSON Schema that is looked at.
struct Schema<'a> {
    root: &'a Value,
    /// Repetitions that were seen.
    written: usize,
}

/// Entries of which what is below is named by people, and is a schema.
const NAMED: [&str; 3] = ["properties", "$defs", "definitions"];

/// Entries whose values are no schemas.
const VALUES: [&str; 4] = ["default", "examples", "const", "enum"];

impl Schema<'_> {
    /// Looks at a schema; or at schemas under names that mean nothing, where they are `named`.
    fn check(&mut self, value: &Value, named: bool, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(too_deep("a part of it"));
        }
        match value {
            Value::Object(entries) => {
                for (name, inner) in entries {
                    if name.len() > LONGEST_NAME {
                        return Err(format!("a name in it has more than {LONGEST_NAME} bytes"));
                    }
                    if !named {
                        self.check_entry(name, inner)?;
                        if VALUES.contains(&name.as_str()) {
                            continue;
                        }
                    }
                    let names = !named && NAMED.contains(&name.as_str());
                    self.check(inner, names, depth + 1)?;
                }
            }
            Value::Array(values) => {
                for inner in values {
                    self.check(inner, false, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check_entry(&mut self, name: &str, inner: &Value) -> Result<(), String> {
        let at_most = |most: usize, found: usize| {
            let said = || format!("`{name}` has {found} entries, {most} are the most");
            (found <= most).then_some(()).ok_or_else(said)
        };
        match (name, inner) {
            ("pattern", Value::String(pattern)) => self.write(characters_of(pattern)?),
            ("$ref", Value::String(to)) => self.check_reference(to),
            ("properties", Value::Object(entries)) => at_most(MOST_FORMS, entries.len()),
            ("enum", Value::Array(values)) => at_most(MOST_VALUES, values.len()),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Value::Array(forms)) => {
                at_most(MOST_FORMS, forms.len())
            }
            // It would go through what is below once for each.
            ("type", Value::Array(types)) => {
                let twice = types
                    .iter()
                    .enumerate()
                    .any(|(n, one)| types[..n].contains(one));
                let said = || "one `type` is named twice".to_owned();
                (!twice).then_some(()).ok_or_else(said)
            }
            ("minLength" | "maxLength" | "minItems" | "maxItems", Value::Number(number)) => {
                let copies = number.as_u64().unwrap_or(0);
                let copies = usize::try_from(copies).unwrap_or(usize::MAX);
                // More than it writes out is as good as no end to llama.cpp, but for numbers that it
                // takes for smaller ones.
                let is_open = (MOST_COPIES + 1..=LARGEST_NUMBER).contains(&copies);
                let is_open = is_open && name.starts_with("max");
                self.write(if is_open { 0 } else { copies.min(MOST_COPIES) })
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, copies: usize) -> Result<(), String> {
        self.written += copies;
        let said = || {
            let written = self.written;
            format!("its lengths come to {written} repetitions, {MOST_WRITTEN} are the most")
        };
        (self.written <= MOST_WRITTEN)
            .then_some(())
            .ok_or_else(said)
    }

    /// A reference to a reference may lead back to itself, and llama.cpp follows it. It reads some that
    /// lead nowhere in its own way (`#/allOf/00`, `~0`), and may come round to where it was.
    fn check_reference(&self, to: &str) -> Result<(), String> {
        if to.len() > LONGEST_NAME {
            return Err(format!("a reference has more than {LONGEST_NAME} bytes"));
        }
        let mut to = to;
        for _ in 0..MOST_REFERENCES {
            let place = to.strip_prefix('#');
            let place = place.filter(|at| !at.contains('~') && leads_to_schema(at));
            let Some(place) = place.and_then(|at| self.root.pointer(at)) else {
                return Err(format!("the reference `{to}` leads nowhere in it"));
            };
            match place["$ref"].as_str() {
                Some(next) => to = next,
                None => return Ok(()),
            }
        }
        Err(format!(
            "the reference `{to}` leads to more than {MOST_REFERENCES} others, or to itself"
        ))
    }
}

/// Does a reference lead to what was looked at as a schema, and not into a mere value?
fn leads_to_schema(pointer: &str) -> bool {
    let mut named = false;
    pointer.split('/').skip(1).all(|step| {
        let is_value = !named && VALUES.contains(&step);
        named = !named && NAMED.contains(&step);
        !is_value
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(grammar: &Grammar) -> Option<&'static str> {
        use crate::error::Fault;
        grammar.check().err().map(|error| error.code())
    }

    #[test]
    fn schemas_that_are_too_large_or_lead_nowhere_are_refused() {
        let check = |schema: serde_json::Value, expected: Option<&str>| {
            let text = schema.to_string();
            let found = refused(&Grammar::JsonSchema(text.clone()));
            assert_eq!(found, expected, "{text}");
        };
        let object = |count: usize| {
            let form = serde_json::json!({ "type": "null" });
            let named = (0..count).map(|n| (format!("p{n}"), form.clone()));
            let properties: serde_json::Map<String, Value> = named.collect();
            serde_json::json!({ "type": "object", "properties": properties })
        };
        check(object(MOST_FORMS), None);
        check(object(MOST_FORMS + 1), Some("costly_grammar"));
        let nested = |levels: usize| {
            let inner = serde_json::json!({ "type": "string" });
            (0..levels).fold(inner, |inner, _| serde_json::json!({ "items": inner }))
        };
        check(nested(20), None);
        check(nested(DEEPEST + 1), Some("costly_grammar"));
        let tree = serde_json::json!({
            "$defs": { "node": { "type": "array", "items": { "$ref": "#/$defs/node" } } },
            "$ref": "#/$defs/node",
        });
        check(tree, None);
        let circle = serde_json::json!({
            "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } },
            "allOf": [{ "$ref": "#/$defs/a" }],
        });
        check(circle, Some("costly_grammar"));
        for nowhere in [
            "#/allOf/00",
            "#/$defs/~0",
            "#/$defs/b",
            "https://a.example/b",
        ] {
            let schema = serde_json::json!({
                "$defs": { "~": { "type": "null" } },
                "allOf": [{ "$ref": nowhere }],
            });
            check(schema, Some("costly_grammar"));
        }
        let twice = serde_json::json!({ "type": ["array", "array"], "items": {} });
        check(twice, Some("costly_grammar"));
        check(serde_json::json!({ "type": ["array", "null"] }), None);
        // What is only a value is no pattern; what is only a name is one below.
        let value = serde_json::json!({ "default": { "pattern": "^(a+)+$" } });
        check(value, None);
        for to in ["#/default", "#/properties/properties/default"] {
            let hidden = serde_json::json!({
                "default": { "pattern": "^(a+)+$" },
                "properties": { "properties": { "default": { "type": "null" } } },
                "allOf": [{ "$ref": to }],
            });
            check(hidden, Some("costly_grammar"));
        }
        let usual = serde_json::json!({
            "$defs": { "default": { "type": "null" } },
            "allOf": [{ "$ref": "#/$defs/default" }],
        });
        check(usual, None);
        let named = serde_json::json!({ "properties": { "default": { "pattern": "^(a+)+$" } } });
        check(named, Some("costly_grammar"));
        let long = serde_json::json!({ "const": "x".repeat(MOST_BYTES) });
        check(long, Some("costly_grammar"));
        let lengths = vec![serde_json::json!({ "type": "string", "maxLength": 2000 }); 26];
        let open = vec![serde_json::json!({ "type": "string", "maxLength": 5000 }); 100];
        check(serde_json::json!({ "prefixItems": open }), None);
        // Read as an `int`, this is 2000.
        let wrapped = serde_json::json!({ "type": "string", "maxLength": (1_u64 << 32) + 2000 });
        let wrapped = vec![wrapped; 26];
        check(
            serde_json::json!({ "prefixItems": wrapped }),
            Some("costly_grammar"),
        );
        check(
            serde_json::json!({ "prefixItems": lengths }),
            Some("costly_grammar"),
        );
        assert_eq!(
            refused(&Grammar::JsonSchema("{".into())),
            Some("bad_grammar")
        );
    }

    #[test]
    fn grammars_that_are_too_deep_are_refused() {
        let nested = |depth: usize| {
            let (open, close) = ("(".repeat(depth), ")".repeat(depth));
            Grammar::Gbnf(format!("root ::= {open}\"x\"{close}"))
        };
        assert_eq!(refused(&nested(DEEPEST)), None);
        assert_eq!(refused(&nested(DEEPEST + 1)), Some("costly_grammar"));
        assert_eq!(refused(&nested(20_000)), Some("costly_grammar"));
        let only_said = format!(
            "root ::= \"{0}\\\"{0}\" [{0}\\]{0}] # {0}",
            "(".repeat(DEEPEST)
        );
        assert_eq!(refused(&Grammar::Gbnf(only_said)), None);
    }
}
