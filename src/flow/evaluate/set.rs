//! Evaluation sets: documents, questions, and judgements of which document answers which question.
//!
//! Three layouts are read, plain or compressed with gzip or zstd: BEIR (`corpus`, `queries` and
//! `qrels` as JSON lines, judgements also as `qrels/SPLIT.tsv`), `FlashRAG` (`corpus` with `contents`,
//! questions in `train`, `dev` or `test`), and a folder of notes with `questions.jsonl`. A set of
//! documents becomes a folder of notes, one a document, in a knowledge base of its own, so that what
//! is measured is what people use; that knowledge base is kept, and the second run costs only the
//! questions. Nothing here touches the owner's ledger.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::ingest::{Ingest, Progress};
use crate::domain::chunk::ChunkId;
use crate::domain::measure::Gains;
use crate::error::{BadRequest, Failure};
use crate::store::StoreError;
use crate::store::ledger::Snapshot;
use crate::store::sources::Source;

/// A document of a set.
#[derive(Clone, Debug, Deserialize)]
pub struct SetDocument {
    /// Its name in the judgements.
    #[serde(rename = "_id", alias = "id", deserialize_with = "name")]
    pub id: String,
    /// Its title, empty where it has none.
    #[serde(default)]
    pub title: String,
    /// Its text.
    #[serde(default)]
    pub text: String,
    /// Title and text, in `FlashRAG`'s layout.
    #[serde(default)]
    contents: Option<String>,
}

/// A question of a set.
#[derive(Clone, Debug, Default)]
pub struct SetQuestion {
    /// Its name in the judgements.
    pub id: String,
    /// What is asked.
    pub text: String,
    /// The split it belongs to, where the set has splits.
    pub split: Option<String>,
    /// Answers that people gave.
    pub answers: Vec<String>,
    /// Whether it was made so that the documents do not answer it.
    pub impossible: bool,
}

/// Questions with judged documents.
pub struct EvaluationSet {
    /// Its name.
    pub name: String,
    /// Its documents; without their text where they are notes already.
    pub documents: Vec<SetDocument>,
    /// Questions that have a relevant document or an answer.
    pub questions: Vec<SetQuestion>,
    /// Questions that its documents do not answer.
    pub unanswerable: Vec<SetQuestion>,
    /// Gains of documents, by question.
    pub gains: HashMap<String, Gains<String>>,
    /// A hash of all that was read.
    pub hash: String,
    /// The folder of its notes, where it is one.
    notes: Option<PathBuf>,
}

/// Where a set lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder in one of the three layouts.
    Folder(PathBuf),
    /// A folder of notes, with its questions elsewhere.
    Notes {
        /// The notes.
        notes: PathBuf,
        /// The questions.
        questions: PathBuf,
    },
}

#[derive(Deserialize)]
struct BeirQuestion {
    #[serde(rename = "_id", deserialize_with = "name")]
    id: String,
    text: String,
    #[serde(default)]
    split: Option<String>,
    #[serde(default)]
    answers: Vec<String>,
    #[serde(default)]
    impossible: bool,
}

#[derive(Deserialize)]
struct FlashragQuestion {
    #[serde(deserialize_with = "name")]
    id: String,
    question: String,
    #[serde(default)]
    golden_answers: Vec<Value>,
    #[serde(default)]
    choices: Vec<String>,
}

/// A question about notes, as a line of `questions.jsonl` says it.
#[derive(Clone, Debug, Deserialize)]
pub struct NotesQuestion {
    /// Its name.
    #[serde(deserialize_with = "name")]
    pub id: String,
    /// What is asked.
    pub question: String,
    /// Answers that people gave.
    #[serde(default)]
    pub golden_answers: Vec<String>,
    #[serde(default)]
    split: Option<String>,
    /// Below the folder; none, or null, for a question that the notes do not answer.
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    paths: Vec<String>,
}

impl NotesQuestion {
    /// Is it a question about the note at this path, absolute or below its folder?
    pub fn is_about(&self, note: &Path) -> bool {
        let mut named = self.path.iter().chain(&self.paths);
        named.any(|path| note.ends_with(path))
    }
}

/// The questions of a file about notes that lie elsewhere; those that name no note are left out.
///
/// # Errors
/// [`BadRequest`] that names the file, the line, and what is wrong with it.
pub fn questions_about_notes(file: &Path) -> Result<Vec<NotesQuestion>, BadRequest> {
    about_notes(file).map_err(|error| BadRequest {
        hint: Some(
            "`writeback.replay` names a `questions.jsonl`: on each line `id`, `question`, and the `path` \
             of the note that answers it; leave it empty for none"
                .into(),
        ),
        ..error
    })
}

