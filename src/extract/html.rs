//! Web pages: the main text, not the menus.
//!
//! Readability decides what the article is; where it finds none, or drops more than half of what is
//! not navigation, the whole page without its navigation is taken: losing a note is worse than
//! keeping a footer.

mod charset;
mod raised;
mod unseen;
mod writer;

use std::borrow::Cow;

use dom_query::{Document, NodeRef};
use dom_smoothie::Readability;

use super::pen::{Pen, one_line};
use super::{Extracted, Skip};
use crate::domain::source::Meta;

pub(super) use self::charset::{declared, decode};
use self::writer::Writer;

/// Elements that hold navigation, not content.
const AROUND: &[&str] = &["nav", "aside", "footer"];

/// The main text of a page.
///
/// # Errors
/// [`Skip`] for what is not text, or too much.
pub(super) fn extract(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let html = decode(bytes)?;
    let mut pen = Pen::new(limit);
    let meta = write(&html, &mut pen);
    pen.finish(meta)
}

/// Writes the main text of a page, and returns what it says of itself.
pub(super) fn write(html: &str, pen: &mut Pen) -> Meta {
    let html = &*with_ends(html);
    let page = seen(html);
    let meta = Meta {
        title: title(&page),
        links: links(&page),
        ..Meta::default()
    };
    if let Some(article) = article(html, &page) {
        let article = Document::from(article.as_str());
        Writer::new(pen, AROUND).tree(&article.root());
    } else {
        Writer::new(pen, AROUND).tree(&page.root());
    }
    meta
}

/// Writes all text of a fragment: a chapter of a book with its notes, a page within a document.
pub(super) fn write_all(html: &str, pen: &mut Pen) -> Option<String> {
    let page = seen(&with_ends(html));
    Writer::new(pen, &["nav"]).tree(&page.root());
    title(&page)
}

/// Writes all text of the body of a message, and marks what it quotes of earlier ones.
pub(super) fn write_mail(html: &str, pen: &mut Pen) {
    let page = seen(&with_ends(html));
    Writer::new(pen, &["nav"]).of_mail().tree(&page.root());
}

/// A page as somebody sees it, with what belongs to its text named as such.
fn seen(html: &str) -> Document {
    let page = Document::from(html);
    unseen::leave_out(&page);
    keep_what_belongs(&page);
    page
}

/// Elements whose end a browser looks for although they say that they have none.
const RAW: [&str; 7] = [
    "title", "script", "style", "noscript", "iframe", "textarea", "template",
];

/// XHTML with `<title/>` as `<title></title>`: read as HTML, the first has no end before that of the
/// text. What is not XHTML stays as it is.
fn with_ends(html: &str) -> Cow<'_, str> {
    let is_xml =
        html.trim_start().starts_with("<?xml") || html.contains("http://www.w3.org/1999/xhtml");
    if !is_xml {
        return Cow::Borrowed(html);
    }
    let mut written = String::with_capacity(html.len() + 32);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let tag = &rest[at + 1..];
        let end = tag
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(tag.len());
        let name = &tag[..end];
        let raw = RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw));
        let close = if raw { end_of_tag(tag) } else { None };
        let Some(close) = close.filter(|close| tag[..*close].ends_with('/')) else {
            written.push_str(&rest[..=at]);
            rest = tag;
            continue;
        };
        written.push_str(&rest[..=at]);
        written.push_str(tag[..close].trim_end_matches('/'));
        written.push_str("></");
        written.push_str(name);
        written.push('>');
        rest = &tag[close + 1..];
    }
    written.push_str(rest);
    Cow::Owned(written)
}

/// Characters of a tag at most.
const LONGEST_TAG: usize = 1024;

/// Where the tag ends that `text` is in, in bytes; what is quoted ends none.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut within = text.char_indices().take(LONGEST_TAG);
    let end = within.find(|(_, c)| {
        match (quote, *c) {
            (None, '>') => return true,
            (None, '"' | '\'') => quote = Some(*c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        false
    });
    end.map(|(at, _)| at)
}

fn title(page: &Document) -> Option<String> {
    let title = one_line(&page.select_single("head title").text());
    (!title.is_empty()).then_some(title)
}

fn links(page: &Document) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    for node in page.select("a[href]").nodes() {
        let target = node.attr_or("href", "").trim().to_owned();
        let counts = !target.is_empty() && !target.starts_with('#') && !is_doing(&target);
        if counts && links.len() < 200 && !links.contains(&target) {
            links.push(target);
        }
    }
    links
}

