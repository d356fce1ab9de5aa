//! Sources and documents: what the owner added and what was found in it.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The ledger's number of a source.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct SourceId(pub i64);

/// A source as somebody names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum SourceName {
    /// Its number.
    Number(SourceId),
    /// Its number or its whole path, as a text.
    Text(String),
}

/// The ledger's number of a document; it survives edits and renames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentId(pub i64);

/// One way in which a document's entries were written to the lexical index.
///
/// Each ingestion writes its terms under a new edition and the ledger names the visible one, so
/// that a crash leaves either the old entries visible or the new ones, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edition(pub i64);

/// Where a passage stands in its file, as it is written behind the path: lines, or a page, or
/// nothing.
pub fn place(lines: Option<(u32, u32)>, page: Option<u32>) -> String {
    match (lines, page) {
        (Some((first, last)), _) => format!(":{first}-{last}"),
        (None, Some(page)) => format!(" page {page}"),
        (None, None) => String::new(),
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of file a document is; decides how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Markdown in any dialect.
    Markdown,
    /// Emacs org-mode.
    Org,
    /// reStructuredText.
    Rst,
    /// `AsciiDoc`.
    Asciidoc,
    /// Plain text in any encoding.
    Text,
    /// Source code.
    Code,
    /// A web page.
    Html,
    /// PDF with a text layer.
    Pdf,
    /// Word (Office Open XML).
    Docx,
    /// `OpenDocument` text.
    Odt,
    /// Rich Text Format.
    Rtf,
    /// An electronic book.
    Epub,
    /// `PowerPoint` (Office Open XML).
    Pptx,
    /// A workbook: xlsx, xlsm, xlsb, xls, ods.
    Workbook,
    /// Comma or tab separated values.
    Csv,
    /// A Jupyter notebook.
    Notebook,
    /// A canvas of Obsidian (JSON Canvas).
    Canvas,
    /// One e-mail message.
    Mail,
    /// A mailbox in the mbox format.
    Mailbox,
    /// An Outlook message.
    OutlookMail,
}

/// Names, kinds and file name extensions, in one place.
const KINDS: &[(Kind, &str, &[&str])] = &[
    (
        Kind::Markdown,
        "markdown",
        &["md", "markdown", "mdown", "mkd", "mdx", "qmd", "rmd"],
    ),
    (Kind::Org, "org", &["org"]),
    (Kind::Rst, "rst", &["rst", "rest"]),
    (Kind::Asciidoc, "asciidoc", &["adoc", "asciidoc", "asc"]),
    (Kind::Text, "text", &["txt", "text", "log", "tex", "nfo"]),
    (
        Kind::Code,
        "code",
        &[
            "rs", "py", "pyi", "js", "mjs", "cjs", "jsx", "ts", "mts", "tsx", "go", "c", "h", "cc",
            "cpp", "cxx", "hh", "hpp", "java", "rb", "sh", "bash", "zsh", "fish", "kt", "swift",
            "cs", "php", "pl", "lua", "r", "jl", "scala", "hs", "ml", "ex", "exs", "erl", "clj",
            "el", "vim", "sql", "zig", "nix",
        ],
    ),
    (
        Kind::Html,
        "html",
        &["html", "htm", "xhtml", "mht", "mhtml"],
    ),
    (Kind::Pdf, "pdf", &["pdf"]),
    (Kind::Docx, "docx", &["docx", "docm", "dotx"]),
    (Kind::Odt, "odt", &["odt", "ott", "fodt"]),
    (Kind::Rtf, "rtf", &["rtf"]),
    (Kind::Epub, "epub", &["epub"]),
    (Kind::Pptx, "pptx", &["pptx", "pptm", "ppsx"]),
    (
        Kind::Workbook,
        "workbook",
        &["xlsx", "xlsm", "xlsb", "xls", "ods"],
    ),
    (Kind::Csv, "csv", &["csv", "tsv"]),
    (Kind::Notebook, "notebook", &["ipynb"]),
    (Kind::Canvas, "canvas", &["canvas"]),
    (Kind::Mail, "mail", &["eml"]),
    (Kind::Mailbox, "mailbox", &["mbox", "mbx"]),
    (Kind::OutlookMail, "outlook-mail", &["msg"]),
];

/// Documents that coho knows but cannot read, with what their owner can do.
const UNREADABLE: &[(&str, &str)] = &[
    ("doc", "the old Word format is not read: save it as docx"),
    (
        "ppt",
        "the old PowerPoint format is not read: save it as pptx",
    ),
    (
        "one",
        "OneNote is not read: export the pages as docx or pdf",
    ),
    ("pages", "Pages is not read: export it as docx or pdf"),
    ("wpd", "WordPerfect is not read: save it as docx or odt"),
    ("odp", "OpenDocument slides are not read: save them as pptx"),
    ("mobi", "Kindle books are not read: convert it to epub"),
    ("azw3", "Kindle books are not read: convert it to epub"),
    (
        "djvu",
        "DjVu is not read: convert it to pdf with a text layer",
    ),
    ("chm", "compiled help is not read: convert it to html"),
];

/// Files without extension that are text by custom.
const TEXT_BY_NAME: &[&str] = &[
    "readme",
    "license",
    "copying",
    "authors",
    "changelog",
    "todo",
    "notes",
    "makefile",
    "dockerfile",
    "justfile",
];

impl Kind {
    /// The kind that a file name promises, or `None` for a format that coho does not read.
    pub fn of_path(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some((_, extension)) = name.rsplit_once('.') else {
            let name = name.to_ascii_lowercase();
            return TEXT_BY_NAME.contains(&name.as_str()).then_some(Self::Text);
        };
        let extension = extension.to_ascii_lowercase();
        let of =
            |(_, _, extensions): &&(Self, &str, &[&str])| extensions.contains(&extension.as_str());
        KINDS.iter().find(of).map(|(kind, ..)| *kind)
    }

    /// Why a document of this name cannot be read, where that is known beforehand.
    pub fn unreadable(path: &str) -> Option<&'static str> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let extension = name.rsplit_once('.')?.1.to_ascii_lowercase();
        let known = UNREADABLE.iter().find(|(known, _)| *known == extension);
        known.map(|(_, reason)| *reason)
    }

    /// The kind of this name, as [`Kind::as_str`] gives it.
    pub fn named(name: &str) -> Option<Self> {
        let known = KINDS.iter().find(|(_, known, _)| *known == name);
        known.map(|(kind, ..)| *kind)
    }

    /// The name that the ledger and the interfaces use.
    pub fn as_str(self) -> &'static str {
        let known = KINDS.iter().find(|(kind, ..)| *kind == self);
        known.expect("every kind is in the table").1
    }

    /// Is it mostly written by others than the owner: mail, web pages, books, PDF? Of one document its
    /// front matter may say so ([`is_by_others`]). What a PDF holds is not even seen by who opens it:
    /// letters of white, of one point, or drawn in no colour at all, as those behind a scan are.
    pub fn is_from_others(self) -> bool {
        use Kind::{Epub, Html, Mail, Mailbox, OutlookMail, Pdf};
        matches!(self, Html | Epub | Pdf | Mail | Mailbox | OutlookMail)
    }

    /// Is the text shown the text of the file, so that its lines are those of an editor?
    pub fn has_lines(self) -> bool {
        matches!(
            self,
            Self::Markdown | Self::Org | Self::Rst | Self::Asciidoc | Self::Text | Self::Code
        )
    }

    /// What the pages of this kind are called; most kinds have none.
    pub fn page_word(self) -> &'static str {
        match self {
            Self::Pptx => "slide",
            Self::Workbook => "sheet",
            Self::Notebook => "cell",
            Self::Canvas => "card",
            Self::Mailbox => "message",
            Self::Epub => "section",
            _ => "page",
        }
    }
}