fn about_notes(file: &Path) -> Result<Vec<NotesQuestion>, BadRequest> {
    let mut asked: Vec<NotesQuestion> = Lines::of(file)?.parsed()?;
    asked.retain(|q| q.path.is_some() || !q.paths.is_empty());
    // A run that asked it would fail, and not say why.
    let says = |q: &&NotesQuestion| q.question.chars().any(char::is_alphanumeric);
    if let Some(empty) = asked.iter().find(|q| !says(q)) {
        return Err(bad(file, format!("question {} asks nothing", empty.id)));
    }
    Ok(asked)
}

#[derive(Deserialize)]
struct Judgement {
    #[serde(deserialize_with = "name")]
    query_id: String,
    #[serde(deserialize_with = "name")]
    doc_id: String,
    score: f64,
}

/// Names are numbers in some sets.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

/// Layouts that are told apart by their files.
enum Layout {
    Beir,
    Flashrag,
    Notes,
}

/// Splits in `FlashRAG`'s layout, by their files.
const SPLITS: [&str; 3] = ["train", "dev", "test"];

impl EvaluationSet {
    /// Reads a set; `split` narrows its questions where they have that split.
    ///
    /// # Errors
    /// [`BadRequest`] that names the file and what is wrong with it.
    pub fn read(place: &Place, name: &str, split: Option<&str>) -> Result<Self, BadRequest> {
        let (mut set, folder) = match place {
            Place::Notes { notes, questions } => {
                let lines = Lines::of(questions)?;
                (Self::of_notes(notes, &lines)?, questions)
            }
            Place::Folder(folder) => {
                let set = match layout(folder)? {
                    Layout::Beir => Self::of_beir(folder)?,
                    Layout::Flashrag => Self::of_flashrag(folder)?,
                    Layout::Notes => Self::of_notes(folder, &Lines::find(folder, "questions")?)?,
                };
                (set, folder)
            }
        };
        name.clone_into(&mut set.name);
        if let Some(split) = split {
            let all = set.questions.iter().chain(&set.unanswerable);
            if all.clone().any(|q| q.split.as_deref() == Some(split)) {
                set.questions.retain(|q| q.split.as_deref() == Some(split));
                set.unanswerable
                    .retain(|q| q.split.as_deref() == Some(split));
            }
        }
        if set.questions.is_empty() {
            let why = "none of its questions has a relevant document or an answer";
            return Err(bad(folder, why));
        }
        let mut known: HashMap<&str, &str> = HashMap::new();
        for SetQuestion { id, text, .. } in set.questions.iter().chain(&set.unanswerable) {
            if !text.chars().any(char::is_alphanumeric) {
                return Err(bad(folder, format!("question {id} asks nothing")));
            }
            if known.insert(id, text).is_some() {
                return Err(bad(folder, format!("two questions have the id {id}")));
            }
        }
        Ok(set)
    }

    /// The folder that its notes are in, where it is one.
    pub fn root(&self) -> Option<&Path> {
        self.notes.as_deref()
    }

    fn of_beir(folder: &Path) -> Result<Self, BadRequest> {
        let corpus = Lines::find(folder, "corpus")?;
        let queries = Lines::find(folder, "queries")?;
        let asked: Vec<BeirQuestion> = queries.parsed()?;
        let mut hash = blake3::Hasher::new();
        hash.update(corpus.text.as_bytes());
        hash.update(queries.text.as_bytes());
        let (judgements, splits) = judgements(folder, &mut hash)?;
        let mut gains: HashMap<String, Gains<String>> = HashMap::new();
        for judgement in judgements {
            let of_question = gains.entry(judgement.query_id).or_default();
            of_question.insert(judgement.doc_id, judgement.score);
        }
        let relevant = |id: &str| {
            let judged = gains.get(id);
            judged.is_some_and(|g| g.values().any(|gain| *gain > 0.0))
        };
        let asked = asked.into_iter().map(|q| SetQuestion {
            split: q.split.or_else(|| splits.get(&q.id).cloned()),
            id: q.id,
            text: q.text,
            answers: q.answers,
            impossible: q.impossible,
        });
        let (unanswerable, questions): (Vec<_>, Vec<_>) = asked.partition(|q| q.impossible);
        let questions = questions.into_iter().filter(|q| relevant(&q.id)).collect();
        Ok(Self {
            name: String::new(),
            documents: documents(&corpus)?,
            questions,
            unanswerable,
            gains,
            hash: hash.finalize().to_hex().to_string(),
            notes: None,
        })
    }

