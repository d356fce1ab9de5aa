//! Jupyter notebooks: cells in order, with the text of their outputs. Cells are pages.

use serde_json::Value;

use super::pen::Pen;
use super::{Extracted, Skip, markdown, take_in, text};
use crate::domain::source::Meta;

/// Longer outputs are logs.
const OUTPUT_BYTES: usize = 4096;

/// The text of a notebook.
///
/// # Errors
/// [`Skip`].
pub(super) fn extract(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let notebook: Value = serde_json::from_str(&text::decode(bytes)?)
        .map_err(|error| Skip(format!("broken: it is no JSON ({error})")))?;
    let worksheets = notebook["worksheets"][0]["cells"].as_array();
    let Some(cells) = notebook["cells"].as_array().or(worksheets) else {
        return Err(Skip("broken: it holds no cells".into()));
    };
    let mut pen = Pen::new(limit);
    let mut meta = Meta::default();
    for (index, cell) in cells.iter().enumerate() {
        pen.page(index + 1);
        let source = if cell["source"].is_null() {
            joined(&cell["input"])
        } else {
            joined(&cell["source"])
        };
        match cell["cell_type"].as_str() {
            Some("markdown" | "heading") => {
                let found = markdown::extract(source);
                take_in(&mut meta, &found.meta);
                meta.title = meta.title.or(found.meta.title);
                pen.outline(&found.outline);
            }
            Some("code") => {
                pen.code(&fenced(&source));
                for output in cell["outputs"].as_array().into_iter().flatten() {
                    pen.paragraph(&output_text(output));
                }
            }
            _ => pen.paragraph(&source),
        }
    }
    pen.finish(meta)
}

/// Code between fences, so that its comments are no headings.
fn fenced(code: &str) -> String {
    if code.trim().is_empty() {
        return String::new();
    }
    let ticks = if code.contains("```") { "````" } else { "```" };
    format!("{ticks}\n{}\n{ticks}", code.trim_matches('\n'))
}

/// What an output shows: its text, the best of its forms, or what went wrong.
fn output_text(output: &Value) -> String {
    let forms = [
        &output["text"],
        &output["data"]["text/markdown"],
        &output["data"]["text/plain"],
    ];
    let mut shown = forms
        .into_iter()
        .map(joined)
        .find(|form| !form.trim().is_empty())
        .unwrap_or_else(|| error_text(output));
    if shown.len() > OUTPUT_BYTES {
        let cut = (0..=OUTPUT_BYTES)
            .rev()
            .find(|at| shown.is_char_boundary(*at));
        shown.truncate(cut.unwrap_or(0));
    }
    shown
}

/// The name of an error and what it says. Where it happened is in the code above.
fn error_text(output: &Value) -> String {
    let name = joined(&output["ename"]);
    let said = joined(&output["evalue"]);
    let parts = [name.as_str(), said.as_str()].into_iter();
    let parts: Vec<&str> = parts.filter(|part| !part.trim().is_empty()).collect();
    parts.join(": ")
}

/// A text, or the lines of one.
fn joined(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_told_as_they_are_shown() {
        let check = |output: Value, expected: &str| {
            assert_eq!(output_text(&output), expected, "{output}");
        };
        check(serde_json::json!({ "text": ["3.7", " m"] }), "3.7 m");
        check(
            serde_json::json!({ "data": {
                "text/plain": "<IPython.core.display.Markdown object>",
                "text/markdown": ["The **spring tide**"],
            } }),
            "The **spring tide**",
        );
        check(
            serde_json::json!({ "data": { "text/plain": ["2"], "text/html": "<b>2</b>" } }),
            "2",
        );
        check(
            serde_json::json!({ "ename": "ZeroDivisionError", "evalue": "division by zero",
                "traceback": ["..."] }),
            "ZeroDivisionError: division by zero",
        );
        check(
            serde_json::json!({ "ename": "KeyboardInterrupt", "evalue": "" }),
            "KeyboardInterrupt",
        );
        check(serde_json::json!({ "data": {} }), "");
    }

    #[test]
    fn cells_are_pages() {
        let notebook = serde_json::json!({ "cells": [
            { "cell_type": "markdown", "source": ["# Title\n", "intro"] },
            { "cell_type": "code", "source": "1+1",
              "outputs": [{ "data": { "text/plain": ["2"] } }] },
        ]});
        let found = extract(notebook.to_string().as_bytes(), 1 << 20).unwrap();
        assert_eq!(
            found.outline.text,
            "# Title\n\nintro\n\n```\n1+1\n```\n\n2\n"
        );
        assert_eq!(found.meta.title.as_deref(), Some("Title"));
        assert_eq!(found.outline.blocks.last().unwrap().page, Some(2));
        let cell = serde_json::json!({ "cell_type": "markdown", "source": "See [[Tides]]. #sea" });
        let twice = serde_json::json!({ "cells": [cell, cell] });
        let meta = extract(twice.to_string().as_bytes(), 1 << 20).unwrap().meta;
        assert_eq!(
            (&meta.tags[..], &meta.links[..]),
            (&["sea".into()][..], &["Tides".into()][..])
        );
        assert!(extract(b"{}", 9).is_err() && extract(b"[", 9).is_err());
        // Of where links lead no block is made.
        let cells = ["[a]: http://one", "Two.\n\n[b]: http://two\n\n# Three"];
        let cells =
            cells.map(|text| serde_json::json!({ "cell_type": "markdown", "source": text }));
        let links = serde_json::json!({ "cells": cells });
        let found = extract(links.to_string().as_bytes(), 1 << 20).unwrap();
        assert_eq!(
            found.outline.text,
            "[a]: http://one\n\nTwo.\n\n[b]: http://two\n\n# Three\n"
        );
    }
}
