//! Making a set of the files that its makers publish: `SQuAD` and `HotpotQA`, as JSON, become BEIR's
//! layout.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::set::bad;
use crate::error::{BadRequest, Failure};
use crate::store::StoreError;

/// What the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `SQuAD` 1.1 or 2.0: articles, paragraphs, questions with spans.
    Squad,
    /// `HotpotQA`, distractor or full wiki: questions with their paragraphs.
    Hotpotqa,
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Imported {
    /// Documents.
    pub documents: usize,
    /// Questions with an answer.
    pub questions: usize,
    /// Questions made so that the documents do not answer them.
    pub unanswerable: usize,
}

#[derive(Deserialize)]
struct Squad {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<SquadQuestion>,
}

#[derive(Deserialize)]
struct SquadQuestion {
    id: String,
    question: String,
    #[serde(default)]
    answers: Vec<SquadAnswer>,
    #[serde(default)]
    is_impossible: bool,
}

#[derive(Deserialize)]
struct SquadAnswer {
    text: String,
}

#[derive(Deserialize)]
struct Hotpot {
    #[serde(rename = "_id", alias = "id")]
    id: String,
    question: String,
    answer: Option<String>,
    context: Vec<(String, Vec<String>)>,
    #[serde(default)]
    supporting_facts: Vec<(String, i64)>,
}

/// Reads `file` and writes a set into `folder`, which must not hold one.
///
/// # Errors
/// [`BadRequest`] where the file is not what it was said to be, [`StoreError::Io`].
pub fn import(format: Format, file: &Path, folder: &Path) -> Result<Imported, Failure> {
    if super::set::is_set(folder) {
        return Err(bad(folder, "there is a set already").into());
    }
    let mut text = String::new();
    let read = File::open(file).and_then(|mut open| open.read_to_string(&mut text));
    read.map_err(|error| bad(file, error))?;
    let mut set = Written::begin(folder)?;
    match format {
        Format::Squad => squad(&parsed(&text, file)?, &mut set)?,
        Format::Hotpotqa => hotpotqa(&parsed::<Vec<_>>(&text, file)?, &mut set)?,
    }
    Ok(set.end()?)
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str, file: &Path) -> Result<T, BadRequest> {
    let wrong = |error| {
        BadRequest::new(
            "bad_import",
            format!("{}: {error}", file.display()),
            "give the JSON file as its makers publish it, and say which: squad or hotpotqa",
        )
    };
    serde_json::from_str(text).map_err(wrong)
}

fn squad(squad: &Squad, set: &mut Written<'_>) -> Result<(), StoreError> {
    // Titles may be missing, or stand twice.
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for article in &squad.data {
        let title = article.title.replace('_', " ");
        for paragraph in &article.paragraphs {
            let number = numbers.entry(&article.title).or_default();
            let document = format!("{}_{number}", article.title);
            *number += 1;
            set.document(&document, &title, &paragraph.context)?;
            for question in &paragraph.qas {
                let mut answers: Vec<&str> = Vec::new();
                for answer in &question.answers {
                    if !answers.contains(&answer.text.as_str()) {
                        answers.push(&answer.text);
                    }
                }
                let impossible = question.is_impossible || answers.is_empty();
                set.question(&question.id, &question.question, &answers, impossible)?;
                if !impossible {
                    set.judge(&question.id, &document)?;
                }
            }
        }
    }
    Ok(())
}

fn hotpotqa(questions: &[Hotpot], set: &mut Written<'_>) -> Result<(), StoreError> {
    // A paragraph that several questions come with is one document.
    let mut known: HashMap<(String, String), String> = HashMap::new();
    for question in questions {
        let mut by_title: BTreeMap<&str, String> = BTreeMap::new();
        for (title, sentences) in &question.context {
            let text = sentences.concat();
            let next = format!("p{}", known.len());
            let key = (title.clone(), text.clone());
            let id = if let Some(id) = known.get(&key) {
                id.clone()
            } else {
                set.document(&next, title, &text)?;
                known.insert(key, next.clone());
                next
            };
            by_title.insert(title, id);
        }
        let answers: Vec<&str> = question.answer.iter().map(String::as_str).collect();
        set.question(&question.id, &question.question, &answers, false)?;
        let mut judged: Vec<&String> = Vec::new();
        for (title, _) in &question.supporting_facts {
            if let Some(id) = by_title.get(title.as_str())
                && !judged.contains(&id)
            {
                set.judge(&question.id, id)?;
                judged.push(id);
            }
        }
    }
    Ok(())
}

/// A set that is being written.
struct Written<'a> {
    folder: &'a Path,
    files: [BufWriter<File>; 3],
    counts: Imported,
}