/// The key of front matter under which a note says which agent wrote it through coho.
pub const REMEMBERED: &str = "remembered-by";

/// The one under which `coho import` says what a note was made of. All of that is taken for the words of
/// others: mail, titles of pages, abstracts, and what was marked in books is; of a repository's history
/// it is not known.
const IMPORTED: &str = "imported-from";

/// Keys under which web clippers and exports of note apps give the page that a note is a copy of.
const CLIPPED: [&str; 6] = [
    "source",
    "url",
    "source_url",
    "source-url",
    // org-roam, now and before.
    "roam_refs",
    "roam_key",
];

/// Does a document's front matter say that others than the owner wrote it?
///
/// It holds as well for what the owner added below, or wrote about a page whose address is given: what
/// is learned of it waits for a second document, no more.
pub fn is_by_others(properties: &serde_json::Value) -> bool {
    let mut said = properties.as_object().into_iter().flatten();
    said.any(|(key, value)| {
        let key = key.to_lowercase();
        key == IMPORTED || key == REMEMBERED || CLIPPED.contains(&&*key) && is_page(value)
    })
}

/// Did an agent write it through coho? It may have written the same anywhere else, too.
pub fn is_remembered(properties: &serde_json::Value) -> bool {
    properties.get(REMEMBERED).is_some()
}

