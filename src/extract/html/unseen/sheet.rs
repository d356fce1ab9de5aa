//! Style sheets, as far as they say whether text is seen: which of what they say counts for an element.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use dom_query::{Document, NodeRef};

use super::Around;

/// What may hide a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    Display,
    Visibility,
    Opacity,
    Animation,
    Position,
    Place,
    Indent,
    Clip,
    Size,
    Ink,
    Ground,
    Picture,
}

impl Property {
    /// Do scripts show by it what was hidden?
    fn is_switched(self) -> bool {
        matches!(self, Self::Display | Self::Visibility | Self::Opacity)
    }
}

/// How many there are.
const PROPERTIES: usize = 12;

/// What is said of one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// It hides. A position that is hidden is out of its place.
    Hides,
    /// It does not, or goes on as around.
    Shows,
    /// A colour.
    Paint([u8; 3]),
    /// It may show, or is of a colour that is not known. So is a position that is only shifted.
    Doubtful,
}

/// What counts for an element, of each property.
pub(super) struct Said([Option<Value>; PROPERTIES]);

impl Said {
    pub(super) fn of(&self, property: Property) -> Option<Value> {
        self.0[property as usize]
    }
}

/// The names of an element that selectors look for.
#[derive(Default)]
pub(super) struct Names {
    pub(super) tag: String,
    id: String,
    classes: Vec<String>,
}

impl Names {
    pub(super) fn of(node: &NodeRef<'_>) -> Self {
        /// Classes of an element that are looked at, at most.
        const MOST: usize = 64;
        let classes = node.attr_or("class", "");
        let classes = classes.split_whitespace().take(MOST);
        Self {
            tag: node.node_name().unwrap_or_default().to_ascii_lowercase(),
            id: node.attr_or("id", "").to_string(),
            classes: classes.map(str::to_owned).collect(),
        }
    }
}

/// One part of a selector: `p.note#a`.
#[derive(Default)]
struct Compound {
    tag: Option<String>,
    id: Option<String>,
    classes: Vec<String>,
}

impl Compound {
    fn is_of(&self, names: &Names) -> bool {
        self.tag.as_ref().is_none_or(|tag| *tag == names.tag)
            && self.id.as_ref().is_none_or(|id| *id == names.id)
            && self
                .classes
                .iter()
                .all(|class| names.classes.contains(class))
    }

    /// Might it be of what has these names, once a script has given that more classes? By its tag alone,
    /// nothing is.
    fn may_be_of(&self, names: &Names) -> bool {
        let is_named = self.id.as_ref() == Some(&names.id)
            || self.id.is_none() && self.classes.iter().any(|c| names.classes.contains(c));
        is_named && self.tag.as_ref().is_none_or(|tag| *tag == names.tag)
    }

    /// Is a name that it asks for among these?
    fn is_named_in(&self, names: &HashSet<String>) -> bool {
        let mut own = self.id.iter().chain(&self.classes);
        own.any(|name| names.contains(name))
    }

    /// The names under which what has it, or may have it, is found.
    fn keys(&self) -> Vec<String> {
        match (&self.id, &self.classes[..], &self.tag) {
            (Some(id), ..) => vec![format!("#{id}")],
            (None, [], Some(tag)) => vec![tag.clone()],
            (None, [], None) => vec!["*".to_owned()],
            (None, classes, _) => classes.iter().map(|class| format!(".{class}")).collect(),
        }
    }

    /// Comparisons that it takes.
    fn cost(&self) -> usize {
        1 + self.classes.len()
    }
}

/// A part of a selector, and whether it is right in the one before.
struct Step {
    compound: Compound,
    is_child: bool,
}

#[derive(Clone, Copy)]
struct Declaration {
    property: Property,
    value: Value,
    is_important: bool,
}

struct Rule {
    /// From the outermost to the element that it is about; never none.
    steps: Vec<Step>,
    /// Does nothing but the names decide whether it counts?
    is_sure: bool,
    /// What counts of two (17 of Selectors Level 4).
    specificity: u32,
    said: Rc<[Declaration]>,
}

/// Which of two counts: what is important or of the element itself, the specificity, the place.
type Weight = (u8, u32, usize);

/// Bytes of styles of a page that are read, at most.
const MOST_BYTES: usize = 4 << 20;