/// Does a link do or hold something, rather than lead somewhere?
fn is_doing(target: &str) -> bool {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let doing = ["javascript", "vbscript", "data"];
    doing.iter().any(|one| scheme.eq_ignore_ascii_case(one))
}

/// Readability's article as HTML, when it is worth having.
fn article(html: &str, page: &Document) -> Option<String> {
    let mut readability = Readability::with_document(seen(html), None, None).ok()?;
    if !readability.is_probably_readable() {
        return None;
    }
    let article = readability.parse().ok()?;
    let mut all = Pen::new(usize::MAX);
    Writer::new(&mut all, AROUND).tree(&page.root());
    let all = all.finish(Meta::default()).ok()?.outline.text;
    let words = |text: &str| text.split_whitespace().count();
    (words(&article.text_content) * 2 > words(&all)).then(|| article.content.to_string())
}

/// Elements of a page of which it is told whether they belong to its text, at most.
const MOST_DOUBTFUL: usize = 1000;

/// Nodes of such an element that are looked at, at most.
const MOST_NODES: usize = 2000;

/// How far up the element is looked for that such an element is in.
const FURTHEST: usize = 32;

/// Gives elements that are left out elsewhere names of such as are kept, where they belong to the text:
/// notes beside an article, who is quoted, buttons that a sentence names.
fn keep_what_belongs(page: &Document) {
    write_ticks(page);
    for node in page
        .select("aside, footer, button")
        .nodes()
        .iter()
        .take(MOST_DOUBTFUL)
    {
        let is_within = |names: &[&str]| {
            let mut around = node.ancestors_it(Some(FURTHEST));
            around.any(|node| names.iter().any(|name| node.has_name(name)))
        };
        if node.has_name("button") {
            if is_in_sentence(node) {
                node.rename("span");
            }
        } else if node.has_name("footer") {
            if is_within(&["blockquote"]) {
                node.rename("section");
            }
        } else if (is_within(&["article", "main"]) || stands_between(node)) && !leads_away(node) {
            node.rename("section");
        }
    }
}

/// Boxes in items become marks as Markdown has them, `[x]` and `[ ]`: what is done would look as what is to
/// do. They are those of HTML, and what Notion exports.
fn write_ticks(page: &Document) {
    let boxes = page.select("input, div.checkbox-on, div.checkbox-off");
    for node in boxes.nodes().iter().take(MOST_DOUBTFUL) {
        let is_input = node.has_name("input");
        if is_input && !node.attr_or("type", "").eq_ignore_ascii_case("checkbox") {
            continue;
        }
        // What looks around is gone before the page changes, which it borrows.
        let is_item = node
            .ancestors_it(Some(FURTHEST))
            .any(|around| around.has_name("li"));
        if is_item {
            let ticked = node.has_attr("checked") || node.has_class("checkbox-on");
            node.rename("span");
            node.set_text(if ticked { "[x] " } else { "[ ] " });
        }
    }
}

/// Does text stand right before or behind it?
fn is_in_sentence(node: &NodeRef<'_>) -> bool {
    let says = |node: Option<NodeRef<'_>>| {
        node.is_some_and(|node| node.is_text() && node.text().contains(char::is_alphabetic))
    };
    says(node.prev_sibling()) || says(node.next_sibling())
}

/// Does it stand between paragraphs and the like?
fn stands_between(node: &NodeRef<'_>) -> bool {
    const OF_TEXT: [&str; 9] = [
        "p",
        "blockquote",
        "ul",
        "ol",
        "dl",
        "pre",
        "table",
        "figure",
        "hr",
    ];
    let is_text = |node: Option<NodeRef<'_>>| {
        let name = node.and_then(|node| node.node_name());
        name.is_some_and(|name| OF_TEXT.contains(&&*name) || level(&name).is_some())
    };
    is_text(node.prev_element_sibling()) && is_text(node.next_element_sibling())
}

