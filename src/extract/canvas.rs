//! Canvases of Obsidian and others ([JSON Canvas](https://jsoncanvas.org) 1.0): their cards from top
//! to bottom and left to right, those of a group under its label, each with what is written at the
//! arrows that leave it. Cards are pages.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pen::{Pen, one_line};
use super::{Extracted, Skip, markdown, push_new, take_in, text};
use crate::domain::source::Meta;

/// A card is named at an arrow by so many characters of its first line.
const NAME_CHARS: usize = 80;

#[derive(Deserialize)]
struct Canvas {
    #[serde(default)]
    nodes: Vec<Node>,
    #[serde(default)]
    edges: Vec<Edge>,
}

/// Anything on a canvas: what it does not have, because of its type or a mistake, is empty.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    id: Text,
    #[serde(rename = "type")]
    kind: Text,
    x: Place,
    y: Place,
    width: Place,
    height: Place,
    text: Text,
    file: Text,
    subpath: Text,
    url: Text,
    label: Text,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Edge {
    from_node: Text,
    to_node: Text,
    label: Text,
}

/// A text, or what other programs write in the place of one.
#[derive(Deserialize, Default)]
#[serde(from = "serde_json::Value")]
struct Text(String);

impl From<serde_json::Value> for Text {
    fn from(value: serde_json::Value) -> Self {
        Self(match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            _ => String::new(),
        })
    }
}

impl std::ops::Deref for Text {
    type Target = String;
    fn deref(&self) -> &String {
        &self.0
    }
}

/// A number of pixels, 0 for what is none.
#[derive(Clone, Copy, Deserialize, Default)]
#[serde(from = "serde_json::Value")]
struct Place(f64);

impl From<serde_json::Value> for Place {
    fn from(value: serde_json::Value) -> Self {
        let written = value.as_str().and_then(|text| text.trim().parse().ok());
        Self(value.as_f64().or(written).unwrap_or(0.0))
    }
}

impl Node {
    /// Does this group lie around the middle of `other`?
    fn holds(&self, other: &Self) -> bool {
        let around = |from: Place, size: Place, at: Place, of: Place| {
            (from.0..=from.0 + size.0).contains(&(at.0 + of.0 / 2.0))
        };
        around(self.x, self.width, other.x, other.width)
            && around(self.y, self.height, other.y, other.height)
    }

    fn area(&self) -> f64 {
        self.width.0 * self.height.0
    }

    /// How it is called beside an arrow.
    fn name(&self) -> String {
        let said = [&self.text, &self.label, &self.file, &self.url];
        let said = said.into_iter().find(|said| !said.trim().is_empty());
        let first = said
            .and_then(|said| said.trim().lines().next())
            .unwrap_or("");
        let first = one_line(first.trim_start_matches('#'));
        first.chars().take(NAME_CHARS).collect()
    }
}

/// The text of a canvas.
///
/// # Errors
/// [`Skip`].
pub(super) fn extract(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let text = text::decode(bytes)?;
    // Obsidian leaves a new canvas empty.
    let text = if text.trim().is_empty() { "{}" } else { &text };
    let mut canvas: Canvas = serde_json::from_str(text)
        .map_err(|error| Skip(format!("broken: it is no JSON Canvas ({error})")))?;
    let place = |node: &Node| (node.y.0, node.x.0);
    canvas.nodes.sort_by(|a, b| {
        let ((above, left), (below, right)) = (place(a), place(b));
        above.total_cmp(&below).then(left.total_cmp(&right))
    });
    let (groups, cards): (Vec<&Node>, Vec<&Node>) =
        canvas.nodes.iter().partition(|node| *node.kind == "group");
    // Groups lie in groups: a card is in the smallest around it.
    let group_of = |card: &Node| {
        let around = (0..groups.len()).filter(|at| groups[*at].holds(card));
        around.min_by(|a, b| groups[*a].area().total_cmp(&groups[*b].area()))
    };
    let mut by_group: BTreeMap<Option<usize>, Vec<&Node>> = BTreeMap::new();
    for card in cards {
        by_group.entry(group_of(card)).or_default().push(card);
    }
    let mut pen = Pen::new(limit);
    let mut meta = Meta::default();
    let mut number = 1;
    for group in std::iter::once(None).chain((0..groups.len()).map(Some)) {
        pen.page(number);
        if let Some(at) = group {
            pen.heading(1, &groups[at].label);
            write_arrows(groups[at], &canvas, &mut pen);
        }
        for card in by_group.remove(&group).unwrap_or_default() {
            pen.page(number);
            write_card(card, &mut pen, &mut meta);
            write_arrows(card, &canvas, &mut pen);
            number += 1;
        }
    }
    pen.finish(meta)
}

