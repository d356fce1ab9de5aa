//! `coho mcp --print-config`: what a program that speaks MCP wants in its settings.
//!
//! The settings go to stdout, so that they can be piped; where they belong goes to stderr. No token
//! stands in them: the program starts coho itself, which finds its own.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::Session;
use crate::error::{BadRequest, Failure};
use crate::store::{Access, Store};

/// Programs that speak MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Client {
    /// Claude Code
    ClaudeCode,
    /// Claude Desktop
    ClaudeDesktop,
    /// Cursor
    Cursor,
    /// VS Code
    Vscode,
    /// Zed
    Zed,
    /// Windsurf
    Windsurf,
    /// Codex
    Codex,
    /// Goose
    Goose,
    /// Any other one
    Generic,
}

/// Prints the settings; refuses the name of a token that there is not, as the program would be.
pub(super) fn print(
    session: &Session,
    client: Client,
    token: Option<&str>,
) -> Result<ExitCode, Failure> {
    if let Some(name) = token {
        let store = Store::open(&session.places.home, Access::Read)?;
        let tokens = store.ledger().read(|snapshot| snapshot.tokens())?;
        if !tokens.iter().any(|grant| grant.name == name) {
            return Err(BadRequest::new(
                "no_such_token",
                format!("there is no token `{name}`"),
                "`coho token list` shows them; `coho token add` makes one",
            )
            .into());
        }
    }
    let program = std::env::current_exe().unwrap_or_else(|_| "coho".into());
    let program = program.display().to_string();
    let mut arguments = vec!["mcp".to_owned()];
    if let Some(token) = token {
        arguments.extend(["--as".to_owned(), token.to_owned()]);
    }
    // What this process was told by its environment and its flags the other will not hear.
    let told = session.places.told().into_iter();
    let environment = told.map(|(name, value)| (name.to_owned(), value.into()));
    let environment: Map<String, Value> = environment.collect();
    let (settings, place) = settings(client, &program, &arguments, &environment);
    out!("{settings}");
    note!("{place}");
    Ok(ExitCode::SUCCESS)
}

fn settings(
    client: Client,
    program: &str,
    arguments: &[String],
    environment: &Map<String, Value>,
) -> (String, &'static str) {
    let mut server = json!({ "command": program, "args": arguments });
    if !environment.is_empty() {
        server["env"] = Value::Object(environment.clone());
    }
    let below = |key: &str| pretty(&json!({ key: { "coho": server.clone() } }));
    match client {
        Client::ClaudeCode => (
            below("mcpServers"),
            "into .mcp.json of a project, or by `claude mcp add`",
        ),
        Client::ClaudeDesktop => (
            below("mcpServers"),
            "into claude_desktop_config.json (Settings > Developer > Edit Config)",
        ),
        Client::Cursor => (below("mcpServers"), "into ~/.cursor/mcp.json"),
        Client::Windsurf => (
            below("mcpServers"),
            "into ~/.codeium/windsurf/mcp_config.json",
        ),
        Client::Generic => (
            below("mcpServers"),
            "as most programs that speak MCP read it",
        ),
        Client::Vscode => {
            server["type"] = "stdio".into();
            let settings = json!({ "servers": { "coho": server } });
            (pretty(&settings), "into .vscode/mcp.json")
        }
        Client::Zed => {
            let settings = json!({ "context_servers": { "coho": server } });
            (pretty(&settings), "into Zed's settings.json")
        }
        Client::Codex => (
            toml(program, arguments, environment),
            "into ~/.codex/config.toml",
        ),
        Client::Goose => {
            let envs = Value::Object(environment.clone());
            let settings = json!({ "extensions": { "coho": {
                "name": "coho", "type": "stdio", "enabled": true, "timeout": 300,
                "cmd": program, "args": arguments, "envs": envs,
            }}});
            let text = serde_yaml_ng::to_string(&settings).unwrap_or_default();
            (
                text.trim_end().to_owned(),
                "into ~/.config/goose/config.yaml",
            )
        }
    }
}

fn pretty(settings: &Value) -> String {
    serde_json::to_string_pretty(settings).unwrap_or_default()
}

fn toml(program: &str, arguments: &[String], environment: &Map<String, Value>) -> String {
    let mut document = toml_edit::DocumentMut::new();
    let mut servers = toml_edit::Table::new();
    servers.set_implicit(true);
    let mut server = toml_edit::Table::new();
    server["command"] = toml_edit::value(program);
    server["args"] = toml_edit::value(arguments.iter().collect::<toml_edit::Array>());
    if !environment.is_empty() {
        let mut env = toml_edit::InlineTable::new();
        for (name, value) in environment {
            env.insert(name, value.as_str().unwrap_or_default().into());
        }
        server["env"] = toml_edit::value(env);
    }
    servers["coho"] = toml_edit::Item::Table(server);
    document["mcp_servers"] = toml_edit::Item::Table(servers);
    document.to_string().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_programs_settings_can_be_read_by_it() {
        let environment = json!({ "COHO_HOME": "/a b/\"c\"" });
        let environment = environment.as_object().unwrap();
        let arguments = ["mcp".to_owned()];
        for client in Client::value_variants() {
            let (text, place) = settings(*client, "/opt/c\\oho", &arguments, environment);
            assert!(!place.is_empty());
            let read: Value = match client {
                Client::Codex => {
                    serde_json::to_value(text.parse::<::toml::Table>().unwrap()).unwrap()
                }
                Client::Goose => serde_yaml_ng::from_str(&text).unwrap(),
                _ => serde_json::from_str(&text).unwrap(),
            };
            let servers = read.as_object().unwrap().values().next().unwrap();
            let server = &servers["coho"];
            let program = server.get("command").or_else(|| server.get("cmd"));
            assert_eq!(program.unwrap(), "/opt/c\\oho", "{text}");
            assert_eq!(server["args"][0], "mcp");
            let env = server.get("env").or_else(|| server.get("envs")).unwrap();
            assert_eq!(env["COHO_HOME"], "/a b/\"c\"");
        }
    }
}