/// Selectors that are taken in, at most.
const MOST_RULES: usize = 20_000;

/// Comparisons with selectors, at most; what comes after them counts as seen.
const MOST_CHECKS: usize = 5_000_000;

/// Classes of one part of a selector, at most.
const MOST_CLASSES: usize = 8;

/// Bytes of a name in a selector, at most.
const LONGEST_NAME: usize = 200;

/// Blocks within blocks of a style, at most.
const DEEPEST: usize = 4;

/// How far up the elements are looked for that an element is in.
const FURTHEST: usize = 64;

/// What selectors call parts of an element that are no element; of all others, such as what is selected,
/// nothing hides or shows a text.
const PARTS: [&str; 4] = [":before", ":after", ":first-line", ":first-letter"];

/// Parts of a selector, at most.
const MOST_STEPS: usize = 8;

/// The styles that lie in a page.
#[derive(Default)]
pub(super) struct Sheet {
    rules: Vec<Rule>,
    /// The numbers of rules by the name of what they are about.
    by_key: HashMap<String, Vec<usize>>,
    /// What scripts of the page name: they may show it.
    scripted: HashSet<String>,
    checks: usize,
}

impl Sheet {
    pub(super) fn of(page: &Document) -> Self {
        let mut sheet = Self::default();
        let mut left = MOST_BYTES;
        let styles = page.select("style");
        if !styles.nodes().is_empty() {
            sheet.scripted = named_by_scripts(page);
        }
        for style in styles.nodes() {
            let is_idle = style
                .parent()
                .is_some_and(|around| around.has_name("noscript") || around.has_name("template"));
            let holds = holds_on_screens(&style.attr_or("media", ""));
            if is_idle || holds == Some(false) {
                continue;
            }
            let css = style.text();
            let Some(rest) = left.checked_sub(css.len()) else {
                sheet.checks = MOST_CHECKS;
                break;
            };
            left = rest;
            sheet.read(&without_comments(&css), holds.is_some());
        }
        sheet
    }

    /// Takes in styles that hold for sure, or only where something is so.
    fn read(&mut self, css: &str, is_sure: bool) {
        let mut rest = css;
        while let Some(at) = rest.find(['{', '}', ';']) {
            let head = rest[..at].trim();
            let tail = &rest[at + 1..];
            // A statement, or the end of what was gone into.
            if !rest[at..].starts_with('{') {
                rest = tail;
                continue;
            }
            let holds = head.starts_with('@').then(|| holds_inside(head));
            // In what is not sure, nothing is.
            if holds == Some(Some(true)) || holds == Some(None) && !is_sure {
                rest = tail;
                continue;
            }
            let end = end_of_block(tail);
            match holds {
                None => self.add(head, &tail[..end], is_sure, DEEPEST),
                Some(None) => self.read(&tail[..end], false),
                Some(Some(_)) => {}
            }
            rest = tail.get(end + 1..).unwrap_or("");
        }
    }

    /// Takes in a block, and the blocks in it. What those hide is left as it is: it may be but a part of
    /// what the block is about.
    fn add(&mut self, selectors: &str, body: &str, is_sure: bool, deepest: usize) {
        let (said, inner) = parts_of(body);
        self.add_rules(selectors, &declarations(said), is_sure);
        if deepest == 0 {
            return;
        }
        for (head, body) in inner {
            if head.starts_with('@') {
                match holds_inside(head) {
                    Some(false) => {}
                    holds => self.add(selectors, body, is_sure && holds.is_some(), deepest - 1),
                }
            } else {
                let about = if head.contains('&') { selectors } else { head };
                self.add(about, body, false, deepest - 1);
            }
        }
    }

    fn add_rules(&mut self, selectors: &str, said: &[Declaration], is_sure: bool) {
        if said.is_empty() {
            return;
        }
        let said: Rc<[Declaration]> = said.into();
        for selector in selectors.split(',') {
            if self.rules.len() >= MOST_RULES {
                self.checks = MOST_CHECKS;
                return;
            }
            let Some((steps, is_known)) = understood(selector) else {
                continue;
            };
            let Some(about) = steps.last() else {
                continue;
            };
            // What stands before or behind a text hides none, but may be what it is seen on.
            let is_part = PARTS.iter().any(|part| selector.contains(part));
            if selector.trim().is_empty() || selector.contains("::") && !is_part {
                continue;
            }
            let said = if is_part {
                behind(&said)
            } else {
                Rc::clone(&said)
            };
            for key in about.compound.keys() {
                self.by_key.entry(key).or_default().push(self.rules.len());
            }
            let is_scripted = about.compound.is_named_in(&self.scripted);
            self.rules.push(Rule {
                specificity: specificity(&steps),
                steps,
                is_sure: is_sure && is_known && !is_scripted,
                said,
            });
        }
    }

