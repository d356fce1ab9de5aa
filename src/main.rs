//! The process: parse, run, print an error with its causes and hints, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    coho::telemetry::forbid();
    coho::memory::share_arenas();
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let first = arguments.split_first();
    match first.map(|(first, rest)| (first.as_str(), rest)) {
        Some((coho::extract::worker::SUBCOMMAND, rest)) => {
            ExitCode::from(coho::extract::worker::main(rest))
        }
        Some((coho::engine::llama::worker::SUBCOMMAND, rest)) => {
            coho::engine::llama::worker::run(rest)
        }
        _ => coho::cli::main(),
    }
}
