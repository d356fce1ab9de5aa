//! Reading aloud: sentence by sentence while the answer is still being written.
//!
//! By a command that the owner sets, which reads a sentence from its standard input; or by a speech
//! server with OpenAI's route, on this machine or in its network, and a command that plays what it
//! says.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::network::{self, Level};
use crate::domain::context;
use crate::engine::speech;
use crate::error::{BadRequest, Failure};
use crate::flow::evaluate::answers::said;
use crate::settings::Speech;

/// Says sentences one after the other, on a thread of its own.
pub struct Speaker {
    held: String,
    sentences: Option<Sender<String>>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl Speaker {
    /// A voice by the settings.
    ///
    /// # Errors
    /// [`BadRequest`] where nothing is set that could speak, or it is too far away.
    pub fn new(settings: &Speech) -> Result<Self, Failure> {
        if !settings.url.is_empty() && network::distance(&settings.url) == Level::Hybrid {
            return Err(BadRequest::new(
                "speech_too_far",
                format!("{} is not on this machine or in its network", settings.url),
                "set `speech.url` to a server of your own, or to nothing",
            )
            .into());
        }
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
            sentences: Some(sentences),
            thread: Some(thread),
        })
    }

    /// Takes a piece of the answer; what is a whole sentence is said.
    pub fn take(&mut self, piece: &str) {
        self.held.push_str(piece);
        // A sentence has ended when another has begun.
        while let [first, second, ..] = context::sentences(&self.held).as_slice() {
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
    /// [`BadRequest`] where it could not be said.
    pub fn end(mut self) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.held);
        self.say(&rest);
        self.sentences = None;
        let thread = self.thread.take();
        let outcome = thread.and_then(|thread| thread.join().ok());
        outcome.unwrap_or(Ok(()))
    }
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
