//! Sources and documents: what the owner added and what was found in it.

use std::fmt;

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

/// The ledger's number of a document; it survives edits and renames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentId(pub i64);

/// One way in which a document's entries were written to the lexical index.
///
/// Each ingestion writes its terms under a new edition and the ledger names the visible one, so
/// that a crash leaves either the old entries visible or the new ones, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edition(pub i64);

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
    /// Plain text in any encoding.
    Text,
    /// PDF with a text layer.
    Pdf,
}

impl Kind {
    /// The kind that a file name promises, or `None` for a format that coho does not read.
    pub fn of_path(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase())?;
        Some(match extension.as_str() {
            "md" | "markdown" | "mdown" | "mkd" | "mdx" | "qmd" | "rmd" => Self::Markdown,
            "txt" | "text" | "log" | "rst" | "adoc" | "asciidoc" | "org" | "tex" | "nfo" => {
                Self::Text
            }
            "pdf" => Self::Pdf,
            _ => return None,
        })
    }

    /// The name that the ledger and the interfaces use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Markdown => "markdown",
            Self::Text => "text",
            Self::Pdf => "pdf",
        }
    }
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
    name.rsplit_once('.')
        .map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
        .to_owned()
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
        check("Makefile", None);
        check("dir.md/picture.png", None);
    }

    #[test]
    fn a_title_falls_back_to_the_stem() {
        let meta = Meta::default();
        assert_eq!(title_or_stem(&meta, "a/My note.md"), "My note");
        assert_eq!(title_or_stem(&meta, "a/.md"), ".md");
    }
}
