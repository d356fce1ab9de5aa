//! Knowledge units: what was distilled from the passages that answered a question.
//!
//! A unit holds sentences as they stand in its sources, under a title, with the questions that they
//! answer. It never outlives them, and it is never cited: it leads to them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chunk::ChunkId;
use super::gate::Verdict;

/// How far a unit has come.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Found and scored, shown to nobody.
    Shadow,
    /// In use.
    Active,
    /// Contradicted by another passage, by the owner, or by what came of it.
    Contested,
    /// Resting on something that changed.
    Stale,
    /// Out of use.
    Retired,
}

impl State {
    /// The name that the ledger and people use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Active => "active",
            Self::Contested => "contested",
            Self::Stale => "stale",
            Self::Retired => "retired",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = <Self as clap::ValueEnum>::value_variants().iter();
        all.find(|state| state.as_str() == name).copied()
    }

    /// Whether a unit may go from this state to that one. A stale unit has to be looked at before
    /// anything else comes of it; a retired one comes back only as one in trial, unless what it rests
    /// on was away and the ledger has it looked at again.
    pub fn may_become(self, other: Self) -> bool {
        use State::{Active, Contested, Retired, Shadow, Stale};
        match self {
            Shadow => matches!(other, Active | Contested | Stale | Retired),
            Active => matches!(other, Shadow | Contested | Stale | Retired),
            Contested => matches!(other, Shadow | Active | Stale | Retired),
            Stale => matches!(other, Shadow | Retired),
            Retired => other == Shadow,
        }
    }
}

/// Sentences that a unit took from one chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quotes {
    /// The chunk; its id is a hash of its content.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    #[schemars(with = "String")]
    pub chunk: ChunkId,
    /// The file that it stood in, below its source, when the unit was made.
    pub path: String,
    /// The sentences, as they stand there.
    pub sentences: Vec<String>,
}

fn as_text<S: serde::Serializer>(chunk: &ChunkId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(chunk)
}

fn from_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ChunkId, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom("no id of a chunk"))
}

/// What a unit was good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Uses {
    /// Times that a question found it.
    pub retrieved: u32,
    /// Times that an answer then cited what it rests on.
    pub cited: u32,
    /// Other questions that it led to evidence which their answers rest on.
    pub helped: u32,
    /// Times that it pushed such evidence down, or that the owner rejected what came of it.
    pub harmed: u32,
}

/// A knowledge unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unit {
    /// Its id, of what it says and rests on.
    pub id: String,
    /// How far it has come.
    pub state: State,
    /// What it is about.
    pub title: String,
    /// What it says.
    pub text: String,
    /// The questions that it answers.
    pub questions: Vec<String>,
    /// What it rests on.
    pub sources: Vec<Quotes>,
    /// Numbers of its gates, by their names.
    pub scores: BTreeMap<String, f32>,
    /// What each gate said.
    pub gates: Vec<Verdict>,
    /// The batch that it was made in.
    pub batch: String,
    /// The lowest trust of its sources, 0 to 1.
    pub trust: f32,
    /// How it was made: method, version, and the language model if one had a part in it.
    pub recipe: String,
    /// Why it is in its state.
    pub reason: String,
    /// When it was made, milliseconds since 1970.
    pub made_ms: i64,
    /// What it was good for.
    pub uses: Uses,
    /// Ids of the units that it takes the place of, as soon as it is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

/// How verbatim units are made; another number when that changes.
pub const VERBATIM: &str = "verbatim/1";

/// Trust of what the owner wrote, and of what others did.
pub const OWN: f32 = 1.0;
/// See [`OWN`].
pub const OUTSIDE: f32 = 0.5;