    /// What counts for an element that stands in what `path` ends with.
    pub(super) fn said(&mut self, node: &NodeRef<'_>, names: &Names, path: &[Around]) -> Said {
        let mut best: [Option<(Weight, Value)>; PROPERTIES] = [None; PROPERTIES];
        let mut doubtful = [false; PROPERTIES];
        let mut take = |property: Property, weight: Weight, value: Value| {
            let known = &mut best[property as usize];
            if known.is_none_or(|(least, _)| weight >= least) {
                *known = Some((weight, value));
            }
        };
        for (property, value) in attributes(node, &names.tag) {
            take(property, (0, 0, 0), value);
        }
        if !self.rules.is_empty() {
            let classes = names.classes.iter().map(|class| format!(".{class}"));
            let others = [names.tag.clone(), format!("#{}", names.id), "*".to_owned()];
            let keys = classes.chain(others);
            let numbers = keys.filter_map(|key| self.by_key.get(&key)).flatten();
            for number in numbers {
                if self.checks >= MOST_CHECKS {
                    break;
                }
                let rule = &self.rules[*number];
                let fits = rule.fits(names, path, &mut self.checks);
                if !fits && !rule.may_fit(names) {
                    continue;
                }
                for one in &*rule.said {
                    if fits && rule.is_sure {
                        let weight = (u8::from(one.is_important) * 2, rule.specificity, number + 1);
                        take(one.property, weight, one.value);
                    } else if one.value != Value::Hides && (fits || one.property.is_switched()) {
                        doubtful[one.property as usize] = true;
                    }
                }
            }
        }
        if let Some(style) = node.attr("style") {
            for one in declarations(parts_of(&style).0) {
                let weight = (u8::from(one.is_important) * 2 + 1, 0, 0);
                take(one.property, weight, one.value);
            }
        }
        // A rule that was not looked at may show it, or be what it is seen on.
        if self.checks >= MOST_CHECKS {
            return Said([Some(Value::Doubtful); PROPERTIES]);
        }
        let mut said = best.map(|one| one.map(|(_, value)| value));
        for (one, doubtful) in said.iter_mut().zip(doubtful) {
            if doubtful {
                *one = Some(Value::Doubtful);
            }
        }
        Said(said)
    }
}

impl Rule {
    fn fits(&self, names: &Names, path: &[Around], checks: &mut usize) -> bool {
        let Some((about, outer)) = self.steps.split_last() else {
            return false;
        };
        *checks += about.compound.cost();
        if !about.compound.is_of(names) {
            return false;
        }
        let mut around = path.iter().rev().take(FURTHEST);
        let mut is_child = about.is_child;
        for step in outer.iter().rev() {
            loop {
                let Some(above) = around.next() else {
                    return false;
                };
                *checks += step.compound.cost();
                if step.compound.is_of(&above.names) {
                    break;
                }
                if is_child {
                    return false;
                }
            }
            is_child = step.is_child;
        }
        true
    }

    /// May a script make it fit, that gives what it is about or what that stands in another class? So
    /// answers are folded out, tabs turned, and parts of a page faded in.
    fn may_fit(&self, names: &Names) -> bool {
        let about = self.steps.last();
        about.is_some_and(|about| about.compound.may_be_of(names))
    }
}

/// The words of the scripts that lie in a page.
fn named_by_scripts(page: &Document) -> HashSet<String> {
    let mut words = HashSet::new();
    let mut left = MOST_BYTES;
    for script in page.select("script").nodes() {
        // Data names nothing that is done.
        if script.attr_or("type", "").contains("json") {
            continue;
        }
        let text = script.text();
        let Some(rest) = left.checked_sub(text.len()) else {
            break;
        };
        left = rest;
        let parts = text.split(|c: char| !(c.is_alphanumeric() || "-_".contains(c)));
        words.extend(parts.map(str::to_owned));
    }
    words
}

