//! org-mode, reStructuredText and `AsciiDoc` as structured text.
//!
//! Headings, code and titles are recognised line by line; the text is kept as it is, so that lines
//! are those of the file. These readers know no more than that, and need not: what they take for
//! prose is still found.

use std::ops::Range;

use super::{Extracted, add_property, push_new};
use crate::domain::outline::{Block, BlockKind, Outline};
use crate::domain::sentence::lines::TASK_STATES;
use crate::domain::source::Meta;

/// Lines of a text with their byte ranges, line ends included.
fn lines(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut position = 0;
    text.split_inclusive('\n').map(move |line| {
        let range = position..position + line.len();
        position = range.end;
        (range, line.trim_end())
    })
}

/// Blocks under way: runs of lines of one kind.
#[derive(Default)]
struct Blocks {
    done: Vec<Block>,
    open: Option<(Range<usize>, BlockKind)>,
}

impl Blocks {
    fn extend(&mut self, range: Range<usize>, kind: BlockKind) {
        match &mut self.open {
            Some((open, same)) if *same == kind => open.end = range.end,
            _ => {
                self.close();
                self.open = Some((range, kind));
            }
        }
    }

    fn close(&mut self) {
        if let Some((span, kind)) = self.open.take() {
            self.done.push(Block {
                span,
                kind,
                heading: None,
                page: None,
            });
        }
    }

    fn heading(&mut self, span: Range<usize>, level: usize, text: &str) {
        self.close();
        let level = u8::try_from(level.clamp(1, 6)).unwrap_or(6);
        self.done.push(Block {
            span,
            kind: BlockKind::Heading(level),
            heading: (!text.is_empty()).then(|| text.to_owned()),
            page: None,
        });
    }

    fn into_extracted(mut self, text: String, meta: Meta) -> Extracted {
        self.close();
        let outline = Outline {
            text,
            blocks: self.done,
        };
        Extracted {
            outline,
            meta,
            missing: None,
        }
    }
}

pub(super) fn org(text: String) -> Extracted {
    let mut blocks = Blocks::default();
    let mut meta = Meta::default();
    let mut code = false;
    let mut in_head = true;
    for (range, line) in lines(&text) {
        let lower = line.trim_start().to_ascii_lowercase();
        let stars = line.bytes().take_while(|b| *b == b'*').count();
        if code {
            blocks.extend(range, BlockKind::Code);
            if lower.starts_with("#+end_") {
                code = false;
                blocks.close();
            }
        } else if lower.starts_with("#+begin_src") || lower.starts_with("#+begin_example") {
            code = true;
            blocks.close();
            blocks.extend(range, BlockKind::Code);
        } else if stars > 0 && line[stars..].starts_with(' ') {
            in_head = false;
            let (title, tags) = org_heading(line[stars..].trim());
            tags.iter().for_each(|tag| push_new(&mut meta.tags, tag));
            blocks.heading(range, stars, title);
        } else if line.is_empty() {
            blocks.close();
        } else {
            if let Some(title) = keyword(line, "#+title:") {
                meta.title = Some(title.to_owned());
            }
            if in_head && let Some((key, value)) = origin(line.trim_start()) {
                add_property(&mut meta, key, value);
            }
            for tag in keyword(line, "#+filetags:").unwrap_or("").split(':') {
                push_new(&mut meta.tags, tag.trim());
            }
            for link in line.split("[[").skip(1) {
                let target = link.split(']').next().unwrap_or_default();
                push_new(&mut meta.links, target);
            }
            blocks.extend(range, BlockKind::Prose);
        }
    }
    blocks.into_extracted(text, meta)
}

/// Keys under which the head of an org file says of which page it is a copy, as `#+KEY:` or in its
/// drawer.
const ORIGINS: [&str; 5] = ["source", "url", "source_url", "roam_refs", "roam_key"];

/// Such a key, and the address that it gives, or what stands there.
fn origin(line: &str) -> Option<(&'static str, &str)> {
    let rest = line.strip_prefix("#+").or(line.strip_prefix(':'))?;
    let (key, value) = rest.split_once(':')?;
    let key = ORIGINS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(key))?;
    let marks = |c: char| c.is_whitespace() || "[]<>\"".contains(c);
    let is_page = |part: &&str| part.to_ascii_lowercase().starts_with("http");
    let page = value.split(marks).find(is_page);
    let value = page.unwrap_or(value.trim());
    (!value.is_empty()).then_some((key, value))
}

fn keyword<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let head = line.get(..key.len())?;
    let value = line[key.len()..].trim();
    (head.eq_ignore_ascii_case(key) && !value.is_empty()).then_some(value)
}

