//! Images in what notes say, told to programs that would fetch them.
//!
//! Who renders Markdown or HTML fetches an image when it is shown, and so tells whoever wrote the note
//! that it was asked about. An image is told as its alternative text, or its address as code. What is
//! not that simple is parted (`! [`, `< img`): no renderer takes it for an image then. Where code
//! begins and ends is no two renderers' common view, so that code is treated alike.

/// Elements of HTML that fetch something by themselves.
const FETCHING: [&str; 21] = [
    "audio", "base", "bgsound", "body", "embed", "frame", "iframe", "image", "img", "input",
    "link", "object", "picture", "portal", "script", "source", "style", "svg", "table", "track",
    "video",
];

/// Those that need no attribute for that.
const BY_CONTENT: [&str; 3] = ["script", "style", "svg"];

/// Letters of the longest of them.
const LONGEST: usize = 7;

/// Bytes up to which the end of an image is waited for.
const MOST_HELD: usize = 2000;

/// What ends the simple part of an image.
const ODD_IN_TEXT: [char; 7] = ['[', ']', '<', '`', '\\', '\n', '!'];
const ODD_IN_ADDRESS: [char; 9] = ['(', ')', '<', '>', '[', ']', '`', '\\', '\n'];

/// A text of which no image is fetched by who shows it.
pub fn without_images(text: &str) -> String {
    let mut telling = WithoutImages::default();
    let mut told = telling.take(text);
    told.push_str(&telling.end());
    told
}

/// The same of a text that comes piece by piece.
#[derive(Clone, Debug, Default)]
pub struct WithoutImages {
    held: String,
    /// The last character that was told.
    last: Option<char>,
}

impl WithoutImages {
    /// Takes a piece; gives what can be told by now.
    pub fn take(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        self.tell(false)
    }

    /// What was held back.
    pub fn end(&mut self) -> String {
        self.tell(true)
    }

    fn tell(&mut self, is_end: bool) -> String {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_str();
        let mut told = String::with_capacity(rest.len());
        while let Some(at) = rest.find(['!', '<']) {
            told.push_str(&rest[..at]);
            rest = &rest[at..];
            // Behind `<`, the text of an image could become the name of an element.
            let last = told.chars().next_back().or(self.last);
            let Some((said, length)) = told_as(rest, last == Some('<'), is_end) else {
                rest.clone_into(&mut self.held);
                rest = "";
                break;
            };
            told.push_str(&said);
            rest = &rest[length..];
        }
        told.push_str(rest);
        self.last = told.chars().next_back().or(self.last);
        told
    }
}

/// What the head of a text, `!` or `<`, is told as, and how long that is in the text; `None` where that
/// depends on what follows.
fn told_as(text: &str, parted: bool, is_end: bool) -> Option<(String, usize)> {
    let waits = !is_end && text.len() < MOST_HELD;
    if let Some(behind) = text.strip_prefix('<') {
        let name = behind.bytes().take(LONGEST + 1);
        let name = name.take_while(u8::is_ascii_alphabetic).count();
        if waits && name <= LONGEST && name + 1 == text.len() {
            return None;
        }
        let element = behind[..name].to_ascii_lowercase();
        // `<source>` in a command has no address.
        let names = behind[name..].starts_with('>') && !BY_CONTENT.contains(&&*element);
        let fetches = FETCHING.contains(&&*element) && !names;
        return Some((if fetches { "< " } else { "<" }.into(), 1));
    }
    if waits && text.len() == 1 {
        return None;
    }
    if !text[1..].starts_with('[') {
        return Some(("!".into(), 1));
    }
    match image_of(text) {
        Image::Begun if waits => None,
        Image::Simple { said, length } if !parted => Some((said, length)),
        _ => Some(("! [".into(), 2)),
    }
}

/// What begins with `![`.
enum Image {
    /// Its end is not there yet.
    Begun,
    /// `![text](address "title")`, and nothing that could be read in two ways.
    Simple {
        said: String,
        length: usize,
    },
    Odd,
}

fn image_of(text: &str) -> Image {
    let Some(end) = text[2..].find(ODD_IN_TEXT) else {
        return Image::Begun;
    };
    let (said, behind) = text[2..].split_at(end);
    if behind == "]" {
        return Image::Begun;
    }
    let Some(inner) = behind.strip_prefix("](") else {
        return Image::Odd;
    };
    let Some(end) = inner.find(ODD_IN_ADDRESS) else {
        return Image::Begun;
    };
    let address = inner[..end].split_whitespace().next();
    let Some(address) = address.filter(|_| inner[end..].starts_with(')')) else {
        return Image::Odd;
    };
    let length = text.len() - inner.len() + end + 1;
    // Marks of an entity may spell the others.
    let elsewhere = address.contains([':', '&']) || address.starts_with("//");
    let said = match said.trim() {
        _ if !elsewhere => text[..length].to_owned(),
        "" => format!("`{address}`"),
        said => said.to_owned(),
    };
    Image::Simple { said, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(without_images(text), expected, "{text}");
        // However it is cut.
        for (at, _) in text.char_indices() {
            let mut telling = WithoutImages::default();
            let told = telling.take(&text[..at]) + &telling.take(&text[at..]) + &telling.end();
            assert_eq!(told, expected, "{text} cut at {at}");
        }
    }

    #[test]
    fn images_from_elsewhere_are_told_in_words() {
        check(
            "The gate ![x](https://evil.example/p.png?gate) opens at 7.",
            "The gate x opens at 7.",
        );
        check(
            "![](https://evil.example/p.png)",
            "`https://evil.example/p.png`",
        );
        check("![a b](//evil.example/p \"t\")!", "a b!");
        check(
            "[![x](https://e.example)](https://f.example)",
            "[x](https://f.example)",
        );
        check("![x](&#104;ttps://evil.example)", "x");
        check(
            "![boat](img/boat.png) and ![[boat.png]]",
            "![boat](img/boat.png) and ! [[boat.png]]",
        );
    }

    #[test]
    fn what_could_be_an_image_is_parted() {
        check(
            "![a [b] c](https://e.example)",
            "! [a [b] c](https://e.example)",
        );
        check(
            "![a `]` ](https://e.example)",
            "! [a `]` ](https://e.example)",
        );
        check(
            "![x][r]\n\n[r]: https://e.example",
            "! [x][r]\n\n[r]: https://e.example",
        );
        check(
            "![x](<https://e.example/a b>)",
            "! [x](<https://e.example/a b>)",
        );
        check("` ![x](https://e.example)", "` x");
        check("\\\\![x](https://e.example)", "\\\\x");
        check("!![x](https://e.example)", "!x");
        check("a <img src=//e.example> b", "a < img src=//e.example> b");
        check(
            "<IMG/src=x> <ImG\nsrc=x> <svg>",
            "< IMG/src=x> < ImG\nsrc=x> < svg>",
        );
        check(
            "<![img src=//e.example](https://e.example)>",
            "<! [img src=//e.example](https://e.example)>",
        );
        check("a ![x", "a ! [x");
        check("a <img", "a < img");
    }

    #[test]
    fn whatever_else_stays_as_it_is() {
        for text in [
            "Is 1 < 2! Yes [1] <b>bold</b> <https://example.org> Vec<u8> a<",
            "wow! !important != !(a) <sources> <imgs x> cp <source> <-",
            "[link](https://example.org)",
        ] {
            check(text, text);
        }
        let long = format!("![{}", "a".repeat(3 * MOST_HELD));
        let mut telling = WithoutImages::default();
        assert!(!telling.take(&long).is_empty(), "it does not wait for ever");
    }
}