    fn of_flashrag(folder: &Path) -> Result<Self, BadRequest> {
        let corpus = Lines::find(folder, "corpus")?;
        let mut hash = blake3::Hasher::new();
        hash.update(corpus.text.as_bytes());
        let mut questions = Vec::new();
        for split in SPLITS {
            if path_of(folder, split).is_none() {
                continue;
            }
            let lines = Lines::find(folder, split)?;
            hash.update(lines.text.as_bytes());
            let asked: Vec<FlashragQuestion> = lines.parsed()?;
            questions.extend(asked.into_iter().map(|q| SetQuestion {
                answers: golden(&q),
                id: q.id,
                text: q.question,
                split: Some(split.to_owned()),
                impossible: false,
            }));
        }
        questions.retain(|q| !q.answers.is_empty());
        // Some number each split from nought.
        let ids: HashSet<&str> = questions.iter().map(|q| q.id.as_str()).collect();
        if ids.len() < questions.len() {
            for question in &mut questions {
                let split = question.split.as_deref().unwrap_or_default();
                question.id = format!("{split}-{}", question.id);
            }
        }
        Ok(Self {
            name: String::new(),
            documents: documents(&corpus)?,
            questions,
            unanswerable: Vec::new(),
            gains: HashMap::new(),
            hash: hash.finalize().to_hex().to_string(),
            notes: None,
        })
    }

    fn of_notes(folder: &Path, lines: &Lines) -> Result<Self, BadRequest> {
        let asked: Vec<NotesQuestion> = lines.parsed()?;
        let mut gains: HashMap<String, Gains<String>> = HashMap::new();
        let (mut questions, mut unanswerable) = (Vec::new(), Vec::new());
        let folder = folder.canonicalize().map_err(|error| bad(folder, error))?;
        for q in asked {
            let mut relevant: Vec<String> = Vec::new();
            for path in q.path.into_iter().chain(q.paths) {
                let whole = folder.join(&path).canonicalize();
                let note = whole.ok().filter(|whole| whole.is_file());
                let Some(note) = note.as_deref().and_then(|note| below(&folder, note)) else {
                    let why = format!("question {}: there is no note {path}", q.id);
                    return Err(bad(&lines.path, why));
                };
                relevant.push(note);
            }
            let question = SetQuestion {
                id: q.id.clone(),
                text: q.question,
                split: q.split,
                impossible: relevant.is_empty(),
                answers: q.golden_answers,
            };
            if question.impossible {
                unanswerable.push(question);
                continue;
            }
            let relevant = relevant.into_iter().map(|path| (path, 1.0));
            gains.insert(q.id, relevant.collect());
            questions.push(question);
        }
        Ok(Self {
            name: String::new(),
            documents: Vec::new(),
            questions,
            unanswerable,
            gains,
            hash: blake3::hash(lines.text.as_bytes()).to_hex().to_string(),
            notes: Some(folder),
        })
    }

    /// Its documents as notes: the folder that they are in, or else `folder`, where note `n` is
    /// document `n`. Nothing is written where that was done before.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn notes(&self, folder: &Path) -> Result<PathBuf, StoreError> {
        if let Some(notes) = &self.notes {
            return Ok(notes.clone());
        }
        let done = folder.join(".complete");
        if std::fs::read_to_string(&done).is_ok_and(|hash| hash == self.hash) {
            return Ok(folder.to_owned());
        }
        let io = |source| StoreError::io(folder, source);
        if folder.exists() {
            // Another set of this name was here.
            std::fs::remove_dir_all(folder).map_err(io)?;
        }
        for (index, document) in self.documents.iter().enumerate() {
            let below = folder.join(format!("{:03}", index / 1000));
            std::fs::create_dir_all(&below).map_err(io)?;
            let text = match document.title.trim() {
                "" => document.text.clone(),
                title => format!("# {title}\n\n{}\n", document.text),
            };
            std::fs::write(below.join(format!("{index}.md")), text).map_err(io)?;
        }
        std::fs::write(done, &self.hash).map_err(io)?;
        Ok(folder.to_owned())
    }

    /// The document that a note is of, by the note's path.
    pub fn document_at(&self, path: &Path) -> Option<String> {
        if let Some(notes) = &self.notes {
            return below(notes, path);
        }
        let index: usize = path.file_stem()?.to_str()?.parse().ok()?;
        Some(self.documents.get(index)?.id.clone())
    }

    /// Judged gains of a question; none where the set has no judgements.
    pub fn gains_of(&self, question: &SetQuestion) -> &Gains<String> {
        static NONE: OnceLock<Gains<String>> = OnceLock::new();
        let judged = self.gains.get(&question.id);
        judged.unwrap_or_else(|| NONE.get_or_init(Gains::new))
    }

    /// The documents that hold a chunk.
    ///
    /// # Errors
    /// What the ledger says.
    pub(super) fn documents_of(
        &self,
        snapshot: &Snapshot<'_>,
        chunk: ChunkId,
    ) -> Result<Vec<String>, StoreError> {
        let rows = snapshot.passages_of(chunk, 10)?;
        let ids = rows.iter().filter_map(|row| self.document_at(&row.path));
        Ok(ids.collect())
    }
}

