//! Markdown: CommonMark with the extensions that note apps share.
//!
//! Front matter (YAML or TOML), headings, code fences, wikilinks, tags, and Logseq's `key:: value`
//! properties and `((block))` references. The text is kept as it is; blocks only point into it.
//! Code is a block of its own wherever it stands, list items are blocks.

use std::ops::Range;

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

use super::{Extracted, add_property, push_new};
use crate::domain::outline::{Block, BlockKind, Outline};
use crate::domain::source::Meta;

/// Larger front matter is text that happens to begin with a rule.
const FRONT_MATTER_BYTES: usize = 64 << 10;

pub(super) fn extract(text: String) -> Extracted {
    let front = front_matter(&text);
    let body = front.as_ref().map_or(0, |f| f.end);
    let mut meta = Meta::default();
    if let Some(front) = &front {
        read_properties(front.properties(&text), &mut meta);
    }
    let scan = Scan::of(&text[body..], body);
    let mut blocks = Vec::new();
    if body > 0 {
        blocks.push(prose(0..body));
    }
    blocks.extend(in_order(scan.blocks));
    if meta.title.is_none() {
        meta.title = scan.title;
    }
    for link in scan.links {
        push_new(&mut meta.links, &link);
    }
    read_outliner(&text[body..], body, &scan.opaque, &mut meta);
    for tag in inline_tags(&text[body..], body, &scan.opaque) {
        push_new(&mut meta.tags, &tag);
    }
    Extracted {
        outline: Outline { text, blocks },
        meta,
        missing: None,
    }
}

/// Blocks that follow each other, whatever containers did to each other.
fn in_order(blocks: Vec<Block>) -> Vec<Block> {
    let mut end = 0;
    let mut ordered = Vec::with_capacity(blocks.len());
    for mut block in blocks {
        block.span.start = block.span.start.max(end);
        if block.span.start < block.span.end {
            end = block.span.end;
            ordered.push(block);
        }
    }
    ordered
}

struct FrontMatter {
    fields: Range<usize>,
    end: usize,
    is_toml: bool,
}

impl FrontMatter {
    fn properties(&self, text: &str) -> serde_json::Value {
        let fields = &text[self.fields.clone()];
        if self.is_toml {
            toml_properties(fields)
        } else {
            properties(fields)
        }
    }
}

fn front_matter(text: &str) -> Option<FrontMatter> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next()?;
    let is_toml = first.trim_end() == "+++";
    if !(is_toml || first.trim_end() == "---") || !first.ends_with('\n') {
        return None;
    }
    let start = first.len();
    let mut position = start;
    for line in lines {
        let end = position + line.len();
        let mark = line.trim_end();
        if mark == first.trim_end() || mark == "..." && !is_toml {
            let front = FrontMatter {
                fields: start..position,
                end,
                is_toml,
            };
            // Few write rules of pluses, but then they are no front matter.
            let is_none = is_toml && front.properties(text).is_null();
            return (!is_none).then_some(front);
        }
        if end > FRONT_MATTER_BYTES {
            return None;
        }
        position = end;
    }
    None
}

/// Front matter as TOML, which Hugo and Zola write. What is none is read line by line.
fn toml_properties(fields: &str) -> serde_json::Value {
    let parsed = toml::from_str::<toml::Table>(fields).ok();
    let parsed = parsed.map(|table| json_of(toml::Value::Table(table)));
    let mut found = match parsed {
        Some(serde_json::Value::Object(found)) => found,
        _ => toml_lines(fields),
    };
    // What both programs leave to the author stands in tables of its own.
    for table in ["taxonomies", "extra", "params"] {
        let inner = found.get(table).and_then(serde_json::Value::as_object);
        for (key, value) in inner.cloned().unwrap_or_default() {
            found.entry(key).or_insert(value);
        }
    }
    if found.is_empty() {
        serde_json::Value::Null
    } else {
        found.into()
    }
}

fn json_of(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(is) => is.into(),
        toml::Value::Datetime(when) => when.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json_of).collect(),
        toml::Value::Table(table) => {
            let fields = table.into_iter().map(|(key, value)| (key, json_of(value)));
            serde_json::Value::Object(fields.collect())
        }
    }
}