impl Unit {
    /// The id of what says this and rests on that: the same when it is made again after a crash.
    pub fn id_of(text: &str, sources: &[Quotes]) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(text.as_bytes());
        for quotes in sources {
            hasher.update(&quotes.chunk.0);
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// What the sentences of its sources say, one after the other.
    pub fn text_of(sources: &[Quotes]) -> String {
        Self::text_with_code(sources, |_| false)
    }

    /// As [`Unit::text_of`], with those sentences that are code, where they have several lines, as
    /// [`fenced`] writes them: in one line they would be another program.
    pub fn text_with_code(sources: &[Quotes], is_code: impl Fn(&str) -> bool) -> String {
        let sentences = sources.iter().flat_map(|quotes| &quotes.sentences);
        joined(sentences.map(|sentence| {
            let code = fenced(sentence).filter(|_| is_code(sentence));
            code.unwrap_or_else(|| sentence.split_whitespace().collect::<Vec<_>>().join(" "))
        }))
    }

    /// A sentence between fences, where what it says holds it so. Older versions wrote all in one
    /// line.
    pub fn fenced(&self, sentence: &str) -> Option<String> {
        fenced(sentence).filter(|code| self.text.contains(code.as_str()))
    }

    /// Do these sources say what it says?
    pub fn is_of(&self, sources: &[Quotes]) -> bool {
        let is_code = |sentence: &str| self.fenced(sentence).is_some();
        self.text == Self::text_with_code(sources, is_code)
    }

    /// Does every sentence of it stand in a source?
    pub fn is_verbatim(&self) -> bool {
        self.is_of(&self.sources)
    }

    /// What it says, and under which title, which is a part of that; the head of a table is not.
    pub fn under_title(&self) -> String {
        let parts = self.above().split(" > ");
        let parts = parts.filter(|part| !part.contains('|'));
        parts
            .chain([self.text.as_str()])
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// What it stands under: its title, unless that is only the question that it answers.
    pub fn above(&self) -> &str {
        if self.questions.contains(&self.title) {
            ""
        } else {
            &self.title
        }
    }

    /// What each of its documents is titled by, the first one first; see [`titled`]. One whose own
    /// title holds such a mark is in parts that are no titles.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        let mark = if self.sources.len() > 1 {
            BETWEEN_TITLES
        } else {
            "\0"
        };
        self.above().split(mark)
    }

    /// The number of this name among its scores; 0 where there is none.
    pub fn score(&self, name: &str) -> f32 {
        self.scores.get(name).copied().unwrap_or(0.0)
    }

    /// The ids of the chunks that it rests on.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.sources.iter().map(|quotes| quotes.chunk)
    }
}

/// Between the titles of two documents.
const BETWEEN_TITLES: &str = "; ";

/// The title of what was taken from several documents: what each of them stands under, once.
pub fn titled<'a>(titles: impl IntoIterator<Item = &'a str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for title in titles {
        if !(title.is_empty() || seen.contains(&title)) {
            seen.push(title);
        }
    }
    seen.join(BETWEEN_TITLES)
}

/// Parts of a text, those of several lines on lines of their own.
pub fn joined(parts: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    let mut was_block = false;
    for part in parts {
        let is_block = part.contains('\n');
        if !text.is_empty() {
            text.push(if is_block || was_block { '\n' } else { ' ' });
        }
        text.push_str(&part);
        was_block = is_block;
    }
    text
}

/// Code of several lines between fences, as Markdown has it; `None` for what has one line.
pub fn fenced(code: &str) -> Option<String> {
    let lines = lines_of_code(code);
    let ticks = if code.contains("```") { "````" } else { "```" };
    (lines.len() > 1).then(|| format!("{ticks}\n{}\n{ticks}", lines.join("\n")))
}

/// The lines of code that hold something, without the indentation that all of them share.
pub fn lines_of_code(code: &str) -> Vec<&str> {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let lines = || code.lines().filter(|line| !line.trim().is_empty());
    let shared = lines().map(indent).min().unwrap_or(0);
    lines().map(|line| line[shared..].trim_end()).collect()
}

/// Who puts units in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Review {
    /// What has led another question to its evidence, and harmed none, is put in use.
    #[default]
    Auto,
    /// The owner is asked.
    Ask,
}

/// How units take part in answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// They lead to their sources.
    Ranking,
    /// They are read in place of long passages.
    Context,
    /// Both.
    #[default]
    Both,
}

impl Merge {
    /// Do they lead to their sources?
    pub fn ranks(self) -> bool {
        self != Self::Context
    }

    /// Are they read in place of long passages?
    pub fn reads(self) -> bool {
        self != Self::Ranking
    }
}

/// Share of the places, and of the words, of an answer's evidence that units may fill.
pub const MOST_SHARE: f32 = 0.4;