/// Is it the address of a web page, or a list of some?
fn is_page(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => {
            let text = text.trim_start().to_ascii_lowercase();
            text.starts_with("http://") || text.starts_with("https://")
        }
        serde_json::Value::Array(items) => items.iter().any(is_page),
        _ => false,
    }
}

/// Names and endings of files that hold secrets.
const PRIVATE_NAMES: &[&str] = &[
    ".env",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".htpasswd",
    ".pgpass",
    ".my.cnf",
    "wallet.dat",
    "known_hosts",
    "authorized_keys",
];
const PRIVATE_EXTENSIONS: &[&str] = &[
    "kdbx", "kdb", "pem", "key", "p12", "pfx", "jks", "keystore", "gpg", "pgp", "ppk", "ovpn",
    "agekey",
];

/// Is a file of this name private material: keys, passwords, secrets? It is read only when asked
/// for by name.
pub fn is_private(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
    PRIVATE_NAMES.contains(&name.as_str())
        || PRIVATE_EXTENSIONS.contains(&extension)
        || (name.starts_with(".env.") && extension != "example" && extension != "sample")
        || (name.starts_with("id_") && Kind::of_path(&name).is_none())
}

/// The first character that stands for a byte of a file name that is not UTF-8; the byte is added.
const ODD_BYTES: u32 = 0xf700;

/// A file name of any bytes as text: what is not UTF-8 becomes one private character a byte.
///
/// [`bytes_of_name`] undoes it.
pub fn name_of_bytes(bytes: &[u8]) -> String {
    let odd = |byte: u8| char::from_u32(ODD_BYTES + u32::from(byte)).unwrap_or('\u{fffd}');
    let mut name = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // A name that holds such a character itself must not be taken for another.
            if (ODD_BYTES..ODD_BYTES + 256).contains(&u32::from(c)) {
                let mut buffer = [0; 4];
                name.extend(c.encode_utf8(&mut buffer).bytes().map(odd));
            } else {
                name.push(c);
            }
        }
        name.extend(chunk.invalid().iter().map(|byte| odd(*byte)));
    }
    name
}

/// The bytes of a name that [`name_of_bytes`] made.
pub fn bytes_of_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    for c in name.chars() {
        match u32::from(c).checked_sub(ODD_BYTES) {
            Some(byte) if byte < 256 => bytes.push(byte as u8),
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Does it do something to what stands around it, instead of being seen? A mark of direction can make
/// one name look like another.
pub fn acts(c: char) -> bool {
    c.is_control() || turns(c)
}

/// Is it a mark of the direction in which text is written?
pub fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}')
}

/// A name for people: odd bytes and what [`acts`] as `\xE4`, byte by byte.
pub fn shown_name(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        match u32::from(c).checked_sub(ODD_BYTES) {
            Some(byte) if byte < 256 => shown.push_str(&format!("\\x{byte:02X}")),
            _ if acts(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    shown.push_str(&format!("\\x{byte:02X}"));
                }
            }
            _ => shown.push(c),
        }
    }
    shown
}

/// Does a file, of whose path [`shown_name`] is told, lie in this folder?
pub fn lies_in(shown: &Path, folder: &Path) -> bool {
    shown.starts_with(shown_name(&folder.to_string_lossy()))
}

/// The bytes of a name of which [`shown_name`] is told.
pub fn bytes_of_shown(shown: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(shown.len());
    let mut rest = shown;
    while let Some((before, code)) = rest.split_once("\\x") {
        bytes.extend(before.as_bytes());
        let hex = code
            .get(..2)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(b"\\x"),
        }
        rest = if byte.is_some() { &code[2..] } else { code };
    }
    bytes.extend(rest.as_bytes());
    bytes
}

/// What a document says about itself besides its text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The document's own title; `None` when only its file name is known.
    pub title: Option<String>,
    /// Tags without `#`, in order of appearance, without repetition.
    pub tags: Vec<String>,
    /// Targets of wikilinks and Markdown links, as written, without repetition.
    pub links: Vec<String>,
    /// Other names of the document, from the front matter.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The front matter as it was, for filters; `Null` when there is none.
    #[serde(default)]
    pub properties: serde_json::Value,
}