/// What is written at the arrows from `node`.
fn write_arrows(node: &Node, canvas: &Canvas, pen: &mut Pen) {
    let from_here = |edge: &&Edge| *edge.from_node == *node.id && !edge.label.trim().is_empty();
    for edge in canvas.edges.iter().filter(from_here) {
        if let Some(to) = canvas.nodes.iter().find(|other| *other.id == *edge.to_node) {
            let (from, label) = (node.name(), one_line(&edge.label));
            pen.paragraph(&format!("{from} → {label}: {}", to.name()));
        }
    }
}

fn write_card(card: &Node, pen: &mut Pen, meta: &mut Meta) {
    match card.kind.as_str() {
        "file" => {
            push_new(&mut meta.links, &card.file);
            pen.paragraph(&format!("{}{}", *card.file, *card.subpath));
        }
        "link" => {
            push_new(&mut meta.links, &card.url);
            pen.paragraph(&card.url);
        }
        _ => {
            let found = markdown::extract(card.text.0.clone());
            take_in(meta, &found.meta);
            pen.outline(&found.outline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(canvas: &serde_json::Value) -> Extracted {
        extract(canvas.to_string().as_bytes(), 1 << 20).unwrap()
    }

    #[test]
    fn cards_are_read_in_order_below_their_groups() {
        let found = read(&serde_json::json!({
            "nodes": [
                { "id": "c", "type": "file", "file": "Plans/Boat.md", "subpath": "#Hull",
                  "x": 20, "y": 320, "width": 10, "height": 10 },
                { "id": "g", "type": "group", "label": "Summer", "x": 0, "y": 300, "width": 100,
                  "height": 100, "color": "4" },
                { "id": "b", "type": "text", "text": "Right of it #two", "x": 50, "y": 0 },
                { "id": "a", "type": "text", "text": "# Oak\n\nPlant [[Acorn]]s.", "x": -5, "y": 0 },
                { "id": "l", "type": "link", "url": "https://example.org", "x": 60, "y": 320 },
            ],
            "edges": [
                { "id": "1", "fromNode": "a", "toNode": "c", "label": "then\nbuild" },
                { "id": "2", "fromNode": "a", "toNode": "b" },
                { "id": "3", "fromNode": "gone", "toNode": "b", "label": "of" },
            ],
        }));
        assert_eq!(
            found.outline.text,
            "# Oak\n\nPlant [[Acorn]]s.\n\nOak → then build: Plans/Boat.md\n\nRight of it #two\n\n\
             # Summer\n\nPlans/Boat.md#Hull\n\nhttps://example.org\n"
        );
        let pages = found.outline.blocks.iter().map(|block| block.page.unwrap());
        assert_eq!(pages.collect::<Vec<_>>(), [1, 1, 1, 2, 3, 3, 4]);
        assert_eq!(found.meta.tags, ["two"]);
        assert_eq!(
            found.meta.links,
            ["Acorn", "Plans/Boat.md", "https://example.org"]
        );
    }

    #[test]
    fn what_is_no_canvas_is_told() {
        assert!(extract(b"[1", 9).is_err());
        assert!(extract(b"{\"nodes\": 3}", 9).is_err());
        assert_eq!(extract(b" \n", 9).unwrap().outline.text, "");
        let odd = serde_json::json!({ "nodes": [
            { "type": "text", "text": null }, { "more": 1 },
            { "id": 7, "type": "text", "text": "Low", "y": "9.5" },
            { "type": "text", "text": "High", "label": null, "y": 9 },
        ]});
        assert_eq!(read(&odd).outline.text, "High\n\nLow\n");
    }
}