const FILES: [&str; 3] = ["corpus", "queries", "qrels"];

impl<'a> Written<'a> {
    fn begin(folder: &'a Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::io(folder, source);
        std::fs::create_dir_all(folder).map_err(io)?;
        let open = |name: &str| File::create(folder.join(format!("{name}.tmp")));
        let [corpus, queries, qrels] = FILES.map(open);
        let files = [
            corpus.map_err(io)?,
            queries.map_err(io)?,
            qrels.map_err(io)?,
        ];
        Ok(Self {
            folder,
            files: files.map(BufWriter::new),
            counts: Imported::default(),
        })
    }

    fn line(&mut self, file: usize, line: &serde_json::Value) -> Result<(), StoreError> {
        let written = writeln!(self.files[file], "{line}");
        written.map_err(|source| StoreError::io(self.folder, source))
    }

    fn document(&mut self, id: &str, title: &str, text: &str) -> Result<(), StoreError> {
        self.counts.documents += 1;
        self.line(0, &json!({"_id": id, "title": title, "text": text}))
    }

    fn question(
        &mut self,
        id: &str,
        text: &str,
        answers: &[&str],
        impossible: bool,
    ) -> Result<(), StoreError> {
        if impossible {
            self.counts.unanswerable += 1;
        } else {
            self.counts.questions += 1;
        }
        let line = json!({"_id": id, "text": text, "answers": answers, "impossible": impossible});
        self.line(1, &line)
    }

    fn judge(&mut self, question: &str, document: &str) -> Result<(), StoreError> {
        self.line(
            2,
            &json!({"query_id": question, "doc_id": document, "score": 1}),
        )
    }

    fn end(mut self) -> Result<Imported, StoreError> {
        let io = |source| StoreError::io(self.folder, source);
        for file in &mut self.files {
            file.flush().map_err(io)?;
        }
        // All or nothing: a set is one only with its last file.
        for name in FILES {
            let to = self.folder.join(format!("{name}.jsonl"));
            std::fs::rename(self.folder.join(format!("{name}.tmp")), to).map_err(io)?;
        }
        Ok(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::evaluate::set::{EvaluationSet, Place};

    fn imported(format: Format, text: &str) -> (Imported, EvaluationSet) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("in.json");
        std::fs::write(&file, text).unwrap();
        let into = folder.path().join("set");
        let counts = import(format, &file, &into).unwrap();
        let again = import(format, &file, &into).err().unwrap();
        assert!(again.to_string().contains("already"), "{again}");
        (
            counts,
            EvaluationSet::read(&Place::Folder(into), "set", None).unwrap(),
        )
    }

    #[test]
    fn squad_becomes_a_set() {
        let (counts, set) = imported(
            Format::Squad,
            r#"{"version":"2","data":[{"title":"Barn_owl","paragraphs":[{"context":"It eats voles.","qas":[
              {"id":"1","question":"What does it eat?","answers":[{"text":"voles","answer_start":8},{"text":"voles","answer_start":8}],"is_impossible":false},
              {"id":"2","question":"Where does it nest?","answers":[],"is_impossible":true}]}]}]}"#,
        );
        assert_eq!(
            (counts.documents, counts.questions, counts.unanswerable),
            (1, 1, 1)
        );
        assert_eq!(set.questions[0].answers, ["voles"]);
        assert_eq!(set.documents[0].title, "Barn owl");
        assert!(set.gains_of(&set.questions[0]).contains_key("Barn_owl_0"));
        assert_eq!(set.unanswerable.len(), 1);
    }

    #[test]
    fn hotpotqa_becomes_a_set() {
        let (counts, set) = imported(
            Format::Hotpotqa,
            r#"[{"_id":"a","question":"Who?","answer":"Ada","context":[["X",["One. ","Two."]],["Y",["Three."]]],"supporting_facts":[["X",0],["X",1]]},
               {"_id":"b","question":"Where?","answer":"Graz","context":[["X",["One. ","Two."]],["Z",["Four."]]],"supporting_facts":[["X",0],["Z",0]]}]"#,
        );
        assert_eq!((counts.documents, counts.questions), (3, 2));
        assert_eq!(set.documents[0].text, "One. Two.");
        assert_eq!(set.gains_of(&set.questions[1]).len(), 2);
    }

    #[test]
    fn another_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("in.json");
        std::fs::write(&file, "[]").unwrap();
        let into = folder.path().join("set");
        let error = import(Format::Squad, &file, &into).err().unwrap();
        assert_eq!(error.code(), "bad_import");
        assert!(!crate::flow::evaluate::set::is_set(&into));
    }
}