/// `key = value` lines.
fn toml_lines(fields: &str) -> serde_json::Map<String, serde_json::Value> {
    let plain = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let mut found = serde_json::Map::new();
    for line in fields.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let key = plain(key);
        let is_name = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        if key.is_empty() || !key.chars().all(is_name) {
            continue;
        }
        let value = value.trim();
        let list = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
        let value = match list {
            Some(items) => items.split(',').map(plain).collect::<Vec<_>>().into(),
            None => plain(value).into(),
        };
        found.insert(key, value);
    }
    found
}

/// Aliases (`*name`) that are expanded: each may stand for all that is there already.
const MOST_ALIASES: usize = 8;

/// Front matter as YAML. What is none, as people write `title: Notes: an attempt`, is read line by
/// line.
fn properties(yaml: &str) -> serde_json::Value {
    let mut before = '\n';
    let aliases = yaml.chars().filter(|c| {
        let opens = *c == '*' && (before.is_whitespace() || "[{,:-".contains(before));
        before = *c;
        opens
    });
    let few = aliases.count() <= MOST_ALIASES;
    let parsed = few.then(|| serde_yaml_ng::from_str::<serde_yaml_ng::Value>(yaml).ok());
    let parsed = parsed.flatten().and_then(|v| serde_json::to_value(v).ok());
    parsed.unwrap_or_else(|| {
        let found = lines_of(yaml);
        if found.is_empty() {
            serde_json::Value::Null
        } else {
            found.into()
        }
    })
}

/// `key: value` lines, and `- item` lines below a key.
fn lines_of(yaml: &str) -> serde_json::Map<String, serde_json::Value> {
    let plain = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let mut found = serde_json::Map::new();
    let mut last = String::new();
    for line in yaml.lines() {
        if let Some(item) = line.trim_start().strip_prefix("- ") {
            if let Some(serde_json::Value::Array(items)) = found.get_mut(&last) {
                items.push(plain(item).into());
            }
        } else if let Some((key, value)) = line.split_once(':')
            && !key.starts_with(char::is_whitespace)
        {
            plain(key).clone_into(&mut last);
            let value = value.trim();
            if value.starts_with(['[', '{', '&', '*', '|', '>']) && !value.ends_with(']') {
                continue;
            }
            let list = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
            let value = match list {
                Some(items) => items.split(',').map(plain).collect::<Vec<_>>().into(),
                None if value.is_empty() => serde_json::Value::Array(Vec::new()),
                None => plain(value).into(),
            };
            found.insert(last.clone(), value);
        }
    }
    found
}

fn read_properties(properties: serde_json::Value, meta: &mut Meta) {
    let words = |key: &str| -> Vec<String> {
        match properties.get(key) {
            Some(serde_json::Value::Array(items)) => items.iter().map(plain).collect(),
            Some(serde_json::Value::String(text)) => text
                .split([',', ' '])
                .filter(|word| !word.is_empty())
                .map(ToOwned::to_owned)
                .collect(),
            _ => Vec::new(),
        }
    };
    for tag in words("tags").into_iter().chain(words("tag")) {
        push_new(&mut meta.tags, tag.trim_start_matches('#'));
    }
    for key in ["aliases", "alias"] {
        match properties.get(key) {
            Some(serde_json::Value::String(name)) => push_new(&mut meta.aliases, name),
            Some(serde_json::Value::Array(names)) => {
                names
                    .iter()
                    .for_each(|n| push_new(&mut meta.aliases, &plain(n)));
            }
            _ => {}
        }
    }
    if let Some(title) = properties.get("title") {
        meta.title = Some(plain(title)).filter(|t| !t.trim().is_empty());
    }
    meta.properties = properties;
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Logseq: `key:: value` lines are properties, of the page where they come before everything else,
/// and `((id))` refers to a block.
fn read_outliner(body: &str, base: usize, opaque: &[Range<usize>], meta: &mut Meta) {
    if !body.contains("::") && !body.contains("((") {
        return;
    }
    let inside = Opaque::of(opaque);
    let mut of_page = true;
    let mut position = base;
    for line in body.split_inclusive('\n') {
        let at = position;
        position += line.len();
        if inside.holds(at) {
            continue;
        }
        for reference in line.split("((").skip(1) {
            let id = reference.split("))").next().unwrap_or_default();
            if id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
                push_new(&mut meta.links, &format!("(({id}))"));
            }
        }
        match outliner_property(line) {
            Some((key, value)) => put_property(key, value, of_page, meta),
            None if !line.trim().is_empty() => of_page = false,
            None => {}
        }
    }
}