/// Styles without their comments, and without the marks of comments that hid them from old browsers.
fn without_comments(css: &str) -> String {
    let mut bare = String::with_capacity(css.len());
    let mut rest = css;
    while let Some((before, comment)) = rest.split_once("/*") {
        bare.push_str(before);
        bare.push(' ');
        rest = comment.split_once("*/").map_or("", |(_, behind)| behind);
    }
    bare.push_str(rest);
    bare.replace("<!--", " ").replace("-->", " ")
}

/// Do the rules in what begins so count on a screen? `None` where that depends on the screen, or on more.
fn holds_inside(head: &str) -> Option<bool> {
    let head = head.to_ascii_lowercase();
    if let Some(query) = head.strip_prefix("@media") {
        return holds_on_screens(query);
    }
    if ["@supports", "@layer"]
        .iter()
        .any(|at| head.starts_with(at))
    {
        return Some(true);
    }
    let depends = ["@container", "@scope"];
    (!depends.iter().any(|at| head.starts_with(at))).then_some(false)
}

/// Does a query of media hold for a usual screen? `None` where it holds for some.
fn holds_on_screens(query: &str) -> Option<bool> {
    const OTHERS: [&str; 3] = ["print", "speech", "aural"];
    let query = query.trim().to_ascii_lowercase();
    let bare = |part: &str| {
        let part = part.trim();
        part.strip_prefix("only ").unwrap_or(part).trim().to_owned()
    };
    let holds = |part: &str| {
        let part = bare(part);
        matches!(part.as_str(), "all" | "screen") || is_usual_width(&part)
    };
    if query.is_empty() || query.split(',').any(|one| one.split(" and ").all(holds)) {
        return Some(true);
    }
    // Whoever likes it dark sees the same text.
    let is_other = |one: &str| {
        let one = bare(one);
        let medium = one.split_whitespace().next().unwrap_or("");
        OTHERS.contains(&medium) || one.contains("prefers-color-scheme")
    };
    query.split(',').all(is_other).then_some(false)
}

/// `(min-width: 600px)` or `(width >= 600px)`, of which a usual screen has more.
fn is_usual_width(part: &str) -> bool {
    /// Pixels.
    const USUAL: f32 = 1200.0;
    let inner = part.strip_prefix('(').and_then(|p| p.strip_suffix(')'));
    let said = inner.and_then(|inner| inner.split_once(':').or(inner.split_once(">=")));
    let Some((name, value)) = said else {
        return false;
    };
    matches!(name.trim(), "min-width" | "width")
        && (name.trim() == "min-width" || part.contains(">="))
        && length(value.trim()).is_some_and(|(number, unit)| match unit {
            "px" | "" => number <= USUAL,
            "em" | "rem" => number * 16.0 <= USUAL,
            _ => false,
        })
}

/// Where the block ends that `text` begins in, in bytes; what is quoted ends none.
fn end_of_block(text: &str) -> usize {
    let (mut depth, mut from) = (0_usize, 0);
    while let Some(at) = unquoted(&text[from..], b"{}") {
        let at = from + at;
        match (text.as_bytes()[at], depth) {
            (b'{', _) => depth += 1,
            (_, 0) => return at,
            _ => depth -= 1,
        }
        from = at + 1;
    }
    text.len()
}

/// Where the first of these signs stands that is not quoted, in bytes.
fn unquoted(text: &str, signs: &[u8]) -> Option<usize> {
    let (mut quote, mut is_escaped) = (None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            _ if is_escaped => is_escaped = false,
            (_, b'\\') => is_escaped = true,
            (Some(open), byte) if byte == open || byte == b'\n' => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, byte) if signs.contains(&byte) => return Some(at),
            _ => {}
        }
    }
    None
}

/// What a block says itself, and the blocks in it with what begins them.
fn parts_of(body: &str) -> (Vec<&str>, Vec<(&str, &str)>) {
    let (mut said, mut inner) = (Vec::new(), Vec::new());
    let mut rest = body;
    while let Some(at) = unquoted(rest, b"{;") {
        let (part, tail) = (&rest[..at], &rest[at + 1..]);
        if rest[at..].starts_with(';') {
            said.push(part);
            rest = tail;
        } else {
            let end = end_of_block(tail);
            inner.push((part.trim(), &tail[..end]));
            rest = tail.get(end + 1..).unwrap_or("");
        }
    }
    said.push(rest);
    (said, inner)
}

