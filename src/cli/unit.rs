//! `coho service`: coho as a service of the one who is logged in, by systemd or launchd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Subcommand;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Session, remote::Remote, show};
use crate::error::{BadRequest, Failure};
use crate::settings::Places;
use crate::store::StoreError;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Start coho with your session, now and later
    Install {
        /// Only print what would be written
        #[arg(long)]
        print: bool,
    },
    /// Undo that
    Remove,
    /// Say whether it is installed and answers
    Status,
}

/// `coho service`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceState {
    /// The file that tells the system of it.
    pub file: PathBuf,
    /// Is it there?
    pub installed: bool,
    /// Does a service answer for this data folder?
    pub answers: bool,
    /// What the system said where it could not be told.
    pub problem: Option<String>,
}

/// Who starts services.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Starter {
    Systemd,
    Launchd,
}

const LABEL: &str = "org.coho.serve";

fn starter() -> Result<Starter, BadRequest> {
    match std::env::consts::OS {
        "linux" => Ok(Starter::Systemd),
        "macos" => Ok(Starter::Launchd),
        other => Err(BadRequest::new(
            "no_services",
            format!("coho knows no way to install a service on {other}"),
            "have `coho serve` started by what starts your other programs",
        )),
    }
}

fn file(starter: Starter) -> Result<PathBuf, Failure> {
    let missing = || BadRequest::new("no_home", "this account has no home folder", "set HOME");
    let folders = directories::BaseDirs::new().ok_or_else(missing)?;
    Ok(match starter {
        Starter::Systemd => folders.config_dir().join("systemd/user/coho.service"),
        Starter::Launchd => folders
            .home_dir()
            .join(format!("Library/LaunchAgents/{LABEL}.plist")),
    })
}

pub(super) fn run(session: &Session, action: &Action) -> Result<ExitCode, Failure> {
    let starter = starter()?;
    let path = file(starter)?;
    let mut problem = None;
    match action {
        Action::Install { print } => {
            let text = text(starter, &session.places);
            if *print {
                out!("{}", text.trim_end());
                return Ok(ExitCode::SUCCESS);
            }
            let io = |source| StoreError::io(&path, source);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(io)?;
            }
            fs::write(&path, text).map_err(io)?;
            problem = tell(starter, &path, true);
        }
        Action::Remove => {
            // Stopped first: without its file the system knows it no more.
            problem = tell(starter, &path, false).filter(|_| path.exists());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io(&path, error).into());
                }
                _ => {}
            }
        }
        Action::Status => {}
    }
    let state = ServiceState {
        installed: path.exists(),
        answers: Remote::find(&session.places).is_some_and(|remote| remote.is_there()),
        file: path,
        problem,
    };
    if session.json {
        show::json(&state);
    } else {
        let is = |yes: bool| if yes { "" } else { "not " };
        out!(
            "{}installed ({}), {}answering",
            is(state.installed),
            state.file.display(),
            is(state.answers)
        );
        if let Some(problem) = &state.problem {
            note!("the system could not be told: {problem}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the system; what it said where that failed.
fn tell(starter: Starter, path: &Path, start: bool) -> Option<String> {
    let place = path.display().to_string();
    let commands: Vec<Vec<&str>> = match (starter, start) {
        (Starter::Systemd, true) => vec![
            vec!["systemctl", "--user", "daemon-reload"],
            vec!["systemctl", "--user", "enable", "--now", "coho.service"],
        ],
        (Starter::Systemd, false) => {
            vec![vec![
                "systemctl",
                "--user",
                "disable",
                "--now",
                "coho.service",
            ]]
        }
        (Starter::Launchd, true) => vec![vec!["launchctl", "load", "-w", &place]],
        (Starter::Launchd, false) => vec![vec!["launchctl", "unload", "-w", &place]],
    };
    for command in commands {
        let told = Command::new(command[0]).args(&command[1..]).output();
        let said = match told {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        return Some(format!("`{}`: {said}", command.join(" ")));
    }
    None
}

fn text(starter: Starter, places: &Places) -> String {
    // What this process was told, the service would not hear.
    let told = places.told();
    let program = std::env::current_exe().unwrap_or_else(|_| "coho".into());
    let program = program.display().to_string();
    match starter {
        Starter::Systemd => systemd(&program, &told),
        Starter::Launchd => launchd(&program, &told),
    }
}

/// As systemd reads a word: quoted, with its own specifiers doubled.
fn word(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('%', "%%").replace('$', "$$"))
}

fn systemd(program: &str, environment: &[(&str, String)]) -> String {
    let lines = environment.iter().map(|(name, value)| {
        let said = word(&format!("{name}={value}")).replace("$$", "$");
        format!("Environment={said}\n")
    });
    let environment: String = lines.collect();
    format!(
        "[Unit]\n\
         Description=coho: a knowledge base that learns from the questions it is asked\n\n\
         [Service]\n\
         ExecStart={} serve\n\
         {environment}\
         Restart=on-failure\n\
         RestartSec=5\n\
         Nice=5\n\
         UMask=0077\n\
         NoNewPrivileges=yes\n\
         LockPersonality=yes\n\
         RestrictRealtime=yes\n\n\
         [Install]\n\
         WantedBy=default.target\n",
        word(program)
    )
}

fn launchd(program: &str, environment: &[(&str, String)]) -> String {
    let safe = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let pairs = environment
        .iter()
        .map(|(name, value)| format!("    <key>{name}</key><string>{}</string>\n", safe(value)));
    let pairs: String = pairs.collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n  <key>Label</key><string>{LABEL}</string>\n  \
         <key>ProgramArguments</key>\n  <array><string>{}</string><string>serve</string></array>\n  \
         <key>EnvironmentVariables</key>\n  <dict>\n{pairs}  </dict>\n  \
         <key>RunAtLoad</key><true/>\n  <key>KeepAlive</key>\n  <dict><key>SuccessfulExit</key><false/></dict>\n  \
         <key>ProcessType</key><string>Background</string>\n  <key>Umask</key><integer>63</integer>\n</dict>\n</plist>\n",
        safe(program)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_as_each_system_reads_them() {
        let environment = [("COHO_HOME", "/a b/50%/<c>&".to_owned())];
        let unit = systemd("/opt/my \"own\"/coho", &environment);
        assert!(
            unit.contains("ExecStart=\"/opt/my \\\"own\\\"/coho\" serve\n"),
            "{unit}"
        );
        assert!(
            unit.contains("Environment=\"COHO_HOME=/a b/50%%/<c>&\"\n"),
            "{unit}"
        );
        let plist = launchd("/opt/coho", &environment);
        assert!(plist.contains("/a b/50%/&lt;c&gt;&amp;"), "{plist}");
    }
}
