//! Formulas of Office, written on one line: `(a+b)/2`, `x^2`, `√(x+1)`. Where a number stands raised or
//! under a bar is the only sign of what it is there.

use super::paragraphs::Paragraphs;
use crate::extract::xml::Node;

/// Takes in what a formula holds beside its text.
pub(super) fn visit(node: &Node<'_>, body: &mut Paragraphs) {
    match node {
        Node::Open("num" | "den" | "sup" | "deg" | "rad", _) => body.begin_group(),
        Node::Close("num") => {
            let above = as_one(&body.end_group());
            if !above.is_empty() {
                // One and a half is not eleven halves.
                let apart = if body.ends_with_digit() { " " } else { "" };
                body.push(&format!("{apart}{above}/"));
            }
        }
        Node::Close("den") => {
            let below = as_one(&body.end_group());
            body.push(&below);
        }
        Node::Close("sup") => {
            let power = as_one(&body.end_group());
            if !power.is_empty() {
                body.push(&format!("^{power}"));
            }
        }
        // Which root it is, if that is said.
        Node::Close("deg") => {
            let degree = body.end_group();
            if !degree.is_empty() {
                body.push(&format!("[{degree}]"));
            }
        }
        Node::Close("rad") => {
            let root = as_one(&body.end_group());
            body.push(&format!("√{root}"));
        }
        Node::Open("d", _) => {
            body.brackets.push(["(".to_owned(), ")".to_owned()]);
            body.begin_group();
        }
        // Of what is within a sign of its own: `|x|`, `[0,1)`.
        Node::Open(side @ ("begChr" | "endChr"), attributes) => {
            if let Some([before, behind]) = body.brackets.last_mut() {
                let bracket = if *side == "begChr" { before } else { behind };
                *bracket = attributes.get("val").unwrap_or_default();
            }
        }
        Node::Close("d") => {
            let within = body.end_group();
            let [before, behind] = body.brackets.pop().unwrap_or_default();
            body.push(&format!("{before}{within}{behind}"));
        }
        _ => {}
    }
}

/// In parentheses, where it is more than a number or a name.
fn as_one(said: &str) -> String {
    let is_one = said
        .chars()
        .all(|c| c.is_alphanumeric() || ".,".contains(c));
    if is_one {
        said.to_owned()
    } else {
        format!("({said})")
    }
}