/// What the asides are called that lead to other pages.
const LEADING: [&str; 14] = [
    "sidebar",
    "related",
    "recommend",
    "widget",
    "share",
    "social",
    "newsletter",
    "subscribe",
    "promo",
    "advert",
    "banner",
    "cookie",
    "menu",
    "toc",
];

/// Is an aside of the site, not of the text: by its name, by what is next to it, or because it is
/// links, most of all?
fn leads_away(node: &NodeRef<'_>) -> bool {
    let names = format!("{} {}", node.attr_or("class", ""), node.attr_or("id", ""));
    let names = names.to_lowercase();
    let sibling = |node: Option<NodeRef<'_>>| node.is_some_and(|node| node.has_name("article"));
    if LEADING.iter().any(|name| names.contains(name))
        || sibling(node.prev_element_sibling())
        || sibling(node.next_element_sibling())
    {
        return true;
    }
    let (mut all, mut linked) = (0, 0);
    for inner in node
        .descendants_it()
        .take(MOST_NODES)
        .filter(NodeRef::is_text)
    {
        let signs = one_line(&inner.text()).len();
        all += signs;
        let mut around = inner.ancestors_it(Some(4));
        if around.any(|node| node.has_name("a")) {
            linked += signs;
        }
    }
    linked * 2 > all
}

/// Text of a few signs within few nodes, on one line; nothing where there is more, or an image, or what
/// is hidden.
fn short_text(node: &NodeRef<'_>, most_nodes: usize, most_bytes: usize) -> Option<String> {
    let mut text = String::new();
    for (number, inner) in node.descendants_it().enumerate() {
        if number >= most_nodes || text.len() > most_bytes {
            return None;
        }
        if inner.is_text() {
            text.push_str(&inner.text());
        } else if inner.has_name("img") || inner.is_element() && is_hidden(&inner) {
            return None;
        }
    }
    let text = one_line(&text);
    (text.len() <= most_bytes).then_some(text)
}

fn level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    }
}

fn is_hidden(node: &NodeRef<'_>) -> bool {
    let role = node.attr_or("role", "");
    // What is hidden until somebody looks for it on the page is there for who looks for it.
    let hidden = node.attr("hidden");
    hidden.is_some_and(|until| !until.eq_ignore_ascii_case("until-found"))
        || &*node.attr_or("aria-hidden", "") == "true"
        || matches!(
            &*role,
            "navigation" | "search" | "contentinfo" | "complementary" | "menu"
        )
        || is_styled_away(&node.attr_or("style", ""))
        || node.has_name("dialog") && !node.has_attr("open")
}

