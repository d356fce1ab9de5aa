//! The layers: defaults, the file over them, the environment over that and flags over all; and the file
//! as it is written.
//!
//! A key or a value that is wrong is refused with the name of the layer that it stands in.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::ranges::check_ranges;
use super::{Settings, SettingsError};
use crate::error::nearest;

/// Variables that are not settings.
const OTHER_VARIABLES: &[&str] = &[
    "COHO_HOME",
    "COHO_CONFIG",
    "COHO_MODELS",
    "COHO_LOG",
    "COHO_EVAL_DATA",
    "COHO_FAIL",
];

/// The settings by file, environment and flags. `flags` are pairs of `section.key` and a value as
/// it would stand in the file.
///
/// # Errors
/// [`SettingsError`].
pub fn resolve(config: &Path, flags: &[(&str, String)]) -> Result<Settings, SettingsError> {
    let file = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(SettingsError::File {
                path: config.to_owned(),
                reason: error.to_string(),
            });
        }
    };
    let mut settings = of_text(&config.display().to_string(), &file)?;
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with("COHO_") && !value.is_empty())
        .collect();
    for (name, value) in environment {
        if OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        match key_of_variable(&name) {
            Some(key) => settings = with(settings, &name, &key, &value)?,
            None => unknown_variable(&name)?,
        }
    }
    for (key, value) in flags {
        // Flags are called as their settings are, without the section.
        let name = key.rsplit('.').next().unwrap_or(key).replace('_', "-");
        settings = with(settings, &format!("--{name}"), key, value)?;
    }
    check_ranges(&settings)?;
    Ok(settings)
}

/// The settings in the text of a file called `origin`.
///
/// # Errors
/// [`SettingsError`].
pub fn of_text(origin: &str, text: &str) -> Result<Settings, SettingsError> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| SettingsError::File {
            path: PathBuf::from(origin),
            reason: without_addresses(error.to_string().trim()),
        })?;
    check_keys(origin, &table)?;
    parse(origin, &table)
}

fn defaults() -> Table {
    Table::try_from(Settings::default()).expect("the settings are a table")
}

/// All keys, as `section.key` or `section.part.key`.
pub fn keys() -> Vec<String> {
    leaves(&defaults(), "")
}

/// The keys of a table that hold no table, below `above`.
fn leaves(table: &Table, above: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        match value.as_table() {
            Some(inner) => keys.extend(leaves(inner, &format!("{above}{name}."))),
            None => keys.push(format!("{above}{name}")),
        }
    }
    keys
}

pub(super) fn variable_of_key(key: &str) -> String {
    format!("COHO_{}", key.replace('.', "_").to_uppercase())
}

fn key_of_variable(name: &str) -> Option<String> {
    keys().into_iter().find(|key| variable_of_key(key) == name)
}

/// A slip of the hand is an error; a stranger's variable is none of ours.
fn unknown_variable(name: &str) -> Result<(), SettingsError> {
    let variables: Vec<String> = keys().iter().map(|key| variable_of_key(key)).collect();
    let known = variables.iter().map(String::as_str);
    match nearest(name, known.chain(OTHER_VARIABLES.iter().copied())) {
        Some(near) if strsim::damerau_levenshtein(name, near) <= 2 => {
            Err(SettingsError::UnknownKey {
                origin: "environment".into(),
                key: name.into(),
                nearest: Some(near.into()),
            })
        }
        _ => {
            tracing::warn!(name, "unknown environment variable");
            Ok(())
        }
    }
}

fn check_keys(origin: &str, table: &Table) -> Result<(), SettingsError> {
    let unknown = |key: String, known: &[String]| SettingsError::UnknownKey {
        origin: origin.to_owned(),
        nearest: nearest(&key, known.iter().map(String::as_str)).map(ToOwned::to_owned),
        key,
    };
    let sections: Vec<String> = defaults().keys().cloned().collect();
    if let Some(section) = table.keys().find(|section| !sections.contains(section)) {
        return Err(unknown(section.clone(), &sections));
    }
    let known = keys();
    let part = |key: &String| known.iter().any(|k| k.starts_with(&format!("{key}.")));
    match leaves(table, "")
        .into_iter()
        // An empty table is no mistake.
        .find(|key| !known.contains(key) && !part(key))
    {
        Some(key) => Err(unknown(key, &known)),
        None => Ok(()),
    }
}

fn parse(origin: &str, table: &Table) -> Result<Settings, SettingsError> {
    let mut table = table.clone();
    name_no_host(&mut table);
    table
        .try_into()
        .map_err(|error: toml::de::Error| SettingsError::Value {
            origin: origin.to_owned(),
            reason: in_words(without_addresses(error.to_string().trim()).replace('\n', " ")),
        })
}