/// Places among `k` that units may fill.
pub fn most_places(k: usize) -> usize {
    // Exact for every k that a search takes: 2 of 5.
    k * 2 / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_states_lead_back() {
        for name in ["shadow", "active", "contested", "stale", "retired"] {
            assert_eq!(State::named(name).unwrap().as_str(), name);
        }
        assert_eq!(State::named("Active"), None);
    }

    #[test]
    fn what_is_stale_or_out_of_use_is_not_put_in_use_unseen() {
        assert!(!State::Stale.may_become(State::Active));
        assert!(!State::Retired.may_become(State::Active));
        assert!(State::Retired.may_become(State::Shadow));
        assert!(State::Shadow.may_become(State::Active));
    }

    #[test]
    fn units_fill_at_most_two_of_five_places() {
        let check = |k: usize, places: usize| assert_eq!(most_places(k), places, "{k}");
        check(1, 0);
        check(2, 0);
        check(3, 1);
        check(5, 2);
        check(100, 40);
    }

    #[test]
    fn code_of_several_lines_keeps_them() {
        let sources = [Quotes {
            chunk: ChunkId::of("", "a"),
            path: "a.md".into(),
            sentences: vec![
                "To restart\nit, run:".into(),
                "  # stop first\n  stop relay\n    start".into(),
                "It takes a minute.".into(),
            ],
        }];
        let text = Unit::text_with_code(&sources, |sentence| sentence.contains('#'));
        assert_eq!(
            text,
            "To restart it, run:\n```\n# stop first\nstop relay\n  start\n```\nIt takes a minute."
        );
        let flat = "To restart it, run: # stop first stop relay start It takes a minute.";
        assert_eq!(Unit::text_of(&sources), flat);
        let unit = |text: &str| Unit {
            text: text.into(),
            sources: sources.to_vec(),
            ..of("", &[])
        };
        assert!(unit(&text).is_verbatim());
        // As older versions wrote it.
        assert!(unit(flat).is_verbatim());
        assert_eq!(unit(flat).fenced(&sources[0].sentences[1]), None);
        assert!(!unit("To restart it, run: start").is_verbatim());
    }

    #[test]
    fn code_of_one_line_needs_no_fence() {
        let check = |code: &str, expected: Option<&str>| {
            assert_eq!(fenced(code).as_deref(), expected);
        };
        check("ls", None);
        check("ls\n\n", None);
        check("\ta\n\t\tb", Some("```\na\n\tb\n```"));
        check("a\n```\nb", Some("````\na\n```\nb\n````"));
    }

    fn of(title: &str, paths: &[&str]) -> Unit {
        let quotes = |path: &&str| Quotes {
            chunk: ChunkId::of("", path),
            path: (*path).into(),
            sentences: vec!["It rests for a day.".into()],
        };
        Unit {
            id: String::new(),
            state: State::Shadow,
            title: title.into(),
            text: "It rests for a day.".into(),
            questions: vec!["How long does it rest?".into()],
            sources: paths.iter().map(quotes).collect(),
            scores: BTreeMap::new(),
            gates: Vec::new(),
            batch: String::new(),
            trust: OWN,
            recipe: VERBATIM.into(),
            reason: String::new(),
            made_ms: 0,
            uses: Uses::default(),
            replaces: Vec::new(),
        }
    }

    #[test]
    fn each_document_of_a_unit_has_its_title() {
        assert_eq!(
            titled(["Bread > Dough", "", "Pizza", "Bread > Dough"]),
            "Bread > Dough; Pizza"
        );
        let check = |unit: &Unit, expected: &[&str]| {
            assert_eq!(unit.titles().collect::<Vec<_>>(), expected);
        };
        check(&of("Bread; Pizza", &["a.md", "b.md"]), &["Bread", "Pizza"]);
        check(&of("Bread; Pizza", &["a.md"]), &["Bread; Pizza"]);
        check(&of("How long does it rest?", &["a.md", "b.md"]), &[""]);
        let bread = of("Bread > a | b > Dough", &["a.md"]);
        assert_eq!(bread.under_title(), "Bread Dough It rests for a day.");
    }

    #[test]
    fn a_unit_made_again_is_the_same() {
        let quotes = |text: &str| Quotes {
            chunk: ChunkId::of("", "a"),
            path: "a.md".into(),
            sentences: vec![text.into()],
        };
        let sources = [quotes("One\n  line.")];
        let text = Unit::text_of(&sources);
        assert_eq!(text, "One line.");
        assert_eq!(Unit::id_of(&text, &sources), Unit::id_of(&text, &sources));
        assert_ne!(Unit::id_of("other", &sources), Unit::id_of(&text, &sources));
    }
}