fn golden(question: &FlashragQuestion) -> Vec<String> {
    let answers = question.golden_answers.iter();
    let answers = answers.filter_map(|answer| match answer {
        Value::String(text) => Some(text.clone()),
        // Of a question with choices: the place among them.
        Value::Number(place) if !question.choices.is_empty() => {
            let place = usize::try_from(place.as_u64()?).ok()?;
            question.choices.get(place).cloned()
        }
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_owned()),
        _ => None,
    });
    answers.collect()
}

fn documents(corpus: &Lines) -> Result<Vec<SetDocument>, BadRequest> {
    let mut documents: Vec<SetDocument> = corpus.parsed()?;
    for document in &mut documents {
        if let Some(contents) = document.contents.take() {
            let (title, text) = contents.split_once('\n').unwrap_or(("", &contents));
            title.trim_matches('"').clone_into(&mut document.title);
            text.clone_into(&mut document.text);
        }
    }
    Ok(documents)
}

/// Judgements, and the split of each question where the files tell.
type Judged = (Vec<Judgement>, HashMap<String, String>);

fn judgements(folder: &Path, hash: &mut blake3::Hasher) -> Result<Judged, BadRequest> {
    let mut splits = HashMap::new();
    if path_of(folder, "qrels").is_some() {
        let lines = Lines::find(folder, "qrels")?;
        hash.update(lines.text.as_bytes());
        return Ok((lines.parsed()?, splits));
    }
    let below = folder.join("qrels");
    let entries = std::fs::read_dir(&below).map_err(|error| bad(&below, error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut judgements = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((split, _)) = name.split_once(".tsv") else {
            continue;
        };
        let lines = Lines::of(&path)?;
        hash.update(lines.text.as_bytes());
        for (number, line) in lines.text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
            let [query, document, score] = fields[..] else {
                let why = format!("line {}: three columns were expected", number + 1);
                return Err(bad(&path, why));
            };
            let score = match score.parse::<f64>() {
                Ok(score) => score,
                // It names the columns.
                Err(_) if number == 0 => continue,
                Err(_) => {
                    let why = format!("line {}: {score} is no number", number + 1);
                    return Err(bad(&path, why));
                }
            };
            splits.insert(query.to_owned(), split.to_owned());
            judgements.push(Judgement {
                query_id: query.to_owned(),
                doc_id: document.to_owned(),
                score,
            });
        }
    }
    Ok((judgements, splits))
}

fn layout(folder: &Path) -> Result<Layout, BadRequest> {
    let has = |name: &str| path_of(folder, name).is_some();
    match () {
        () if has("corpus") && has("queries") => Ok(Layout::Beir),
        () if has("corpus") && SPLITS.iter().any(|split| has(split)) => Ok(Layout::Flashrag),
        () if has("questions") => Ok(Layout::Notes),
        () => Err(bad(folder, "it holds no set")),
    }
}

/// Is there a set in this folder?
pub fn is_set(folder: &Path) -> bool {
    layout(folder).is_ok()
}

/// The first questions of a set.
///
/// # Errors
/// [`BadRequest`] as for [`EvaluationSet::read`].
pub fn questions(folder: &Path, limit: usize) -> Result<Vec<String>, BadRequest> {
    let set = EvaluationSet::read(&Place::Folder(folder.to_owned()), "", None)?;
    let texts = set.questions.into_iter().take(limit);
    Ok(texts.map(|question| question.text).collect())
}