/// The title shown for a document: its own, or its file name without extension.
pub fn title_or_stem(meta: &Meta, path: &str) -> String {
    if let Some(title) = &meta.title {
        return title.clone();
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or_else(
        || shown_name(name),
        |(stem, _)| shown_name(if stem.is_empty() { name } else { stem }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_extension_only() {
        let check = |path, kind| assert_eq!(Kind::of_path(path), kind, "{path}");
        check("a/b.MD", Some(Kind::Markdown));
        check("notes.txt", Some(Kind::Text));
        check("x.pdf", Some(Kind::Pdf));
        check("Makefile", Some(Kind::Text));
        check("a/b.Rs", Some(Kind::Code));
        check("dir.md/picture.png", None);
        check("dir.md/file", None);
        for (kind, name, _) in KINDS {
            assert_eq!(Kind::named(name), Some(*kind));
            assert_eq!(kind.as_str(), *name);
        }
        assert!(Kind::unreadable("a.DOC").is_some_and(|r| r.contains("docx")));
    }

    #[test]
    fn mail_pages_books_and_pdf_are_of_others() {
        let check = |path: &str, expected: bool| {
            let kind = Kind::of_path(path).unwrap();
            assert_eq!(kind.is_from_others(), expected, "{path}");
        };
        for path in ["a.eml", "a.mbox", "a.msg", "a.html", "a.epub", "a.pdf"] {
            check(path, true);
        }
        for path in [
            "a.md", "a.org", "a.txt", "a.docx", "a.odt", "a.xlsx", "a.rs",
        ] {
            check(path, false);
        }
    }

    #[test]
    fn front_matter_says_whose_words_they_are() {
        let check = |properties: serde_json::Value, expected: bool| {
            assert_eq!(is_by_others(&properties), expected, "{properties}");
        };
        for from in ["mail", "bookmarks", "kindle", "readwise", "zotero", "git"] {
            check(serde_json::json!({ "imported-from": from }), true);
        }
        check(serde_json::json!({ "remembered-by": null }), true);
        check(
            serde_json::json!({ "Source": "https://example.org/a" }),
            true,
        );
        check(serde_json::json!({ "url": ["HTTP://example.org"] }), true);
        check(serde_json::json!({ "roam_refs": "https://a.org" }), true);
        check(serde_json::json!({ "roam_refs": "@key2020" }), false);
        check(
            serde_json::json!({ "source": "my own notes of May" }),
            false,
        );
        check(serde_json::json!({ "title": "https://example.org" }), false);
        check(serde_json::Value::Null, false);
        let by_agent = serde_json::json!({ "remembered-by": "mcp" });
        assert!(is_remembered(&by_agent));
        assert!(!is_remembered(
            &serde_json::json!({ "imported-from": "mail" })
        ));
    }

    #[test]
    fn secrets_are_known_by_name() {
        for path in [
            "a/.env",
            ".env.local",
            "id_rsa",
            "k/id_ed25519.pub",
            "x.kdbx",
            "s.PEM",
        ] {
            assert!(is_private(path), "{path}");
        }
        for path in ["id_card.md", "environment.md", ".env.example", "keys.md"] {
            assert!(!is_private(path), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn names_of_any_bytes_come_back(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(bytes_of_name(&name_of_bytes(&bytes)), bytes);
        }
    }

    #[test]
    fn odd_names_stay_apart() {
        let (a, b) = (
            name_of_bytes(b"a\xe4.md"),
            name_of_bytes("a\u{f7e4}.md".as_bytes()),
        );
        assert_ne!(a, b);
        assert_eq!(bytes_of_name(&b), "a\u{f7e4}.md".as_bytes());
        assert_eq!(shown_name(&a), "a\\xE4.md");
    }

    #[test]
    fn names_that_would_look_otherwise_are_spelled() {
        for (name, expected) in [
            ("bidi\u{202e}gpj.md", "bidi\\xE2\\x80\\xAEgpj.md"),
            ("a\u{2066}b\u{200f}", "a\\xE2\\x81\\xA6b\\xE2\\x80\\x8F"),
            ("a\u{1b}\u{85}", "a\\x1B\\xC2\\x85"),
            ("שלום.md", "שלום.md"),
        ] {
            assert_eq!(shown_name(name), expected);
            assert_eq!(bytes_of_shown(expected), name.as_bytes());
        }
    }

    #[test]
    fn a_title_falls_back_to_the_stem() {
        let meta = Meta::default();
        assert_eq!(title_or_stem(&meta, "a/My note.md"), "My note");
        assert_eq!(title_or_stem(&meta, "a/.md"), ".md");
    }
}
