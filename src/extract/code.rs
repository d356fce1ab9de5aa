//! Source code, cut where its syntax cuts it.
//!
//! tree-sitter finds the definitions; each opens a section that is named after it, so that a method
//! is found with its class above it. Languages without a grammar here are cut at blank lines.

use std::ops::Range;

use tree_sitter::{Language, Node, Parser};

use super::{Extracted, Skip, text};
use crate::domain::outline::{Block, BlockKind, Outline};

/// Definitions deeper than this belong to the one around them.
const DEEPEST: u8 = 3;

/// Longer files are generated.
const LARGEST: usize = 2 << 20;

/// The outline of a source file; `name` tells its language.
///
/// # Errors
/// [`Skip`] for what is not text.
pub(super) fn extract(bytes: &[u8], name: &str) -> Result<Extracted, Skip> {
    let text = text::decode(bytes)?;
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
    let definitions = language(&extension.to_ascii_lowercase())
        .filter(|_| text.len() <= LARGEST)
        .map_or(Vec::new(), |language| definitions(&language, &text));
    let blocks = blocks(&text, &definitions);
    let outline = Outline { text, blocks };
    Ok(Extracted {
        outline,
        ..Extracted::default()
    })
}

fn language(extension: &str) -> Option<Language> {
    Some(match extension {
        "rs" => tree_sitter_rust::LANGUAGE.into(),
        "py" | "pyi" => tree_sitter_python::LANGUAGE.into(),
        "js" | "mjs" | "cjs" | "jsx" => tree_sitter_javascript::LANGUAGE.into(),
        "ts" | "mts" => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        "tsx" => tree_sitter_typescript::LANGUAGE_TSX.into(),
        "go" => tree_sitter_go::LANGUAGE.into(),
        "c" | "h" => tree_sitter_c::LANGUAGE.into(),
        "cc" | "cpp" | "cxx" | "hh" | "hpp" => tree_sitter_cpp::LANGUAGE.into(),
        "java" => tree_sitter_java::LANGUAGE.into(),
        "rb" => tree_sitter_ruby::LANGUAGE.into(),
        "sh" | "bash" | "zsh" => tree_sitter_bash::LANGUAGE.into(),
        _ => return None,
    })
}

/// A definition: where it begins (comments and attributes included), how deep it lies, its name.
struct Definition {
    start: usize,
    level: u8,
    name: String,
}

fn definitions(language: &Language, text: &str) -> Vec<Definition> {
    let mut parser = Parser::new();
    if parser.set_language(language).is_err() {
        return Vec::new();
    }
    let Some(tree) = parser.parse(text, None) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    // No recursion: generated code may be nested without end. Beside a node is where it begins with what
    // leads to it.
    let mut waiting: Vec<(Node<'_>, u8, usize)> = vec![(tree.root_node(), 0, 0)];
    while let Some((node, level, start)) = waiting.pop() {
        let name = defined_name(&node, text);
        let inner = level + u8::from(name.is_some());
        if let Some(name) = name {
            found.push(Definition {
                start: line_start(text, start),
                level: inner,
                name,
            });
        }
        if inner < DEEPEST {
            // A decorated or exported definition begins with its wrapper.
            let wraps = matches!(node.kind(), "decorated_definition" | "export_statement");
            // Where the comments above the next node begin, and the line on which they end.
            let mut lead: Option<(usize, usize)> = None;
            let mut cursor = node.walk();
            for child in node.children(&mut cursor) {
                let row = child.start_position().row;
                let above = lead.filter(|(_, last)| last + 1 >= row);
                let own = above.map_or(child.start_byte(), |(begin, _)| begin);
                lead = leads(&child, text).then(|| (own, child.end_position().row));
                waiting.push((child, inner, if wraps { start } else { own }));
            }
        }
    }
    found.sort_by_key(|definition| definition.start);
    found.dedup_by_key(|definition| definition.start);
    found
}

/// The name that a node defines, with the word that says what it is.
fn defined_name(node: &Node<'_>, text: &str) -> Option<String> {
    let kind = node.kind();
    let defines = [
        "function",
        "method",
        "class",
        "struct",
        "enum",
        "trait",
        "interface",
        "impl",
        "module",
        "namespace",
        "constructor",
        "type_declaration",
        "type_spec",
        "mod_item",
        "record",
        "macro_definition",
    ];
    let shape = [
        "_definition",
        "_declaration",
        "_item",
        "_specifier",
        "_spec",
        "class",
        "module",
        "method",
        "singleton_method",
    ];
    if !node.is_named()
        || !defines.iter().any(|word| kind.contains(word))
        || !shape.iter().any(|end| kind.ends_with(end))
        || node.child_count() < 2
    {
        return None;
    }
    let named = ["name", "declarator", "type"]
        .iter()
        .find_map(|field| node.child_by_field_name(field))?;
    let said = text.get(named.byte_range())?;
    let said = said.split(['(', '{', '\n']).next()?.trim();
    (!said.is_empty() && said.len() <= 120).then(|| said.to_owned())
}

/// Is it a comment or an attribute, which is of what stands right below? A comment behind other code is of
/// that.
fn leads(node: &Node<'_>, text: &str) -> bool {
    let start = node.start_byte();
    let alone = || text[line_start(text, start)..start].trim().is_empty();
    node.kind().contains("comment") && alone() || node.kind() == "attribute_item"
}

fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |at| at + 1)
}