fn outliner_property(line: &str) -> Option<(&str, &str)> {
    let line = line.trim().trim_start_matches("- ");
    let (key, value) = line.split_once("::")?;
    let named = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
    (named && value.starts_with(' ')).then(|| (key, value.trim()))
}

fn put_property(key: &str, value: &str, of_page: bool, meta: &mut Meta) {
    let items = value.split(',').map(|item| {
        item.trim()
            .trim_start_matches(['#', '['])
            .trim_end_matches(']')
    });
    match key.to_lowercase().as_str() {
        "tags" | "tag" => items.for_each(|tag| push_new(&mut meta.tags, tag)),
        _ if !of_page => {}
        "alias" | "aliases" => {
            items.for_each(|name| push_new(&mut meta.aliases, name));
        }
        "title" => meta.title = Some(value.to_owned()),
        _ => add_property(meta, key, value),
    }
}

fn prose(span: Range<usize>) -> Block {
    Block {
        span,
        kind: BlockKind::Prose,
        heading: None,
        page: None,
    }
}

/// What one pass over the parser's events finds; offsets are into the whole text.
struct Scan<'a> {
    body: &'a str,
    base: usize,
    blocks: Vec<Block>,
    title: Option<String>,
    links: Vec<String>,
    /// Ranges in which `#` is no tag: code and link targets.
    opaque: Vec<Range<usize>>,
    depth: usize,
    heading: Option<(u8, Range<usize>, String)>,
}

impl<'a> Scan<'a> {
    fn of(body: &'a str, base: usize) -> Self {
        let mut scan = Self {
            body,
            base,
            blocks: Vec::new(),
            title: None,
            links: Vec::new(),
            opaque: Vec::new(),
            depth: 0,
            heading: None,
        };
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_GFM
            | Options::ENABLE_WIKILINKS;
        for (event, range) in Parser::new_ext(body, options).into_offset_iter() {
            scan.event(&event, range);
        }
        scan
    }

    fn event(&mut self, event: &Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => {
                self.start(tag, range);
                self.depth += 1;
            }
            Event::End(tag) => {
                self.depth -= 1;
                if matches!(tag, TagEnd::Heading(_))
                    && let Some((level, span, text)) = self.heading.take()
                {
                    self.end_heading(level, span, text);
                }
            }
            Event::Text(text) => {
                if let Some((_, _, heading)) = &mut self.heading {
                    heading.push_str(text);
                }
            }
            Event::Code(text) => {
                if let Some((_, _, heading)) = &mut self.heading {
                    heading.push_str(text);
                }
                self.opaque.push(self.whole(range));
            }
            Event::Rule if self.depth == 0 => self.push(range, BlockKind::Prose),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::CodeBlock(_) => {
                // With what is before it on its line, so that the fence keeps its indentation.
                let before = self.body[..range.start].trim_end_matches([' ', '\t']);
                let span = before.len()..range.end;
                self.opaque.push(self.whole(span.clone()));
                self.push(span, BlockKind::Code);
            }
            Tag::Heading { level, .. } if self.depth == 0 => {
                self.heading = Some((*level as u8, range, String::new()));
            }
            Tag::Link {
                link_type,
                dest_url,
                ..
            }
            | Tag::Image {
                link_type,
                dest_url,
                ..
            } => {
                // In a table, the bar before the text is escaped: `[[Larch\|larch wood]]`.
                let is_wiki = matches!(link_type, LinkType::WikiLink { .. });
                let target = dest_url.strip_suffix('\\').filter(|_| is_wiki);
                push_new(&mut self.links, target.unwrap_or(dest_url));
                self.opaque.push(self.whole(range));
            }
            Tag::Item if self.depth == 1 => self.push(range, BlockKind::Prose),
            Tag::List(_) => {}
            _ if self.depth == 0 => self.push(range, BlockKind::Prose),
            _ => {}
        }
    }

    fn end_heading(&mut self, level: u8, span: Range<usize>, text: String) {
        let text = text.trim().to_owned();
        if level == 1 && self.title.is_none() && !text.is_empty() {
            self.title = Some(text.clone());
        }
        let span = self.whole(span);
        self.blocks.push(Block {
            span,
            kind: BlockKind::Heading(level),
            heading: (!text.is_empty()).then_some(text),
            page: None,
        });
    }

    fn whole(&self, range: Range<usize>) -> Range<usize> {
        range.start + self.base..range.end + self.base
    }

    /// Adds a block. Code inside a container cuts the container in two.
    fn push(&mut self, range: Range<usize>, kind: BlockKind) {
        let span = self.whole(range);
        let last = self.blocks.last_mut();
        let Some(last) = last.filter(|last| span.start < last.span.end) else {
            self.blocks.push(Block {
                kind,
                ..prose(span)
            });
            return;
        };
        if kind != BlockKind::Code {
            return;
        }
        let rest = span.end..last.span.end.max(span.end);
        if last.span.start >= span.start {
            self.blocks.pop();
        } else {
            last.span.end = span.start;
        }
        self.blocks.push(Block {
            kind,
            ..prose(span)
        });
        if !self.body[rest.start - self.base..rest.end - self.base]
            .trim()
            .is_empty()
        {
            self.blocks.push(prose(rest));
        }
    }
}

