//! Reading aloud: sentence by sentence while the answer is still being written.
//!
//! By a command that the owner sets, which reads a sentence from its standard input; or by a speech
//! server with OpenAI's route, on this machine or in its network, and a command that plays what it
//! says.
//!
//! What is read aloud by another machine goes there. Where there are sources that never leave this
//! one, it says nothing before it is known what an answer rests on, and nothing at all of an answer
//! that rests on them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::App;
use super::network::{self, Level};
use crate::domain::sentence;
use crate::domain::source::lies_in;
use crate::engine::speech;
use crate::error::{BadRequest, Failure};
use crate::flow::answer::{Answer, Event};
use crate::flow::evaluate::answers::said;
use crate::settings::Speech;

/// Says sentences one after the other, on a thread of its own.
pub struct Speaker {
    held: String,
    /// Folders of which nothing may reach the speech server; none where it is on this machine.
    staying: Vec<PathBuf>,
    /// The one of them that the answer rests on.
    kept: Option<PathBuf>,
    sentences: Option<Sender<String>>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl App {
    /// A voice for answers from this knowledge base.
    ///
    /// # Errors
    /// As [`Speaker::new`], or what the ledger says.
    pub fn speaker(&self) -> Result<Speaker, Failure> {
        let settings = &self.settings.speech;
        let mut speaker = Speaker::new(settings)?;
        if !settings.url.is_empty() && network::distance(&settings.url) > Level::AirGapped {
            let staying = self.staying()?.into_iter();
            speaker.staying = staying.map(|source| source.path).collect();
        }
        Ok(speaker)
    }
}

impl Speaker {
    /// A voice by the settings, for what may be said to any machine of this network;
    /// [`App::speaker`] keeps back what may not.
    ///
    /// # Errors
    /// [`BadRequest`] where nothing is set that could speak, or it is too far away.
    pub fn new(settings: &Speech) -> Result<Self, Failure> {
        network::near_for_speech(&settings.url)?;
        let command = if settings.url.is_empty() {
            &settings.command
        } else {
            &settings.player
        };
        if command.is_empty() {
            return Err(no_voice("no command is set").into());
        }
        let (sentences, heard) = channel();
        let settings = settings.clone();
        let thread = std::thread::Builder::new()
            .name("coho-speech".into())
            .spawn(move || speak(&settings, &heard))
            .map_err(|error| no_voice(&error.to_string()))?;
        Ok(Self {
            held: String::new(),
            staying: Vec::new(),
            kept: None,
            sentences: Some(sentences),
            thread: Some(thread),
        })
    }

    /// Hears of an answer while it is made, and says of it what may be said.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Token(piece) if self.staying.is_empty() => self.take(piece),
            Event::Done(answer) if !self.staying.is_empty() => {
                self.kept = stays(&self.staying, answer).map(Path::to_owned);
                if self.kept.is_none() {
                    self.take(&answer.answer);
                }
            }
            _ => {}
        }
    }

    /// Takes a piece of the answer; what is a whole sentence is said.
    pub fn take(&mut self, piece: &str) {
        self.held.push_str(piece);
        // A sentence has ended when another has begun.
        while let [first, second, ..] = sentence::sentences(&self.held).as_slice() {
            let (end, next) = (first.end, second.start);
            let sentence = self.held[..end].to_owned();
            self.held.drain(..next);
            self.say(&sentence);
        }
    }

    fn say(&self, sentence: &str) {
        let sentence = said(sentence);
        let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
        if let (Some(sentences), true) = (&self.sentences, sentence.contains(char::is_alphanumeric))
        {
            // Who cannot speak has said why.
            let _ = sentences.send(sentence);
        }
    }

    /// Says what is left, and waits until all is said.
    ///
    /// # Errors
    /// [`BadRequest`] where it could not be said, or may not be.
    pub fn end(mut self) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.held);
        self.say(&rest);
        self.sentences = None;
        let thread = self.thread.take();
        let outcome = thread.and_then(|thread| thread.join().ok());
        if let Some(folder) = self.kept {
            return Err(BadRequest::new(
                "speech_would_leave",
                format!(
                    "the answer is not read aloud: {} never leaves this machine, and the speech \
                     server is on another one",
                    folder.display()
                ),
                "set `speech.url` to a server on this machine, or to nothing, for `speech.command`",
            )
            .into());
        }
        outcome.unwrap_or(Ok(()))
    }
}

