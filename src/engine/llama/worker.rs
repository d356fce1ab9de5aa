//! The model's process: takes requests on stdin, says what comes of them on stdout.

use std::io::Write;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Instant;

use super::batch::Batcher;
use super::protocol::{News, Reply, Request, Trouble, Work, number_of};
use super::states::States;
use super::{architecture, context, load_model, reencode, template};
use crate::engine::generate::{Description, LlamaOptions, MOST_PROMPTS};
use crate::engine::resident_bytes;

/// The hidden subcommand that turns the binary into a model's process.
pub const SUBCOMMAND: &str = "llama-worker";

/// Sequences beyond those that are worked on at once: what has ended is remembered there.
const REMEMBERED: usize = 2;

/// Runs until stdin closes. The first line are the options, as JSON.
pub fn run(arguments: &[String]) -> std::process::ExitCode {
    if let [word, from, to] = arguments
        && word == reencode::REENCODE
    {
        return reencode::run(from, to);
    }
    let mut first = String::new();
    let _ = std::io::stdin().read_line(&mut first);
    let Ok(options) = serde_json::from_str::<LlamaOptions>(&first) else {
        eprintln!("{SUBCOMMAND} is for coho itself");
        return std::process::ExitCode::from(2);
    };
    let (inbox, requests) = mpsc::channel();
    let listener = std::thread::Builder::new().name("coho-inbox".into());
    let listening = listener.spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            match serde_json::from_str::<Request>(&line) {
                Ok(request) => drop(inbox.send(request)),
                Err(error) => {
                    let id = number_of(&line).unwrap_or(0);
                    tell(id, News::Failed(Trouble::run(&error)));
                }
            }
        }
        // Whoever started this has gone.
        std::process::exit(0);
    });
    if listening.is_err() {
        return std::process::ExitCode::FAILURE;
    }
    match serve(&options, &requests) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(trouble) => {
            tell(0, News::Failed(trouble));
            std::process::ExitCode::from(3)
        }
    }
}

fn tell(id: u64, news: News) {
    let line = serde_json::to_string(&Reply { id, news });
    let mut stdout = std::io::stdout().lock();
    // A reader that has gone ends this process by closing its stdin too.
    let _ = line.map(|line| writeln!(stdout, "{line}"));
    let _ = stdout.flush();
}

fn serve(options: &LlamaOptions, requests: &Receiver<Request>) -> Result<(), Trouble> {
    let started = Instant::now();
    let mut told = 0.0;
    let (model, mut adapter) = load_model(options, move |share| {
        if share - told > 0.02 || share >= 1.0 {
            told = share;
            tell(0, News::Loading(share));
        }
    })?;
    let parallel = options.parallel.max(1);
    let sequences = parallel + REMEMBERED + MOST_PROMPTS;
    let context = context(&model, adapter.as_mut(), options, sequences)?;
    let states = States::open(options);
    let mut batcher = Batcher::new(&model, context, (parallel, sequences), states);
    let load = started.elapsed();
    let describe = |batcher: &Batcher<'_>| Description {
        architecture: architecture(&model),
        parameters: model.n_params(),
        context_tokens: batcher.per_sequence(),
        has_template: template::has_template(&model),
        load,
        memory_bytes: resident_bytes(),
    };
    loop {
        let request = if batcher.is_idle() {
            requests.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            requests.try_recv()
        };
        let Request { id, work } = match request {
            Ok(request) => request,
            Err(TryRecvError::Empty) => {
                batcher.step(&mut tell);
                continue;
            }
            Err(TryRecvError::Disconnected) => return Ok(()),
        };
        let taken = match work {
            Work::Generate(prompt) => batcher.generate(id, *prompt),
            Work::Score(given) => batcher.score(id, &given),
            Work::Count(texts) => {
                let vocab = model.vocab();
                let count = |text: &String| vocab.tokenize(text.as_bytes(), false, false).len();
                tell(id, News::Counts(texts.iter().map(count).collect()));
                Ok(())
            }
            Work::Describe => {
                tell(id, News::Description(Box::new(describe(&batcher))));
                Ok(())
            }
            Work::Cancel => {
                batcher.cancel(id, &mut tell);
                Ok(())
            }
        };
        if let Err(trouble) = taken {
            tell(id, News::Failed(trouble));
        }
    }
}
