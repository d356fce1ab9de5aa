//! XML as a stream of what extractors care for: elements by local name, and text.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::Skip;

/// What is met in an XML file.
pub(super) enum Node<'a> {
    /// An element begins; an empty one also ends.
    Open(&'a str, Attributes<'a>),
    /// An element ends.
    Close(&'a str),
    /// Text, with references resolved.
    Text(&'a str),
}

/// The attributes of an element.
pub(super) struct Attributes<'a>(&'a BytesStart<'a>);

impl Attributes<'_> {
    /// The prefix of the element's name, as it is written.
    pub(super) fn prefix(&self) -> Option<String> {
        let name = self.0.name();
        name.prefix().map(|prefix| prefix.as_ref().to_owned())
    }

    /// The value of the first attribute with this local name.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// The values of all attributes with this local name, whatever their namespace.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let mut attributes = self.0.attributes();
        attributes
            .with_checks(false)
            .flatten()
            .filter(|a| a.key.local_name().as_ref() == name)
            .filter_map(|a| {
                let value = quick_xml::escape::unescape(&a.value).ok()?;
                Some(value.into_owned())
            })
            .collect()
    }
}

/// Elements that are deeper are an attack, not a document.
const DEEPEST: usize = 10_000;

/// Calls `visit` for all that is in `xml`. What is well-formed up to an error is seen; returns that error.
///
/// # Errors
/// [`Skip`] when nothing could be read, or when elements are nested too deep.
pub(super) fn walk(xml: &str, mut visit: impl FnMut(Node<'_>)) -> Result<Option<String>, Skip> {
    let mut reader = Reader::from_str(xml);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    let mut depth = 0_usize;
    let mut seen = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                seen = true;
                depth += 1;
                if depth > DEEPEST {
                    return Err(Skip("broken: its elements are nested too deep".into()));
                }
                visit(Node::Open(
                    element.local_name().as_ref(),
                    Attributes(&element),
                ));
            }
            Ok(Event::Empty(element)) => {
                seen = true;
                let name = element.local_name();
                visit(Node::Open(name.as_ref(), Attributes(&element)));
                visit(Node::Close(name.as_ref()));
            }
            Ok(Event::End(element)) => {
                depth = depth.saturating_sub(1);
                visit(Node::Close(element.local_name().as_ref()));
            }
            Ok(Event::Text(text)) => visit(Node::Text(&text.xml10_content())),
            Ok(Event::CData(text)) => visit(Node::Text(&text.xml10_content())),
            Ok(Event::GeneralRef(reference)) => {
                let char = reference.resolve_char_ref().ok().flatten();
                let named = quick_xml::escape::resolve_predefined_entity(&reference);
                match (char, named) {
                    (Some(char), _) => visit(Node::Text(char.encode_utf8(&mut [0; 4]))),
                    (None, Some(named)) => visit(Node::Text(named)),
                    (None, None) => {}
                }
            }
            Ok(Event::Eof) => return Ok(None),
            Err(error) if seen => return Ok(Some(error.to_string())),
            Err(error) => return Err(Skip(format!("broken: its XML cannot be read ({error})"))),
            Ok(_) => {}
        }
    }
}