/// The path of a note below its folder; none of one that is elsewhere.
fn below(folder: &Path, note: &Path) -> Option<String> {
    let below = note.strip_prefix(folder).ok()?;
    Some(below.to_string_lossy().replace('\\', "/"))
}

pub(super) fn bad(path: &Path, reason: impl std::fmt::Display) -> BadRequest {
    BadRequest::new(
        "bad_evaluation_set",
        format!("{}: {reason}", path.display()),
        "a set is a folder with corpus, queries and qrels (BEIR), with corpus and train, dev or test \
         (FlashRAG), or with notes and questions: .jsonl, plain, .gz or .zst; `coho eval import` \
         makes one of SQuAD or HotpotQA",
    )
}

/// A file of JSON lines, unpacked.
pub(super) struct Lines {
    path: PathBuf,
    text: String,
}

fn path_of(folder: &Path, name: &str) -> Option<PathBuf> {
    let paths =
        [".jsonl", ".jsonl.zst", ".jsonl.gz"].map(|end| folder.join(format!("{name}{end}")));
    paths.into_iter().find(|path| path.is_file())
}

/// What a file holds, packed or not, as its name says.
pub(super) fn unpacked(path: &Path) -> std::io::Result<Box<dyn Read>> {
    let file = std::fs::File::open(path)?;
    let end = path.extension().unwrap_or_default().to_string_lossy();
    Ok(match &*end {
        "zst" => Box::new(zstd::Decoder::new(file)?),
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        _ => Box::new(file),
    })
}

impl Lines {
    pub(super) fn find(folder: &Path, name: &str) -> Result<Self, BadRequest> {
        let path = path_of(folder, name);
        let path = path.ok_or_else(|| bad(folder, format!("there is no {name}.jsonl")))?;
        Self::of(&path)
    }

    fn of(path: &Path) -> Result<Self, BadRequest> {
        let unpacked = unpacked(path).map_err(|error| bad(path, error))?;
        let mut text = String::new();
        let read = BufReader::new(unpacked).read_to_string(&mut text);
        read.map_err(|error| bad(path, error))?;
        // Some editors put a mark before what they save.
        let text = text
            .strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text);
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    pub(super) fn parsed<T: DeserializeOwned>(&self) -> Result<Vec<T>, BadRequest> {
        let mut items = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            if !line.trim().is_empty() {
                let at = |error| bad(&self.path, format!("line {}: {error}", index + 1));
                items.push(serde_json::from_str(line).map_err(at)?);
            }
        }
        Ok(items)
    }
}