/// Does a style hide what it is of?
fn is_styled_away(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let mut rules = style.split(';').filter_map(|rule| rule.split_once(':'));
    rules.any(|(name, value)| match name.trim() {
        "display" => value.trim().starts_with("none"),
        "visibility" => value.trim().starts_with("hidden") || value.trim().starts_with("collapse"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outline::BlockKind;

    pub(super) fn read(html: &str) -> Extracted {
        extract(html.as_bytes(), 1 << 20).unwrap()
    }

    pub(super) fn check(html: &str, expected: &str) {
        assert_eq!(read(html).outline.text, expected, "{html}");
    }

    #[test]
    fn elements_of_xhtml_that_end_at_once_swallow_nothing() {
        let page = "<?xml version='1.0'?><html><head><title/><script src='a>b'/></head>\
                    <body><p>They dance.</p></body></html>";
        assert_eq!(read(page).outline.text, "They dance.\n");
        // In HTML such a mark says nothing.
        assert_eq!(with_ends("<title/>x"), "<title/>x");
        let same = "<?xml?><br/><p>a < b</p><titles/>";
        assert_eq!(with_ends(same), same);
        // Each of these was looked at up to the end.
        for (tag, count) in [("<b ", 500_000), ("<title ", 20_000)] {
            let open = format!("<?xml{}", tag.repeat(count));
            assert_eq!(with_ends(&open), open);
        }
    }

    #[test]
    fn what_is_hidden_is_not_said() {
        for hidden in [
            "<p style='visibility:hidden'>9</p>",
            "<p style='DISPLAY: None'>9</p>",
            "<p style='color:red; display : none!important'>9</p>",
            "<dialog><p>9</p></dialog>",
            "<p hidden>9</p>",
            "<p aria-hidden=true>9</p>",
        ] {
            check(&format!("<p>Seen.</p>{hidden}"), "Seen.\n");
        }
        check("<p style='backface-visibility:hidden'>Seen.</p>", "Seen.\n");
        check("<p hidden=until-found>Seen.</p>", "Seen.\n");
        check("<dialog open>Seen.</dialog>", "Seen.\n");
    }

    #[test]
    fn what_belongs_to_the_text_is_kept() {
        check(
            "<p>Use <button>Save</button> now.</p><button>Share</button>",
            "Use Save now.\n",
        );
        check(
            "<blockquote><p>It stood idle.</p><footer>— Ann</footer></blockquote><footer>(c)</footer>",
            "It stood idle.\n\n— Ann\n",
        );
        check(
            "<article><p>One.</p><aside><p>Mind the weir.</p></aside></article>\
             <aside>Other pages</aside>",
            "One.\n\nMind the weir.\n",
        );
        check(
            "<p>One.</p><aside>Note.</aside><p>Two.</p>",
            "One.\n\nNote.\n\nTwo.\n",
        );
        let leads = "<main><p>One.</p><aside class=related>More</aside>\
            <aside><a href=a>A page</a></aside><p>Two.</p></main>";
        check(leads, "One.\n\nTwo.\n");
        let long = "It was kept in order, the granary, its wells, and its roads. ".repeat(20);
        let article = format!(
            "<html><body><article><p>{long}</p><aside>Mind the weir.</aside><p>{long}</p>\
             <blockquote><p>So.</p><footer>Ann</footer></blockquote>\
             <p>Press <button>Save</button> now. {long}</p></article></body></html>"
        );
        let text = read(&article).outline.text;
        for kept in ["Mind the weir.", "Ann", "Press Save now."] {
            assert!(text.contains(kept), "{kept} in {text}");
        }
    }

    #[test]
    fn what_is_done_is_told_from_what_is_to_do() {
        check(
            "<ul><li><input type=checkbox checked disabled> Buy oars</li>\
             <li><label><input type=Checkbox>Mend the boat</label></li></ul>\
             <p>Name <input><input type=checkbox> I agree</p>",
            "- [x] Buy oars\n- [ ] Mend the boat\n\nName I agree\n",
        );
        check(
            "<ul class=to-do-list><li><div class='checkbox checkbox-on'></div> <span>Oars</span></li>\
             <li><div class='checkbox checkbox-off'></div> <span>Boat</span></li></ul>",
            "- [x] Oars\n- [ ] Boat\n",
        );
    }

    #[test]
    fn menus_and_scripts_are_left_out() {
        let found = read(
            "<html><head><title> A  page </title><script>var x=1</script></head><body>\
             <nav><a href='/a'>Home</a></nav><h1>Bees</h1><p>They <b>dance</b>.<br>Daily.</p>\
             <div hidden>secret</div><ul><li>one<li><p>two</p></ul><pre>a\n  b</pre>\
             <table><tr><th>Name<th>Age<tr><td>Ann<td>7</table><footer>(c)</footer></body></html>",
        );
        assert_eq!(found.meta.title.as_deref(), Some("A page"));
        assert_eq!(
            found.outline.text,
            "# Bees\n\nThey dance.\nDaily.\n\n- one\n- two\n\na\n  b\n\nName | Age\nAnn | 7\n"
        );
        assert_eq!(found.outline.blocks[0].kind, BlockKind::Heading(1));
        assert_eq!(found.meta.links, ["/a"]);
    }

    #[test]
    fn links_lead_somewhere() {
        let page = [
            "journal.html",
            "jobs/",
            "javascript:void(0)",
            " JavaScript:x()",
            "data:text/plain,x",
            "#top",
            "mailto:ann@example.org",
        ];
        let page: String = page.map(|to| format!("<a href='{to}'>x</a>")).concat();
        let expected = ["journal.html", "jobs/", "mailto:ann@example.org"];
        assert_eq!(read(&page).meta.links, expected);
    }
}
