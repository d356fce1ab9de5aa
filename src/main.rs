//! The process: parse, run, print an error with its causes and hints, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if let Some((coho::extract::worker::SUBCOMMAND, rest)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return ExitCode::from(coho::extract::worker::main(rest));
    }
    coho::cli::main()
}
