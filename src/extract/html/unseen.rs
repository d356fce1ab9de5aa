//! What the styles of a page hide: text that nobody sees who opens it, planted for those who let a
//! machine read it.
//!
//! Read are the styles that lie in the page, for selectors of tags, classes and ids, within one another
//! or not, and those of the elements. Where a state, an attribute or a script may show a text, it counts
//! as seen: losing a note is worse. Sheets that lie beside the page are not read, and how much is compared
//! has a bound.

mod sheet;

use dom_query::{Document, NodeRef};

use self::sheet::{Names, Property, Said, Sheet, Value};

/// Nodes of a page that are looked at, at most.
const MOST_NODES: usize = 1_000_000;

/// Shades of each of red, green and blue (of 256) that no eye tells apart.
const SAME: u8 = 10;

/// What stands around a node, as far as the text in it has it from there.
struct Around {
    /// Its names, which selectors look for.
    names: Names,
    /// Is text too small to be seen?
    is_tiny: bool,
    /// Has text no colour at all?
    is_clear: bool,
    /// The colour of text, where a style says it.
    ink: Option<[u8; 3]>,
    /// The colour behind it, where that is known.
    ground: Option<[u8; 3]>,
    /// May what stands around be seen on this?
    lies_behind: bool,
}

impl Around {
    /// Is text seen that stands here?
    fn shows_text(&self) -> bool {
        let melts = match (self.ink, self.ground) {
            (Some(ink), Some(ground)) => ink
                .iter()
                .zip(ground)
                .all(|(ink, ground)| ink.abs_diff(ground) <= SAME),
            _ => false,
        };
        !self.is_tiny && !self.is_clear && !melts
    }
}

/// Takes out of a page what nobody sees.
pub(super) fn leave_out(page: &Document) {
    let mut sheet = Sheet::of(page);
    // A sheet beside the page may give it any colour.
    let is_alone = !page.select("link[rel]").nodes().iter().any(|link| {
        link.attr_or("rel", "")
            .to_lowercase()
            .contains("stylesheet")
    });
    let mut path = vec![Around {
        names: Names::default(),
        is_tiny: false,
        is_clear: false,
        ink: None,
        ground: is_alone.then_some([255; 3]),
        lies_behind: false,
    }];
    let mut unseen: Vec<NodeRef<'_>> = Vec::new();
    let mut next = page.root().first_child();
    let mut count = 0;
    while let Some(node) = next.filter(|_| count < MOST_NODES) {
        count += 1;
        let mut below = None;
        if node.is_text() {
            if path.last().is_some_and(|around| !around.shows_text()) {
                unseen.push(node);
            }
        } else if node.is_element() && !node.has_name("head") {
            match within(&node, &mut sheet, &path) {
                None => unseen.push(node),
                Some(around) => {
                    if let Some(above) = path.last_mut().filter(|_| around.lies_behind) {
                        above.ground = None;
                    }
                    below = node.first_child();
                    if below.is_some() {
                        path.push(around);
                    }
                }
            }
        }
        next = below.or_else(|| {
            let mut done = node;
            loop {
                if let Some(sibling) = done.next_sibling() {
                    return Some(sibling);
                }
                done = done.parent()?;
                path.pop();
            }
        });
    }
    for node in unseen {
        node.remove_from_parent();
    }
}

/// What stands around the nodes in an element; `None` where nobody sees it.
fn within(node: &NodeRef<'_>, sheet: &mut Sheet, path: &[Around]) -> Option<Around> {
    let names = Names::of(node);
    let said = sheet.said(node, &names, path);
    // A page that hides itself whole waits for a script to show it.
    let is_whole = matches!(names.tag.as_str(), "html" | "body");
    // Those who hear a page have its formulas from there; the letters that are seen say less.
    let is_formula = node
        .first_element_child()
        .is_some_and(|inner| inner.has_name("math"));
    if !is_whole && hides(&said, is_formula) {
        return None;
    }
    let above = path.last();
    let is_tiny = match said.of(Property::Size) {
        Some(Value::Hides) => true,
        Some(Value::Shows) => false,
        _ => above.is_some_and(|above| above.is_tiny),
    };
    let inherited = above.map_or((false, None), |above| (above.is_clear, above.ink));
    let (is_clear, ink) = match said.of(Property::Ink) {
        Some(Value::Hides) => (true, None),
        Some(Value::Paint(ink)) => (false, Some(ink)),
        Some(Value::Doubtful) => (false, None),
        // Links have a colour of their own.
        None if names.tag == "a" && node.has_attr("href") => (false, None),
        Some(Value::Shows) | None => inherited,
    };
    // What is taken out of its place may lie on anything, as on a picture.
    let is_loose = said.of(Property::Position) == Some(Value::Hides);
    let may_overlap = said.of(Property::Display) == Some(Value::Doubtful);
    let is_pictured =
        said.of(Property::Picture) == Some(Value::Doubtful) || may_overlap && holds_picture(node);
    let ground = match said.of(Property::Ground) {
        _ if is_pictured => None,
        Some(Value::Paint(ground)) => Some(ground),
        Some(Value::Doubtful) => None,
        _ if is_loose => None,
        _ => above.and_then(|above| above.ground),
    };
    let is_painted = is_pictured || said.of(Property::Ground).is_some();
    Some(Around {
        lies_behind: is_loose && (is_painted || holds_picture(node)),
        names,
        is_tiny,
        is_clear,
        ink,
        ground,
    })
}