/// Each definition opens a section: its first line is the heading, the rest is code.
fn blocks(text: &str, definitions: &[Definition]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let first = definitions.first().map_or(text.len(), |d| d.start);
    code(text, 0..first, &mut blocks);
    for (index, definition) in definitions.iter().enumerate() {
        let end = definitions.get(index + 1).map_or(text.len(), |d| d.start);
        let line = text[definition.start..end].find('\n');
        let head = line.map_or(end, |at| definition.start + at + 1);
        blocks.push(Block {
            span: definition.start..head,
            kind: BlockKind::Heading(definition.level),
            heading: Some(definition.name.clone()),
            page: None,
        });
        code(text, head..end, &mut blocks);
    }
    blocks
}

/// Code in pieces between blank lines.
fn code(text: &str, range: Range<usize>, blocks: &mut Vec<Block>) {
    for mut block in Outline::of_plain_text(text[range.clone()].to_owned()).blocks {
        block.span = block.span.start + range.start..block.span.end + range.start;
        block.kind = BlockKind::Code;
        blocks.push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str, code: &str) -> Vec<(u8, String)> {
        let found = extract(code.as_bytes(), name).unwrap();
        let blocks = found.outline.blocks.into_iter();
        blocks
            .filter_map(|b| match b.kind {
                BlockKind::Heading(level) => Some((level, b.heading.unwrap())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn definitions_open_sections() {
        let check = |name: &str, code: &str, expected: &[(u8, &str)]| {
            let expected: Vec<_> = expected
                .iter()
                .map(|(l, n)| (*l, (*n).to_owned()))
                .collect();
            assert_eq!(names(name, code), expected, "{name}");
        };
        check(
            "a.rs",
            "use x;\n\n/// Doc.\n#[test]\nfn one() {}\n\nimpl Foo {\n    fn two(&self) {}\n}\n",
            &[(1, "one"), (1, "Foo"), (2, "two")],
        );
        check(
            "a.py",
            "import os\n\n@wrap\ndef one():\n    pass\n\nclass A:\n    def two(self):\n        pass\n",
            &[(1, "one"), (1, "A"), (2, "two")],
        );
        check(
            "a.go",
            "package a\n\nfunc One() {}\n\ntype T struct{}\n",
            &[(1, "One"), (1, "T")],
        );
        check(
            "a.ts",
            "export class A { m(): void {} }\nfunction f() {}\n",
            &[(1, "A"), (1, "f")],
        );
        check(
            "a.java",
            "class A {\n  void m() {}\n}\n",
            &[(1, "A"), (2, "m")],
        );
        check("a.c", "int f(int x) {\n  return x;\n}\n", &[(1, "f")]);
        check(
            "a.rb",
            "class A\n  def m\n  end\nend\n",
            &[(1, "A"), (2, "m")],
        );
        check("a.sh", "f() {\n  echo\n}\n", &[(1, "f")]);
        check("a.lua", "function f() end\n", &[]);
    }

    #[test]
    fn comments_above_belong_to_the_definition() {
        let found = extract(b"x = 1\n\n# About f.\ndef f():\n    return 2\n", "a.py").unwrap();
        let heading = &found.outline.blocks[1];
        assert_eq!(&found.outline.text[heading.span.clone()], "# About f.\n");
        assert_eq!(heading.heading.as_deref(), Some("f"));
        let above = |code: &str| {
            let found = extract(code.as_bytes(), "a.rs").unwrap();
            let heading = found
                .outline
                .blocks
                .into_iter()
                .find(|b| b.heading.is_some());
            code[..heading.unwrap().span.start].lines().count()
        };
        assert_eq!(
            above("// Of all.\n\n// Of f.\n#[test]\n// More.\nfn f() {}\n"),
            2
        );
        // Each was looked for from the first one on.
        let many = "// c\n".repeat(300_000);
        assert_eq!(above(&format!("use a;\n{many}fn f() {{}}\n")), 1);
        let text = "int a() {\n  return 1;\n} // of a\nint b() {\n  return 2;\n}\n";
        let found = extract(text.as_bytes(), "a.c").unwrap();
        let heading = &found.outline.blocks[2];
        assert_eq!(heading.heading.as_deref(), Some("b"));
        assert_eq!(&text[heading.span.clone()], "int b() {\n");
        assert_eq!(
            names("a.rs", "struct A; // one\nstruct B; // two\n"),
            [(1, "A".to_owned()), (1, "B".to_owned())]
        );
    }
}