/// `#tag` and `#nested/tag` in prose; a tag has at least one character that is no digit.
fn inline_tags(body: &str, base: usize, opaque: &[Range<usize>]) -> Vec<String> {
    let inside = Opaque::of(opaque);
    let mut tags = Vec::new();
    let mut before = '\n';
    for (at, c) in body.char_indices() {
        let starts = c == '#' && (before.is_whitespace() || "([{,;".contains(before));
        before = c;
        if !starts || inside.holds(base + at) {
            continue;
        }
        let rest = &body[at + 1..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || "_-/".contains(c)))
            .unwrap_or(rest.len());
        let tag = rest[..end].trim_end_matches(['-', '/']);
        if tag
            .chars()
            .any(|c| !c.is_ascii_digit() && c.is_alphanumeric())
        {
            push_new(&mut tags, tag);
        }
    }
    tags
}

/// Ranges in which nothing means anything.
struct Opaque(Vec<Range<usize>>);

impl Opaque {
    fn of(ranges: &[Range<usize>]) -> Self {
        Self(merged(ranges))
    }

    fn holds(&self, at: usize) -> bool {
        let next = self.0.partition_point(|range| range.start <= at);
        next > 0 && self.0[next - 1].end > at
    }
}

/// Sorted and disjoint.
fn merged(ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::is_by_others;

    fn blocks(text: &str) -> Vec<(BlockKind, String)> {
        let found = extract(text.to_owned());
        let blocks = found.outline.blocks.iter();
        blocks
            .map(|b| (b.kind, found.outline.text[b.span.clone()].trim().to_owned()))
            .collect()
    }

    #[test]
    fn front_matter_fields_are_kept() {
        let found = extract(
            "---\ntitle: My note\ntags: [a, '#b']\naliases: Other\ndue: 2024-01-02\n---\n\
             Text with #c/d and `#no` and [[Target|shown]] and ![[pic.png]].\n"
                .into(),
        );
        assert_eq!(found.meta.title.as_deref(), Some("My note"));
        assert_eq!(found.meta.tags, ["a", "b", "c/d"]);
        assert_eq!(found.meta.aliases, ["Other"]);
        assert_eq!(found.meta.links, ["Target", "pic.png"]);
        assert_eq!(found.meta.properties["due"], "2024-01-02");
    }

    #[test]
    fn links_in_tables_lead_where_others_do() {
        let found = extract(
            "| Tree | Wood |\n|---|---|\n| [[Larch\\|larch wood]] | ![[Oak.png\\|90]] |\n\n\
             [[Larch|it]]\n"
                .into(),
        );
        assert_eq!(found.meta.links, ["Larch", "Oak.png"]);
    }

    #[test]
    fn front_matter_of_toml_is_read_as_yaml_is() {
        let found = extract(
            "+++\ntitle = \"Roses\"\ntags = [\"a\", \"#b\"]\naliases = [\"Other\"]\ndate = 2024-01-02\n\
             source = \"https://example.org\"\n+++\nThe rose with #c.\n"
                .into(),
        );
        assert_eq!(found.meta.title.as_deref(), Some("Roses"));
        assert_eq!(found.meta.tags, ["a", "b", "c"]);
        assert_eq!(found.meta.aliases, ["Other"]);
        assert_eq!(found.meta.properties["date"], "2024-01-02");
        assert!(is_by_others(&found.meta.properties));
        let blocks = &found.outline.blocks;
        assert!(found.outline.text[blocks[1].span.clone()].starts_with("The rose"));
        let check = |text: &str, key: &str, expected: &str| {
            let found = extract(text.to_owned());
            assert_eq!(found.meta.properties[key], expected, "{text}");
        };
        check("+++\n[extra]\nurl = 'x'\n+++\n", "url", "x");
        check("+++\r\na = \"b\"\r\n+++\r\nc", "a", "b");
        // No TOML, as people write it.
        check("+++\ntitle = \"A \"b\" c\"\nurl = \"x\"\n+++\n", "url", "x");
        let rules = extract("+++\nOne.\n+++\nTwo.\n".into());
        assert_eq!(rules.meta, Meta::default());
        assert!(front_matter("+++\na = 1\n---\n").is_none());
    }

    #[test]
    fn broken_front_matter_is_text() {
        let found = extract("---\na: [unclosed\n---\nBody\n".into());
        assert_eq!(found.meta, Meta::default());
        assert_eq!(found.outline.blocks[0].span, 0..21);
        assert!(front_matter("---\nnever closed\n").is_none());
        assert!(front_matter("--- \r\na: 1\r\n---\r\nx").is_some());
    }

    #[test]
    fn code_is_its_own_block_also_in_lists() {
        let found = blocks("- one\n\n  ```sh\n  # no heading\n  ```\n- two\n");
        let kinds: Vec<_> = found.iter().map(|b| b.0).collect();
        assert_eq!(kinds, [BlockKind::Prose, BlockKind::Code, BlockKind::Prose]);
        assert!(found[1].1.starts_with("```sh") && found[1].1.ends_with("```"));
    }

    #[test]
    fn headings_open_sections_and_name_the_note() {
        let text = "# Title with `code`\nintro\n\n## Part\nbody\n";
        let found = extract(text.into());
        assert_eq!(found.meta.title.as_deref(), Some("Title with code"));
        let kinds: Vec<_> = found.outline.blocks.iter().map(|b| b.kind).collect();
        let (h, p) = (BlockKind::Heading, BlockKind::Prose);
        assert_eq!(kinds, [h(1), p, h(2), p]);
    }

    #[test]
    fn headings_may_hold_emphasis_and_links() {
        let found = extract("# A *bold* [link](x) title\n\ntext\n".into());
        assert_eq!(found.meta.title.as_deref(), Some("A bold link title"));
        assert_eq!(found.outline.blocks[0].kind, BlockKind::Heading(1));
    }

    #[test]
    fn tags_are_told_from_headings_and_anchors() {
        let found = extract("# Not a tag\n\n#yes x#no https://e.org/#no #12 (#ok)\n".into());
        assert_eq!(found.meta.tags, ["yes", "ok"]);
    }

    #[test]
    fn outliner_properties_are_read() {
        let found = extract(
            "title:: Contents\ntags:: [[a]], #b\nicon:: x\n\n- one\n  id:: 1\n  tags:: c\n\
             - see ((64d0a2f1-0f9c-4b8a-9d3e-1a2b3c4d5e6f))\n- std::vec is code\n"
                .into(),
        );
        assert_eq!(found.meta.title.as_deref(), Some("Contents"));
        assert_eq!(found.meta.tags, ["a", "b", "c"]);
        assert_eq!(found.meta.properties["icon"], "x");
        assert!(found.meta.properties["id"].is_null());
        assert_eq!(
            found.meta.links,
            ["a", "((64d0a2f1-0f9c-4b8a-9d3e-1a2b3c4d5e6f))"]
        );
    }

    #[test]
    fn lines_may_end_with_carriage_returns_alone() {
        let found = extract("above\r***\r`*\r`````/\t\tcode\r".into());
        let mut end = 0;
        for block in &found.outline.blocks {
            assert!(block.span.start >= end, "{:?}", found.outline.blocks);
            end = block.span.end;
        }
    }

    #[test]
    fn a_million_brackets_are_quick() {
        let found = extract("[".repeat(1_000_000));
        assert_eq!(found.outline.blocks.len(), 1);
    }
}
