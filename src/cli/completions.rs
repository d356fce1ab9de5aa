//! Completion scripts for shells, as `clap_complete` makes them, and what it leaves out.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::builder::PossibleValue;
use clap_complete::Shell;

use super::{Arguments, output, show};
use crate::error::Failure;
use crate::store::StoreError;

/// Prints the script for a shell.
pub(super) fn print(shell: Shell, json: bool) -> Result<ExitCode, Failure> {
    let script = script(shell);
    if json {
        show::json(&output::Completions {
            shell: shell.to_string(),
            script: String::from_utf8_lossy(&script).into_owned(),
        });
        return Ok(ExitCode::SUCCESS);
    }
    match std::io::stdout().lock().write_all(&script) {
        // A reader that has gone away (`| head`) has read enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(StoreError::io(Path::new("stdout"), error).into())
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "coho", &mut script);
    if shell == Shell::Fish {
        script.extend(values_for_fish(&command).into_bytes());
    }
    script
}

/// The values of what stands without a flag: fish's generator leaves them out.
fn values_for_fish(command: &clap::Command) -> String {
    let mut lines = String::new();
    for below in command.get_subcommands() {
        // Files are offered, too, where the command may want one.
        let files = if below.get_positionals().count() == 1 {
            " -f"
        } else {
            ""
        };
        for one in below.get_positionals() {
            let values = one.get_possible_values();
            let values: Vec<String> = values.iter().map(offered_by_fish).collect();
            if !values.is_empty() {
                let (name, values) = (below.get_name(), values.join("\n"));
                let _ = writeln!(
                    lines,
                    "complete -c coho -n \"__fish_coho_using_subcommand {name}\"{files} -a \"{values}\""
                );
            }
        }
    }
    lines
}

/// A value and what it means, between fish's double quotes.
fn offered_by_fish(value: &PossibleValue) -> String {
    let Some(help) = value.get_help() else {
        return value.get_name().to_owned();
    };
    let help = help.to_string();
    // Read twice: as a text in double quotes, then as one in single quotes.
    let single = help.replace('\\', "\\\\").replace('\'', "\\'");
    let double = single.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{}\\t'{}'", value.get_name(), double.replace('$', "\\$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fish_is_told_the_values_that_stand_without_a_flag() {
        let script = String::from_utf8(script(Shell::Fish)).unwrap();
        let check = |expected: &str| assert!(script.contains(expected), "{expected}");
        check(
            "complete -c coho -n \"__fish_coho_using_subcommand export\" -f -a \
             \"everything\\t'Units, questions, answers and feedback'\n",
        );
        check("complete -c coho -n \"__fish_coho_using_subcommand completions\" -f -a \"bash\n");
        check(
            "complete -c coho -n \"__fish_coho_using_subcommand import\" -a \
             \"bookmarks\\t'A browser\\\\'s bookmarks",
        );
    }

    #[test]
    fn what_a_value_means_is_quoted() {
        let check = |help: &'static str, expected: &str| {
            assert_eq!(
                offered_by_fish(&PossibleValue::new("a").help(help)),
                expected
            );
        };
        check("plain", "a\\t'plain'");
        check("it's", "a\\t'it\\\\'s'");
        check("a \"b\" $c", "a\\t'a \\\"b\\\" \\$c'");
        assert_eq!(offered_by_fish(&PossibleValue::new("a")), "a");
    }
}