/// What is said of what lies behind a text.
fn behind(said: &[Declaration]) -> Rc<[Declaration]> {
    let is_behind =
        |one: &&Declaration| matches!(one.property, Property::Ground | Property::Picture);
    said.iter().filter(is_behind).copied().collect()
}

/// The parts of a selector, and whether they are all of it: of one that asks for more, the part that names
/// the element. `None` for what is not known.
fn understood(selector: &str) -> Option<(Vec<Step>, bool)> {
    let selector = selector.replace(":root", "html");
    if let Some(steps) = steps(&selector) {
        return Some((steps, true));
    }
    let parts = |c: char| c.is_whitespace() || ">+~".contains(c);
    let about = selector.trim().rsplit(parts).next().unwrap_or("");
    let end = about.find([':', '[', '(']).unwrap_or(about.len());
    let compound = compound(&about[..end])?;
    let is_child = false;
    Some((vec![Step { compound, is_child }], false))
}

/// The parts of a selector that looks for names alone.
fn steps(selector: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut is_child = false;
    for word in selector.replace('>', " > ").split_whitespace() {
        if word == ">" {
            is_child = true;
            continue;
        }
        let compound = compound(word)?;
        steps.push(Step { compound, is_child });
        is_child = false;
    }
    (!steps.is_empty() && steps.len() <= MOST_STEPS && !is_child).then_some(steps)
}

/// `p.note#a`; `None` for what is no such.
fn compound(word: &str) -> Option<Compound> {
    let mut compound = Compound::default();
    let mut signs = word.strip_prefix('*').unwrap_or(word).chars().peekable();
    let mut mark = None;
    loop {
        let mut name = String::new();
        while let Some(sign) = signs.next_if(|sign| !matches!(*sign, '.' | '#')) {
            match sign {
                // One that is a number would have to be looked up.
                '\\' => name.push(signs.next().filter(|sign| !sign.is_ascii_hexdigit())?),
                sign if sign.is_alphanumeric() || "-_".contains(sign) => name.push(sign),
                _ => return None,
            }
        }
        if name.len() > LONGEST_NAME || compound.classes.len() >= MOST_CLASSES {
            return None;
        }
        match mark {
            None if name.is_empty() => {}
            None => compound.tag = Some(name.to_ascii_lowercase()),
            Some(_) if name.is_empty() => return None,
            Some('#') => compound.id = Some(name),
            Some(_) => compound.classes.push(name),
        }
        mark = signs.next();
        if mark.is_none() {
            return Some(compound);
        }
    }
}

fn specificity(steps: &[Step]) -> u32 {
    let of = |step: &Step| {
        let classes = u32::try_from(step.compound.classes.len()).unwrap_or(u32::MAX);
        let id = u32::from(step.compound.id.is_some());
        let tag = u32::from(step.compound.tag.is_some());
        id * 1_000_000 + classes.min(100) * 1000 + tag
    };
    steps.iter().map(of).sum()
}

/// What is said by attributes that are older than styles.
fn attributes(node: &NodeRef<'_>, tag: &str) -> Vec<(Property, Value)> {
    let mut said = Vec::new();
    let paint = |name: &str| {
        let colour = node.attr(name)?.trim().to_ascii_lowercase();
        Some(colour_of(&colour).unwrap_or(Value::Doubtful))
    };
    said.extend(paint("bgcolor").map(|value| (Property::Ground, value)));
    if node.has_attr("background") {
        said.push((Property::Picture, Value::Doubtful));
    }
    let ink = match tag {
        "font" => paint("color"),
        "body" => paint("text"),
        _ => None,
    };
    said.extend(ink.map(|value| (Property::Ink, value)));
    said
}

/// What the parts of a block, or of the style of an element, say of what may hide a text.
fn declarations(parts: Vec<&str>) -> Vec<Declaration> {
    let mut found: Vec<Declaration> = Vec::new();
    let mut shows_through = false;
    for part in parts {
        let Some((name, value)) = part.split_once(':') else {
            continue;
        };
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim().to_ascii_lowercase();
        let (value, is_important) = match value.split_once('!') {
            Some((value, mark)) => (value.trim(), mark.trim() == "important"),
            None => (value.as_str(), false),
        };
        shows_through |= name.ends_with("background-clip");
        if let Some((property, value)) = declaration(&name, value) {
            found.push(Declaration {
                property,
                value,
                is_important,
            });
        }
    }
    // Letters that are cut out of what is behind them.
    for one in &mut found {
        if shows_through && one.property == Property::Ink {
            one.value = Value::Doubtful;
        }
    }
    found
}