/// Reads the notes of a set into its knowledge base.
///
/// # Errors
/// What ingestion says.
pub fn ingest_set(
    ingest: &Ingest,
    source: &Source,
    progress: &dyn Fn(&Progress),
) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    ingest.heal(&stop)?;
    ingest.sync(source, progress, &stop)?;
    Ok(ingest.rest()?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(folder: &Path) -> EvaluationSet {
        EvaluationSet::read(&Place::Folder(folder.to_owned()), "set", None).unwrap()
    }

    #[test]
    fn beir_is_read_with_its_columns_and_gzip() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let packed = std::fs::File::create(folder.path().join("corpus.jsonl.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed
            .write_all(b"{\"_id\": 7, \"title\": \"Owl\", \"text\": \"It eats voles.\"}\n")
            .unwrap();
        packed.finish().unwrap();
        write(
            "queries.jsonl",
            "{\"_id\":\"1\",\"text\":\"what do owls eat\"}\n{\"_id\":\"2\",\"text\":\"unjudged\"}\n",
        );
        std::fs::create_dir(folder.path().join("qrels")).unwrap();
        write("qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\t7\t2\n\n");
        let set = read(folder.path());
        assert_eq!(set.documents[0].id, "7");
        assert_eq!(set.questions.len(), 1);
        assert_eq!(set.questions[0].split.as_deref(), Some("test"));
        assert!((set.gains_of(&set.questions[0])["7"] - 2.0).abs() < 1e-9);
        write("qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\t7\n");
        let place = Place::Folder(folder.path().to_owned());
        let error = EvaluationSet::read(&place, "set", None).err().unwrap();
        assert!(
            error.to_string().contains("line 2: three columns"),
            "{error}"
        );
        write("qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\t7\ttwo\n");
        let error = EvaluationSet::read(&place, "set", None).err().unwrap();
        assert!(error.to_string().contains("two is no number"), "{error}");
        write("qrels/test.tsv", "1\t7\t1\n");
        for (again, told) in [
            ("what do owls eat", "two questions"),
            ("???", "asks nothing"),
        ] {
            let queries = ["what do owls eat", again]
                .map(|text| format!("{{\"_id\":\"1\",\"text\":\"{text}\"}}\n"));
            write("queries.jsonl", &queries.concat());
            let error = EvaluationSet::read(&place, "set", None).err().unwrap();
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn flashrag_is_read_with_choices() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "corpus.jsonl",
            r#"{"id":"0","contents":"\"Owl\"\nIt eats voles.\nAt night."}"#,
        );
        write(
            "dev.jsonl",
            r#"{"id":"d1","question":"What does it eat?","golden_answers":["voles"]}"#,
        );
        write(
            "test.jsonl",
            r#"{"id":"t1","question":"Which?","golden_answers":[1],"choices":["day","night"]}"#,
        );
        let set = read(folder.path());
        let document = &set.documents[0];
        assert_eq!(
            (document.title.as_str(), document.text.as_str()),
            ("Owl", "It eats voles.\nAt night.")
        );
        assert_eq!(set.questions.len(), 2);
        assert_eq!(set.questions[1].answers, ["night"]);
        let place = Place::Folder(folder.path().to_owned());
        let test = EvaluationSet::read(&place, "set", Some("test")).unwrap();
        assert_eq!(test.questions.len(), 1);
        write(
            "test.jsonl",
            "\u{feff}{\"id\":\"d1\",\"question\":\"How many?\",\"golden_answers\":[42]}",
        );
        let set = read(folder.path());
        let ids: Vec<&str> = set.questions.iter().map(|q| q.id.as_str()).collect();
        assert_eq!(ids, ["dev-d1", "test-d1"]);
        assert_eq!(set.questions[1].answers, ["42"]);
    }

    #[test]
    fn a_question_about_notes_asks_something_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("questions.jsonl");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            questions_about_notes(&file)
        };
        let asked = "{\"id\":1,\"question\":\"Who?\",\"path\":\"a.md\"}\n\
                     {\"id\":2,\"question\":\"\"}\n";
        assert_eq!(read(asked).unwrap().len(), 1);
        let error = read("{\"id\":7,\"question\":\" \",\"path\":\"a.md\"}").unwrap_err();
        assert!(
            error.to_string().contains("question 7 asks nothing"),
            "{error}"
        );
        // It is no set that `coho eval` would read.
        let hint = read("no JSON").unwrap_err().hint.unwrap();
        assert!(hint.starts_with("`writeback.replay` names"), "{hint}");
    }

    #[test]
    fn notes_are_read_with_their_questions() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("birds")).unwrap();
        std::fs::write(folder.path().join("birds/owl.md"), "It eats voles.").unwrap();
        let questions = folder.path().join("questions.jsonl");
        std::fs::write(
            &questions,
            "{\"id\":\"1\",\"question\":\"What does it eat?\",\"golden_answers\":[\"voles\"],\"path\":\"birds/owl.md\"}\n\
             {\"id\":\"2\",\"question\":\"Who?\",\"golden_answers\":[],\"path\":null}\n",
        )
        .unwrap();
        let set = read(folder.path());
        assert_eq!((set.questions.len(), set.unanswerable.len()), (1, 1));
        let root = folder.path().canonicalize().unwrap();
        let id = set.document_at(&root.join("birds/owl.md")).unwrap();
        assert!(set.gains_of(&set.questions[0]).contains_key(&id));
        let asked = std::fs::read_to_string(&questions).unwrap();
        std::fs::write(&questions, asked.replace("birds/owl", "./birds//owl")).unwrap();
        let set = read(folder.path());
        assert!(set.gains_of(&set.questions[0]).contains_key(&id));
        let outside = asked.replace("birds/owl.md", "../../../../../../../../etc/passwd");
        std::fs::write(&questions, outside).unwrap();
        let place = Place::Folder(folder.path().to_owned());
        assert!(EvaluationSet::read(&place, "set", None).is_err());
        std::fs::write(&questions, asked).unwrap();
        std::fs::remove_file(folder.path().join("birds/owl.md")).unwrap();
        let error = EvaluationSet::read(&place, "set", None).err().unwrap();
        assert!(
            error.to_string().contains("no note birds/owl.md"),
            "{error}"
        );
    }
}