/// The text of a heading without its state, how important it is, and its tags, and the tags.
fn org_heading(text: &str) -> (&str, Vec<String>) {
    let mut title = text;
    let first = title.split(' ').next().unwrap_or_default();
    if TASK_STATES.contains(&first) {
        title = title[first.len()..].trim_start();
    }
    if let Some(rest) = title.strip_prefix("[#")
        && let Some(at) = rest.find("] ").filter(|at| *at <= 2)
    {
        title = rest[at + 1..].trim_start();
    }
    title = title.strip_prefix("COMMENT ").unwrap_or(title);
    let mut tags = Vec::new();
    if let Some((before, last)) = title.rsplit_once([' ', '\t'])
        && last.len() > 2
        && last.starts_with(':')
        && last.ends_with(':')
    {
        tags.extend(last.trim_matches(':').split(':').map(ToOwned::to_owned));
        title = before.trim_end();
    }
    (title, tags)
}

pub(super) fn asciidoc(text: String) -> Extracted {
    let mut blocks = Blocks::default();
    let mut meta = Meta::default();
    let mut fence: Option<&str> = None;
    let mut attributed = false;
    let all: Vec<(Range<usize>, &str)> = lines(&text).collect();
    let mut all = all.into_iter().peekable();
    while let Some((range, line)) = all.next() {
        let begins = blocks.open.is_none() || attributed;
        attributed = line.starts_with('[');
        let below = all.peek().filter(|_| begins);
        let below = below.and_then(|(under, marks)| Some((underlined(line, marks)?, under.end)));
        let delimiter = line.len() >= 4
            && (line.trim_matches('-').is_empty() || line.trim_matches('.').is_empty());
        let level = line.bytes().take_while(|b| *b == b'=').count();
        let marked = (1..=6).contains(&level) && line[level..].starts_with(' ');
        let title = if marked {
            Some((level, range.end))
        } else {
            below
        };
        if let Some(open) = fence {
            blocks.extend(range, BlockKind::Code);
            if line == open {
                fence = None;
                blocks.close();
            }
        } else if delimiter || line.starts_with("```") {
            fence = Some(if delimiter { line } else { "```" });
            blocks.close();
            blocks.extend(range, BlockKind::Code);
        } else if let Some((level, end)) = title {
            let title = line.trim_start_matches('=').trim();
            if level == 1 && meta.title.is_none() {
                meta.title = Some(title.to_owned());
            }
            if !marked {
                all.next();
            }
            blocks.heading(range.start..end, level, title);
        } else if line.is_empty() {
            blocks.close();
        } else {
            if let Some(title) = keyword(line, ":doctitle:").or(keyword(line, ":title:"))
                && meta.title.is_none()
            {
                meta.title = Some(title.to_owned());
            }
            for key in [":keywords:", ":page-tags:"] {
                for tag in keyword(line, key).unwrap_or("").split(',') {
                    push_new(&mut meta.tags, tag.trim());
                }
            }
            blocks.extend(range, BlockKind::Prose);
        }
    }
    drop(all);
    blocks.into_extracted(text, meta)
}

/// The level of a title that is told by the line below it, which is about as long.
fn underlined(title: &str, marks: &str) -> Option<usize> {
    let level = "=-~^+".find(adornment(marks)?)? + 1;
    let fits = title.chars().count().abs_diff(marks.len()) <= 1;
    (fits && title.starts_with(char::is_alphanumeric)).then_some(level)
}

pub(super) fn rst(text: String) -> Extracted {
    let all: Vec<(Range<usize>, &str)> = lines(&text).collect();
    let mut blocks = Blocks::default();
    let mut meta = Meta::default();
    // The order in which adornments appear is the order of levels.
    let mut styles: Vec<(char, bool)> = Vec::new();
    // Indentation above which lines belong to the literal block under way.
    let mut literal: Option<usize> = None;
    let mut at = 0;
    while at < all.len() {
        let (range, line) = all[at].clone();
        let indent = line.len() - line.trim_start().len();
        if let Some(outer) = literal {
            if line.is_empty() || indent > outer {
                blocks.extend(range, BlockKind::Code);
                at += 1;
                continue;
            }
            literal = None;
            blocks.close();
        }
        if let Some((title, adornment, over)) = rst_title(&all, at) {
            let style = (adornment, over);
            let known = styles.iter().position(|s| *s == style);
            let level = known.unwrap_or_else(|| {
                styles.push(style);
                styles.len() - 1
            }) + 1;
            let last = at + if over { 2 } else { 1 };
            blocks.heading(range.start..all[last].0.end, level, title);
            if meta.title.is_none() {
                meta.title = Some(title.to_owned());
            }
            at = last + 1;
            continue;
        }
        if line.is_empty() {
            blocks.close();
        } else {
            blocks.extend(range, BlockKind::Prose);
            let directive = line.trim_start().starts_with(".. code")
                || line.trim_start().starts_with(".. sourcecode");
            let introduces = line.ends_with("::") && !line.trim_start().starts_with("..");
            if directive || introduces {
                literal = Some(indent);
                blocks.close();
            }
        }
        at += 1;
    }
    drop(all);
    blocks.into_extracted(text, meta)
}