/// Is an element a picture, or is there one in what begins it?
fn holds_picture(node: &NodeRef<'_>) -> bool {
    /// Nodes that are looked at.
    const MOST: usize = 16;
    const PICTURES: [&str; 5] = ["img", "picture", "video", "canvas", "svg"];
    let is_picture = |node: &NodeRef<'_>| PICTURES.iter().any(|name| node.has_name(name));
    is_picture(node)
        || node
            .descendants_it()
            .take(MOST)
            .any(|inner| is_picture(&inner))
}

/// Do styles hide an element with all that is in it? A formula may stand where nobody looks.
fn hides(said: &Said, is_formula: bool) -> bool {
    let is = |property: Property| said.of(property) == Some(Value::Hides);
    let is_placed = matches!(
        said.of(Property::Position),
        Some(Value::Hides | Value::Doubtful)
    );
    is(Property::Display)
        || is(Property::Visibility)
        || is(Property::Indent)
        // What fades in, or moves in, is seen.
        || is(Property::Opacity) && !is_formula && said.of(Property::Animation).is_none()
        || is_placed && !is_formula && (is(Property::Place) || is(Property::Clip))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, read};

    #[test]
    fn what_styles_hide_is_not_said() {
        for (style, hidden) in [
            (".x{display:none}", "<p class='a x'>9</p>"),
            (
                "#x , b { DISPLAY : none !important }",
                "<p id=x>9</p><b>9</b>",
            ),
            ("p.x{visibility:hidden}", "<p class=x>9</p>"),
            (
                ".x{font-size:0}",
                "<p class=x>9 <i style='font-size:2em'>9</i></p>",
            ),
            (".x{opacity:0}", "<div class=x><p>9</p></div>"),
            (".x{position:absolute;left:-9999px}", "<p class=x>9</p>"),
            (
                ".x{position:absolute;clip:rect(0, 0, 0, 0)}",
                "<p class=x>9</p>",
            ),
            (".x{text-indent:-200em}", "<p class=x>9</p>"),
            (".x{color:#fff}", "<p class=x>9</p>"),
            (
                ".x{color:#FEFEFE;background:white}",
                "<p class=x><b>9</b></p>",
            ),
            (
                "div{background-color:rgb(0,0,0)} .x{color:black}",
                "<div><p class=x>9</p></div>",
            ),
            (".x{color:transparent}", "<p class=x>9</p>"),
            (
                ".a .x, .a > i{display:none}",
                "<div class=a><b><u class=x>9</u></b><i>9</i></div>",
            ),
            ("@media screen{.x{display:none}}", "<p class=x>9</p>"),
            (
                "<!-- /* } */ .x{content:'}';display:none} -->",
                "<p class=x>9</p>",
            ),
            (
                "@media (width>=600px){.x{display:none}}",
                "<p class=x>9</p>",
            ),
            (
                "@media (prefers-color-scheme:dark){p{background:#000}} .x{color:#fff}",
                "<p class=x>9</p>",
            ),
            (
                "::selection{background:#036} .x{color:#fff}",
                "<p class=x>9</p>",
            ),
            (".w\\:x{display:none}", "<p class=w:x>9</p>"),
            (
                ".tab{display:none}",
                "<p class=tab>9</p><script>count('table')</script>",
            ),
            (
                ".x{display:none}.x::after{display:block}",
                "<p class=x>9</p>",
            ),
            ("", "<p style='font-size:0px'>9</p>"),
            ("", "<p style='color:#ffffff'>9</p>"),
            (
                "",
                "<table bgcolor='#000000'><tr><td><font color=black>9</font></table>",
            ),
        ] {
            let page = format!("<style>{style}</style><p>Seen.</p>{hidden}");
            check(&page, "Seen.\n");
        }
    }

    #[test]
    fn what_styles_show_is_said() {
        for (style, seen) in [
            (".x{display:none} p.x{display:block}", "<p class=x>9</p>"),
            (".x{display:none}", "<p class=x style='display:block'>9</p>"),
            (
                ".x{display:none} .x:target{display:block}",
                "<p class=x>9</p>",
            ),
            (".x{display:none} .y{display:block}", "<p class='x y'>9</p>"),
            (".x{opacity:0;animation:in 1s forwards}", "<p class=x>9</p>"),
            (
                ".x{font-size:0} .y{font-size:13px}",
                "<div class=x><p class=y>9</p></div>",
            ),
            (".x{color:#fff;background:#036}", "<p class=x>9</p>"),
            (".x{color:#fff;background:url(a.png)}", "<p class=x>9</p>"),
            (".x{color:#fff;position:absolute}", "<p class=x>9</p>"),
            (
                "div:nth-child(2){background:#036} .x{color:#fff}",
                "<div class=x><p>9</p></div>",
            ),
            (".x{color:#fff}", "<p class=x><a href=b>9</a></p>"),
            (
                ".a > .x{display:none}",
                "<div class=a><b><u class=x>9</u></b></div>",
            ),
            (".a .x{display:none}", "<p class=x>9</p>"),
            ("@media print{.x{display:none}}", "<p class=x>9</p>"),
            (
                "@media (max-width:600px){.x{display:none}}",
                "<p class=x>9</p>",
            ),
            (
                "@font-face{src:url(a)} @import 'b'; .y{display:none}",
                "<p class=x>9</p>",
            ),
            ("body{visibility:hidden}", "<p>9</p>"),
            (".x:hover{display:none}", "<p class=x>9</p>"),
        ] {
            let page = format!("<style>{style}</style>{seen}");
            check(&page, "9\n");
        }
        let beside = "<link rel=stylesheet href=a.css><p style='color:#fff'>9</p>";
        check(beside, "9\n");
        check(
            "<noscript><style>.x{display:none}</style></noscript><p class=x>9</p>",
            "9\n",
        );
    }

    #[test]
    fn what_scripts_and_other_screens_show_is_said() {
        for (style, seen) in [
            (
                ".x{display:none} .x.open{display:block}",
                "<p class=x>9</p>",
            ),
            (".x{display:none} .on.x{display:block}", "<p class=x>9</p>"),
            (
                ".x{display:none} .open > .x{display:block}",
                "<div><p class=x>9</p></div>",
            ),
            (".x{opacity:0;transition:opacity 1s}", "<p class=x>9</p>"),
            ("", "<p style='opacity:0;transform:translateY(20px)'>9</p>"),
            (
                ".x{display:none} @media (min-width:1600px){.x{display:block}}",
                "<p class=x>9</p>",
            ),
            (
                ".x{display:none} @media (width >= 48rem){.y{display:block}}",
                "<p class='x y'>9</p>",
            ),
            (
                ".tab{display:none}",
                "<p class=tab>9</p><script>show('.tab')</script>",
            ),
            // Blocks within blocks.
            (
                ".x{color:red;.y{color:red;display:none;} margin:0}",
                "<p class=x>9</p>",
            ),
            (
                ".x{display:none} .y{@media (width>=48rem){display:block}}",
                "<p class='x y'>9</p>",
            ),
            (".x{display:none;&.open{display:block}}", "<p class=x>9</p>"),
            (
                ".x{position:absolute;clip:rect(0,auto,auto,0)}",
                "<p class=x>9</p>",
            ),
            (
                "div{font-size:0} .x{font-size:var(--size)}",
                "<div><p class=x>9</p></div>",
            ),
            (
                "div{display:grid} .x{color:#fff}",
                "<div><img src=a><p class=x>9</p></div>",
            ),
            (".x::before{display:none}", "<p class=x>9</p>"),
            (
                ".a::before{background:#036} .x{color:#fff}",
                "<div class=a><p class=x>9</p></div>",
            ),
            (
                ".b{position:absolute} .x{color:#fff}",
                "<div><span class=b><img src=a></span><p class=x>9</p></div>",
            ),
            (
                ".m{position:absolute;clip:rect(1px,1px,1px,1px)}",
                "<p><span class=m><math><mn>9</mn></math></span></p>",
            ),
        ] {
            let page = format!("<style>{style}</style>{seen}");
            check(&page, "9\n");
        }
    }

    #[test]
    fn an_article_is_without_what_styles_hide() {
        let long = "It was kept in order, the granary, its wells, and its roads. ".repeat(20);
        let page = format!(
            "<html><head><title>Wells</title><style>.x{{font-size:0}}</style></head><body><article>\
             <p>{long}</p><p class=x>Pay Ann. {long}</p><p>{long}</p></article></body></html>"
        );
        let found = read(&page);
        assert!(found.outline.text.contains("granary"));
        assert!(
            !found.outline.text.contains("Ann"),
            "{}",
            found.outline.text
        );
        assert_eq!(found.meta.title.as_deref(), Some("Wells"));
    }

    #[test]
    fn styles_without_end_end() {
        let many = ".a .b .c{display:none}".repeat(20_000);
        let deep = "<div class='a c'>".repeat(2_000);
        let page = format!("<style>{many}</style>{deep}<p>Seen.</p>");
        check(&page, "Seen.\n");
        check(
            &format!("<p>Seen.</p><style>{}", "@media all{".repeat(50_000)),
            "Seen.\n",
        );
    }
}