fn declaration(name: &str, value: &str) -> Option<(Property, Value)> {
    let hides = |hides: bool| if hides { Value::Hides } else { Value::Shows };
    let said = match name {
        // What lies in a grid may lie on one another.
        "display" if value.contains("grid") => (Property::Display, Value::Doubtful),
        "display" => (Property::Display, hides(value == "none")),
        "visibility" => {
            let is_hidden = matches!(value, "hidden" | "collapse");
            (Property::Visibility, hides(is_hidden))
        }
        "opacity" => {
            let faint = length(value).is_some_and(|(number, _)| number < 0.02);
            (Property::Opacity, hides(faint))
        }
        "animation"
        | "animation-name"
        | "-webkit-animation"
        | "transition"
        | "transition-property"
        | "-webkit-transition"
        | "transform"
        | "-webkit-transform"
        | "will-change"
            if value != "none" =>
        {
            (Property::Animation, Value::Shows)
        }
        "position" => {
            let position = match value {
                "absolute" | "fixed" => Value::Hides,
                "relative" | "sticky" => Value::Doubtful,
                _ => Value::Shows,
            };
            (Property::Position, position)
        }
        "left" | "top" | "right" | "bottom" if is_far(value) => (Property::Place, Value::Hides),
        "text-indent" => (Property::Indent, hides(is_far(value))),
        "clip" | "clip-path" => {
            let value = value.replace(", ", ",").replace(' ', ",");
            let nothing = ["rect(0", "rect(1px,1px,1px,1px", "inset(50%", "inset(100%"];
            let is_cut = nothing.iter().any(|start| value.starts_with(start));
            (Property::Clip, hides(is_cut && !has_width(&value)))
        }
        "font-size" => (Property::Size, size(value)),
        "font" => (Property::Size, size_in_font(value)),
        "color" => (Property::Ink, colour_of(value).unwrap_or(Value::Doubtful)),
        "background-color" => {
            let ground = colour_of(value).unwrap_or(Value::Doubtful);
            (Property::Ground, shown_ground(ground))
        }
        "background" => (Property::Ground, ground(value)),
        "background-image" if value != "none" => (Property::Picture, Value::Doubtful),
        _ => return None,
    };
    Some(said)
}

/// Does a rectangle that something is cut to, `rect(0,20px,20px,0)`, have room?
fn has_width(rect: &str) -> bool {
    let inner = rect.strip_prefix("rect(").unwrap_or("");
    inner
        .split([',', ')'])
        .any(|side| side == "auto" || length(side).is_some_and(|(number, _)| number > 1.0))
}

/// A number and its unit.
fn length(value: &str) -> Option<(f32, &str)> {
    let is_of_number = |c: char| c.is_ascii_digit() || "+-.".contains(c);
    let end = value.find(|c: char| !is_of_number(c));
    let (number, unit) = value.split_at(end.unwrap_or(value.len()));
    Some((number.parse().ok()?, unit.trim()))
}

/// Is it so far before the left or the upper edge that nothing of it is left?
fn is_far(value: &str) -> bool {
    length(value).is_some_and(|(number, unit)| match unit {
        "em" | "rem" => number <= -60.0,
        "%" | "vw" | "vh" => number <= -100.0,
        _ => number <= -999.0,
    })
}

/// A size of letters; what depends on that around it is doubtful.
fn size(value: &str) -> Value {
    const KEYWORDS: [&str; 7] = [
        "xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large",
    ];
    let Some((number, unit)) = length(value) else {
        // What is to be looked up or worked out is hardly nothing.
        let is_known = KEYWORDS.contains(&value) || value.contains('(');
        return if is_known {
            Value::Shows
        } else {
            Value::Doubtful
        };
    };
    let least = if matches!(unit, "px" | "pt" | "") {
        1.0
    } else {
        0.0
    };
    if number <= least {
        Value::Hides
    } else if matches!(unit, "em" | "%" | "ex" | "ch") {
        Value::Doubtful
    } else {
        Value::Shows
    }
}