/// A title that begins at this line: its text, its adornment, whether it has an overline.
fn rst_title<'t>(lines: &[(Range<usize>, &'t str)], at: usize) -> Option<(&'t str, char, bool)> {
    let line = lines[at].1;
    let below = |n: usize| lines.get(at + n).map(|(_, line)| *line);
    if let (Some(adornment), Some(title), Some(under)) = (adornment(line), below(1), below(2))
        && under == line
        && !title.trim().is_empty()
    {
        return Some((title.trim(), adornment, true));
    }
    let under = below(1)?;
    let adorned = adornment(under)?;
    let long_enough = under.chars().count() >= line.trim_end().chars().count();
    let fits = !line.is_empty() && !line.starts_with(' ') && adornment(line).is_none();
    (fits && long_enough).then_some((line.trim(), adorned, false))
}

fn adornment(line: &str) -> Option<char> {
    let first = line.chars().next()?;
    let adorns = first.is_ascii_punctuation() && line.len() >= 3;
    (adorns && line.chars().all(|c| c == first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::is_by_others;

    fn shape(found: &Extracted) -> Vec<(BlockKind, Option<&str>)> {
        let blocks = found.outline.blocks.iter();
        blocks.map(|b| (b.kind, b.heading.as_deref())).collect()
    }

    const PROSE: (BlockKind, Option<&str>) = (BlockKind::Prose, None);
    const CODE: (BlockKind, Option<&str>) = (BlockKind::Code, None);

    fn head(level: u8, text: &str) -> (BlockKind, Option<&str>) {
        (BlockKind::Heading(level), Some(text))
    }

    #[test]
    fn org_headings_tags_and_code() {
        let found = org(
            "#+TITLE: My file\n#+filetags: :x:y:\n* TODO Buy seeds :garden:\n\
             See [[file:a.org][A]].\n** Sub\n#+BEGIN_SRC sh\n* no heading\n#+END_SRC\nend\n"
                .into(),
        );
        assert_eq!(found.meta.title.as_deref(), Some("My file"));
        assert_eq!(found.meta.tags, ["x", "y", "garden"]);
        assert_eq!(found.meta.links, ["file:a.org"]);
        assert_eq!(
            shape(&found),
            [
                PROSE,
                head(1, "Buy seeds"),
                PROSE,
                head(2, "Sub"),
                CODE,
                PROSE
            ]
        );
    }

    #[test]
    fn the_head_of_an_org_file_says_of_which_page_it_is() {
        let check = |text: &str, expected: bool| {
            let found = org(text.to_owned());
            assert_eq!(is_by_others(&found.meta.properties), expected, "{text}");
        };
        let page = "https://example.org/a";
        check(&format!("#+TITLE: A\n#+SOURCE: {page}\n\ntext\n"), true);
        check(&format!("#+url: [[{page}][A page]]\n"), true);
        let drawer = format!(":PROPERTIES:\n:ROAM_REFS: @key \"{page}\"\n:END:\n");
        check(&drawer, true);
        check(&format!("text\n* Link\n:URL: {page}\n"), false);
        check("#+SOURCE: my own notes of May\n", false);
        check(
            &format!("#+BEGIN_SRC sh\n#+SOURCE: {page}\n#+END_SRC\n"),
            false,
        );
        check("#+URL:\n", false);
        let found = org("#+url: <https://example.org/a>\n".into());
        assert_eq!(found.meta.properties["url"], page);
    }

    #[test]
    fn the_title_of_asciidoc_may_be_an_attribute() {
        let title = |text: &str| asciidoc(text.to_owned()).meta.title;
        assert_eq!(
            title(":doctitle: Mills\n\nThey stand.\n").as_deref(),
            Some("Mills")
        );
        assert_eq!(
            title("= Mills\n:title: Of mills\n").as_deref(),
            Some("Mills")
        );
        assert_eq!(title(":title:\n"), None);
    }

    #[test]
    fn rst_titles_by_order_of_their_adornments() {
        let found = rst("=====\nTitle\n=====\n\nText::\n\n   code\n\nMore\n\nPart\n----\nx\n\nSub\n~~~\n\nOther\n-----\n".into());
        assert_eq!(found.meta.title.as_deref(), Some("Title"));
        assert_eq!(
            shape(&found),
            [
                head(1, "Title"),
                PROSE,
                CODE,
                PROSE,
                head(2, "Part"),
                PROSE,
                head(3, "Sub"),
                head(2, "Other")
            ]
        );
    }

    #[test]
    fn asciidoc_headings_and_listings() {
        let found =
            asciidoc("= Book\n:keywords: a, b\n\n== Part\ntext\n\n----\n== no\n----\n".into());
        assert_eq!(found.meta.tags, ["a", "b"]);
        assert_eq!(
            shape(&found),
            [head(1, "Book"), PROSE, head(2, "Part"), PROSE, CODE]
        );
        let found = asciidoc(
            "Book\n====\n\n[[part]]\nPart\n-----\ntext\n\n----\nno\n----\n\nas\nhere\n----\n\
             x\n----\n\n.Sub\n----\ny\n----\n"
                .into(),
        );
        assert_eq!(found.meta.title.as_deref(), Some("Book"));
        assert_eq!(
            shape(&found),
            [
                head(1, "Book"),
                PROSE,
                head(2, "Part"),
                PROSE,
                CODE,
                PROSE,
                CODE,
                PROSE,
                CODE
            ]
        );
    }
}