/// What is said of a line or a value, without the address in it: that may hold a password or a key.
fn without_addresses(said: &str) -> String {
    let shown = |line: &str| {
        let Some(at) = line.find("://") else {
            return line.to_owned();
        };
        let (before, behind) = line.split_at(at + "://".len());
        let end = behind.rfind(['"', '\'']).unwrap_or(behind.len());
        // A mark within a password ends no address.
        let rest = &behind[end..];
        let is_within =
            rest.chars().nth(1).is_some_and(char::is_alphanumeric) || rest.contains('@');
        format!("{before}…{}", if is_within { "" } else { rest })
    };
    said.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// What a value is said to be, with the names of Rust's types in words.
fn in_words(reason: String) -> String {
    let words = [
        ("expected usize", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        (
            "expected u32",
            "expected a whole number from 0 to 4294967295",
        ),
        (
            "invalid socket address syntax",
            "expected an address and a port from 0 to 65535, such as `127.0.0.1:7621`,",
        ),
    ];
    let told = |said: String, (of_rust, plain): (&str, &str)| said.replace(of_rust, plain);
    words.into_iter().fold(reason, told)
}

/// `localhost:7621`, which people write, as the address that they mean.
fn name_no_host(table: &mut Table) {
    let serve = table.get_mut("serve").and_then(Value::as_table_mut);
    if let Some(Value::String(listen)) = serve.and_then(|serve| serve.get_mut("listen"))
        && let Some(port) = listen.strip_prefix("localhost:")
    {
        *listen = format!("127.0.0.1:{port}");
    }
}

/// The tables that a key lies in, outermost first, and its name in the last.
fn segments(key: &str) -> (std::str::Split<'_, char>, &str) {
    let (sections, name) = key.rsplit_once('.').expect("keys have a section");
    (sections.split('.'), name)
}

fn with(
    settings: Settings,
    origin: &str,
    key: &str,
    value: &str,
) -> Result<Settings, SettingsError> {
    let mut table = Table::try_from(settings).expect("the settings are a table");
    let (mut sections, name) = segments(key);
    let inner = sections.try_fold(&mut table, |table, section| {
        table.get_mut(section).and_then(Value::as_table_mut)
    });
    let slot = inner
        .and_then(|values| values.get_mut(name))
        .expect("only known keys come here");
    *slot = match slot {
        Value::String(_) => Value::String(value.to_owned()),
        Value::Array(_) if !value.trim_start().starts_with('[') => {
            let items = value.split(',').map(|v| Value::String(v.trim().to_owned()));
            Value::Array(items.collect())
        }
        // A word that is no TOML value stays a word, so that the complaint names it.
        _ => format!("v = {value}")
            .parse::<Table>()
            .ok()
            .and_then(|mut parsed| parsed.remove("v"))
            .unwrap_or_else(|| Value::String(value.to_owned())),
    };
    parse(&format!("{origin} (`{key}`)"), &table)
}

/// Writes the settings file with every default commented out, readable by its owner alone; an
/// existing file is left alone.
///
/// # Errors
/// What the system says.
pub fn write_default(config: &Path) -> std::io::Result<()> {
    if config.exists() {
        return Ok(());
    }
    if let Some(folder) = config.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut text = String::from(
        "# coho settings. Every line shows a default; remove the `#` to change it.\n\
         # The environment (COHO_SECTION_KEY) and flags win over this file.\n",
    );
    for line in toml::to_string(&Settings::default())
        .unwrap_or_default()
        .lines()
    {
        if !line.is_empty() && !line.starts_with('[') {
            text.push_str("# ");
        }
        text.push_str(line);
        text.push('\n');
    }
    write_private(config, text.as_bytes())
}

/// Writes a file that only its owner can read, in one step.
///
/// # Errors
/// What the system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let draft = path.with_file_name(name);
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

/// Changes one key in the settings file and keeps everything else as it stands.
///
/// # Errors
/// [`SettingsError::File`].
pub fn set_in_file(config: &Path, key: &str, value: &str) -> Result<(), SettingsError> {
    let failed = |reason: String| SettingsError::File {
        path: config.to_owned(),
        reason,
    };
    write_default(config).map_err(|error| failed(error.to_string()))?;
    // A file that lies elsewhere, with a link to it here, is changed there.
    let file = config.canonicalize().unwrap_or_else(|_| config.to_owned());
    let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
    let mut document: toml_edit::DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| failed(error.to_string()))?;
    let (sections, name) = segments(key);
    let inner = sections.fold(document.as_item_mut(), |table, section| &mut table[section]);
    inner[name] = toml_edit::value(value);
    write_private(&file, document.to_string().as_bytes()).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::error::Fault;

    pub(in crate::settings) fn of_file(text: &str) -> Result<Settings, String> {
        of_text("file", text)
            .map_err(|error| format!("{error}; {}", error.hint().unwrap_or_default()))
    }

    #[test]
    fn a_wrong_key_names_the_nearest_right_one() {
        let check = |text: &str, words: &[&str]| {
            let error = of_file(text).unwrap_err();
            words
                .iter()
                .for_each(|w| assert!(error.contains(w), "{error}"));
        };
        check("[serve]\nlisten_on = '127.0.0.1:1'", &["serve.listen_on"]);
        check(
            "[watch]\ndebounce = 5",
            &["watch.debounce", "watch.debounce_ms"],
        );
        check("[serv]\n", &["serv", "did you mean `serve`?"]);
        check("[serve]\nlisten = 7", &["listen"]);
        check(
            "[models.server]\nurll = ''",
            &["models.server.urll", "did you mean `models.server.url`?"],
        );
        check("[models]\nserver = 'http://x'", &["server"]);
        assert_eq!(of_file(""), Ok(Settings::default()));
    }

    #[test]
    fn no_complaint_shows_what_opens_a_server() {
        let check = |text: &str, words: &str| {
            let error = of_file(text).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("secret"), "{error}");
        };
        check("[models.server]\nurl = \"http://me:secret@nas", "line 2");
        check(
            "[models.server]\nurl = \"http://me:it'secret@nas",
            "http://…",
        );
        check(
            "[models.server]\nurl = \"http://me:\"secret@nas\"",
            "http://…",
        );
        check(
            "[models]\nthreads = \"http://me:secret@nas\"",
            "whole number",
        );
        check("[models]\nserver = 'http://nas?key=secret'", "server");
    }

    #[test]
    fn later_layers_win() {
        let set = |key: &str, value: &str| with(Settings::default(), "test", key, value);
        assert_eq!(set("answer.k", "7").unwrap().answer.k, 7);
        let listen = set("serve.listen", "127.0.0.1:9").unwrap().serve.listen;
        assert_eq!(listen.port(), 9);
        let listen = set("serve.listen", "localhost:9").unwrap().serve.listen;
        assert_eq!(listen, SocketAddr::from(([127, 0, 0, 1], 9)));
        let hosts = set("serve.allowed_hosts", "a.local, b.local").unwrap();
        assert_eq!(hosts.serve.allowed_hosts, ["a.local", "b.local"]);
        assert!(set("answer.k", "many").is_err());
        let models = set("models.server.url", "http://127.0.0.1:8080/v1").unwrap();
        assert_eq!(models.models.server.url, "http://127.0.0.1:8080/v1");
        let lora = set("models.lora", "/models/mine.gguf").unwrap().models.lora;
        assert_eq!(lora, Path::new("/models/mine.gguf"));
        assert_eq!(
            key_of_variable("COHO_MODELS_SERVER_URL").as_deref(),
            Some("models.server.url")
        );
        assert_eq!(
            key_of_variable("COHO_ANSWER_MAX_TOKENS").as_deref(),
            Some("answer.max_tokens")
        );
    }

    #[test]
    fn what_is_no_such_number_is_told_with_what_would_be_one() {
        let check = |text: &str, words: &[&str]| {
            let error = of_file(text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{error}");
            }
        };
        check("[search]\nk = -1", &["search.k", "a whole number from 0"]);
        check("[watch]\npoll_s = 1.5", &["watch.poll_s", "from 0"]);
        check(
            "[writeback]\nday_units = 4294967296",
            &["writeback.day_units", "to 4294967295"],
        );
        check(
            "[serve]\nlisten = '127.0.0.1:99999'",
            &["serve.listen", "a port from 0 to 65535"],
        );
    }

    #[test]
    fn the_default_file_means_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/config.toml");
        write_default(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let bare: String = text
            .lines()
            .map(|l| l.trim_start_matches("# ").to_owned() + "\n")
            .skip(2)
            .collect();
        // Clients of others know the port.
        assert!(text.contains("# listen = \"127.0.0.1:7621\"\n"), "{text}");
        assert_eq!(of_file(&text), Ok(Settings::default()));
        assert_eq!(of_file(&bare), Ok(Settings::default()));
        set_in_file(&path, "models.generator", "none").unwrap();
        set_in_file(&path, "models.server.model", "large").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let models = of_file(&text).unwrap().models;
        assert_eq!(models.generator, "none");
        assert_eq!(models.server.model, "large");
        assert!(text.contains("# listen"));
    }

    #[cfg(unix)]
    #[test]
    fn a_settings_file_that_lies_elsewhere_is_changed_there() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("mine.toml"), folder.path().join("link"));
        std::fs::write(&file, "[models]\n").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        set_in_file(&link, "models.generator", "none").unwrap();
        assert!(link.is_symlink());
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(of_file(&text).unwrap().models.generator, "none");
    }
}