/// The size in `italic 0/1.5 serif`.
fn size_in_font(value: &str) -> Value {
    let mut words = value.split_whitespace();
    let sized = words.find_map(|word| {
        let (word, _) = word.split_once('/').unwrap_or((word, ""));
        let (_, unit) = length(word)?;
        // 700 is how bold it is.
        (!unit.is_empty() || word == "0").then(|| size(word))
    });
    sized.unwrap_or(Value::Doubtful)
}

/// What is not there shows what is behind it.
fn shown_ground(ground: Value) -> Value {
    if ground == Value::Hides {
        Value::Shows
    } else {
        ground
    }
}

/// The colour in `#fff no-repeat`; with a picture, or something to be looked up, it is doubtful.
fn ground(value: &str) -> Value {
    if ["url(", "gradient", "var(", "image"]
        .iter()
        .any(|with| value.contains(with))
    {
        return Value::Doubtful;
    }
    if let Some(ground) = colour_of(value) {
        return shown_ground(ground);
    }
    let is_word_of_place = |word: &str| {
        let places = [
            "none",
            "no-repeat",
            "repeat",
            "scroll",
            "fixed",
            "top",
            "left",
            "right",
            "bottom",
            "center",
        ];
        places.contains(&word) || length(word).is_some()
    };
    let mut others = value
        .split_whitespace()
        .filter(|word| !is_word_of_place(word));
    match (others.next(), others.next()) {
        (None, _) => Value::Shows,
        (Some(colour), None) => shown_ground(colour_of(colour).unwrap_or(Value::Doubtful)),
        (Some(_), Some(_)) => Value::Doubtful,
    }
}

/// A colour; one through which all is seen hides. `None` for what is not known, such as a colour through
/// which something is seen.
fn colour_of(value: &str) -> Option<Value> {
    const NAMED: [(&str, [u8; 3]); 8] = [
        ("white", [255, 255, 255]),
        ("snow", [255, 250, 250]),
        ("ghostwhite", [248, 248, 255]),
        ("ivory", [255, 255, 240]),
        ("floralwhite", [255, 250, 240]),
        ("mintcream", [245, 255, 250]),
        ("whitesmoke", [245, 245, 245]),
        ("black", [0, 0, 0]),
    ];
    if value == "transparent" {
        return Some(Value::Hides);
    }
    if matches!(
        value,
        "inherit" | "currentcolor" | "unset" | "initial" | "revert"
    ) {
        return Some(Value::Shows);
    }
    if let Some((_, colour)) = NAMED.iter().find(|(name, _)| *name == value) {
        return Some(Value::Paint(*colour));
    }
    if let Some(digits) = value.strip_prefix('#') {
        return of_digits(digits);
    }
    let inner = value.strip_prefix("rgb(").or(value.strip_prefix("rgba("))?;
    let inner = inner.strip_suffix(')')?;
    let parts: Vec<&str> = inner
        .split([',', ' ', '/'])
        .filter(|part| !part.is_empty())
        .collect();
    let shade = |at: usize| parts.get(at)?.parse::<u8>().ok();
    let colour = [shade(0)?, shade(1)?, shade(2)?];
    match parts.get(3).map(|alpha| length(alpha)) {
        None => Some(Value::Paint(colour)),
        Some(Some((alpha, ""))) if alpha < 0.02 => Some(Value::Hides),
        Some(Some((alpha, ""))) if alpha >= 1.0 => Some(Value::Paint(colour)),
        Some(_) => None,
    }
}

/// `fff`, `ffffff`, and with how much is seen of it: `ffff`, `ffffffff`.
fn of_digits(digits: &str) -> Option<Value> {
    let digits: Vec<u8> = digits
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<_>>()?;
    let all: Vec<u8> = match digits.len() {
        3 | 4 => digits.iter().map(|digit| digit * 17).collect(),
        6 | 8 => digits.chunks(2).map(|two| two[0] * 16 + two[1]).collect(),
        _ => return None,
    };
    match all[..] {
        [r, g, b] | [r, g, b, 255] => Some(Value::Paint([r, g, b])),
        [_, _, _, 0] => Some(Value::Hides),
        _ => None,
    }
}