/// The folder, of these, that an answer rests on. What a language model wrote may be of any passage
/// that it read; quotes are of those that are cited.
fn stays<'a>(staying: &'a [PathBuf], answer: &Answer) -> Option<&'a Path> {
    let written = answer.model.is_some();
    let read = answer.retrieval.hits.iter().filter(|_| written);
    let read = read.map(|hit| hit.path.as_path());
    let cited = answer.citations.iter().map(|cited| cited.path.as_path());
    first_below(staying, cited.chain(read))
}

/// The first of these folders that one of the files lies in.
fn first_below<'a, 'b>(
    folders: &'a [PathBuf],
    mut files: impl Iterator<Item = &'b Path>,
) -> Option<&'a Path> {
    files.find_map(|file| {
        let folder = folders.iter().find(|folder| lies_in(file, folder));
        folder.map(PathBuf::as_path)
    })
}

fn no_voice(reason: &str) -> BadRequest {
    BadRequest::new(
        "no_voice",
        format!("the answer cannot be read aloud: {reason}"),
        "install espeak-ng, or set `speech.command` to what reads text from its standard input",
    )
}

fn speak(settings: &Speech, sentences: &Receiver<String>) -> Result<(), Failure> {
    for sentence in sentences {
        if settings.url.is_empty() {
            run(&settings.command, format!("{sentence}\n").as_bytes())?;
        } else {
            let sound = speech::spoken(&settings.url, &settings.model, &settings.voice, &sentence)?;
            run(&settings.player, &sound)?;
        }
    }
    Ok(())
}

fn run(command: &[String], input: &[u8]) -> Result<(), BadRequest> {
    let [program, arguments @ ..] = command else {
        return Err(no_voice("no command is set"));
    };
    let failed = |error: std::io::Error| no_voice(&format!("{program}: {error}"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(no_voice(&format!("{program} ended with {status}")));
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_folder_that_stays_is_told_from_what_lies_beside_it() {
        let folders = ["/home/a/diary", "/home/a/bank", "/home/a/\u{200f}x"].map(PathBuf::from);
        let check = |files: &[&str], expected: Option<&str>| {
            let found = first_below(&folders, files.iter().map(Path::new));
            assert_eq!(found, expected.map(Path::new), "{files:?}");
        };
        check(&[], None);
        check(&["/home/a/notes/x.md", "/home/a/diary.md"], None);
        check(&["/home/a/diary2/x.md"], None);
        check(
            &["/home/a/\\xE2\\x80\\x8Fx/y.md"],
            Some("/home/a/\u{200f}x"),
        );
        check(
            &["/home/a/notes/x.md", "/home/a/bank/deep/x.md"],
            Some("/home/a/bank"),
        );
    }

    #[test]
    fn nothing_is_said_elsewhere_before_it_is_known_what_it_rests_on() {
        let (sentences, heard) = channel();
        let mut speaker = Speaker {
            held: String::new(),
            staying: vec!["/home/a/diary".into()],
            kept: None,
            sentences: Some(sentences),
            thread: None,
        };
        let whole = "The door is open. It is new. ";
        speaker.hear(&Event::Token(whole.into()));
        assert!(heard.try_recv().is_err() && speaker.held.is_empty());
        speaker.staying.clear();
        speaker.hear(&Event::Token(whole.into()));
        assert_eq!(heard.try_recv().unwrap(), "The door is open.");
        speaker.kept = Some("/home/a/diary".into());
        let refused = speaker.end().unwrap_err().to_string();
        assert!(refused.contains("never leaves"), "{refused}");
    }
}
