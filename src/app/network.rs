//! How far words can travel from this knowledge base, and what staying at home has spared.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outside::LeftSum;
use crate::airgap;
use crate::domain::generator::shown_address;
use crate::error::BadRequest;
use crate::settings::Settings;
use crate::store::answers::TokenTotals;

/// How far words can travel.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing leaves the machine.
    AirGapped,
    /// Something may go to other machines of the same network.
    LocalNetwork,
    /// Something may go further.
    Hybrid,
}

/// How far words can travel from here.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Network {
    /// By the settings.
    pub level: Level,
    /// Whether the system makes it impossible for this process to reach another machine.
    pub enforced: bool,
    /// What is reached, or may reach us, beyond this machine.
    pub beyond: Vec<String>,
    /// What left for the remote model.
    pub left: LeftSum,
}

/// Tokens that the language model read and wrote.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TokenUse {
    /// Read.
    pub prompt: u64,
    /// Written.
    pub generated: u64,
    /// What they would have cost at `answer.price_per_million`, where the owner set a price.
    pub spared: Option<f64>,
}

/// How far words can travel by these settings.
pub(super) fn of(settings: &Settings, left: LeftSum) -> Network {
    let mut level = Level::AirGapped;
    let mut beyond = Vec::new();
    let masked = ", masked, with passages of sources that may leave";
    for (url, what, how) in [
        (
            &settings.models.server.url,
            "questions and passages go to the model server",
            "",
        ),
        (
            &settings.remote.url,
            "what you ask with --remote goes to",
            masked,
        ),
        (
            &settings.speech.url,
            "answers that are read aloud go to",
            "",
        ),
    ] {
        let distance = distance(url);
        if !url.is_empty() && distance > Level::AirGapped {
            beyond.push(format!("{what} {}{how}", shown_address(url)));
            level = level.max(distance);
        }
    }
    let listen = settings.serve.listen;
    if !listen.ip().is_loopback() {
        beyond.push(format!("the service listens on {listen}"));
        level = level.max(Level::LocalNetwork);
    }
    Network {
        level,
        enforced: airgap::is_closed(),
        beyond,
        left,
    }
}

/// How far away an address is, by its name alone.
pub fn distance(url: &str) -> Level {
    let host = host_of(url);
    let private = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    // `fe80::1%eth0` names the way out too.
    let address = host.split('%').next().unwrap_or_default();
    match address.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => Level::AirGapped,
        Ok(ip) if private(ip) => Level::LocalNetwork,
        Err(_) if host.eq_ignore_ascii_case("localhost") => Level::AirGapped,
        Err(_) if is_near_name(host) => Level::LocalNetwork,
        _ => Level::Hybrid,
    }
}

/// Refuses an address far away that is not encrypted; `setting` is where it stands.
///
/// # Errors
/// [`BadRequest`].
pub fn encrypted_where_far(setting: &str, url: &str) -> Result<(), BadRequest> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let encrypted = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    if encrypted || url.is_empty() || distance(url) < Level::Hybrid {
        return Ok(());
    }
    Err(BadRequest::new(
        "remote_not_encrypted",
        format!(
            "`{setting}`: {} is far away, and not encrypted",
            shown_address(url)
        ),
        format!("give `{setting}` an address that begins with https://"),
    ))
}

/// Refuses a speech server that is not on this machine or in its network.
///
/// # Errors
/// [`BadRequest`].
pub fn near_for_speech(url: &str) -> Result<(), BadRequest> {
    if url.is_empty() || distance(url) < Level::Hybrid {
        return Ok(());
    }
    Err(BadRequest::new(
        "speech_too_far",
        format!(
            "`speech.url`: {} is not on this machine or in its network",
            shown_address(url)
        ),
        "set `speech.url` to a server of your own, or to nothing",
    ))
}

/// Refuses addresses in the settings that nothing may be sent to, before anything is.
///
/// # Errors
/// [`BadRequest`] that names the setting.
pub fn check_addresses(settings: &Settings) -> Result<(), BadRequest> {
    let (model, remote) = (&settings.models.server.url, &settings.remote.url);
    let speech = &settings.speech.url;
    for (setting, url) in [
        ("models.server.url", model),
        ("remote.url", remote),
        ("speech.url", speech),
    ] {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let known = scheme.is_some_and(|scheme| {
            ["http", "https"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
        });
        if !known && !url.is_empty() {
            let shown = shown_address(url);
            let what = format!("`{setting}`: {shown} is not the address of a server");
            let hint = "begin it with https://, or with http:// for a machine nearby";
            return Err(BadRequest::new("bad_setting", what, hint));
        }
    }
    encrypted_where_far("models.server.url", model)?;
    encrypted_where_far("remote.url", remote)?;
    near_for_speech(speech)
}

/// Tokens, and what they would have cost elsewhere.
pub(super) fn tokens(totals: TokenTotals, price_per_million: f64) -> TokenUse {
    #[expect(clippy::cast_precision_loss, reason = "a price needs no more digits")]
    let millions = (totals.prompt + totals.generated) as f64 / 1e6;
    TokenUse {
        prompt: totals.prompt,
        generated: totals.generated,
        spared: (price_per_million > 0.0).then_some(millions * price_per_million),
    }
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Is it a name that only this network knows?
fn is_near_name(host: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = host.rsplit('.').next().unwrap_or_default().to_lowercase();
    // Resolvers read `134744072`, `0x08080808` and `010.8.8.8` as addresses, which may be anywhere.
    let hexadecimal = end.strip_prefix("0x");
    let is_number = end.chars().all(|c| c.is_ascii_digit())
        || hexadecimal.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit()));
    let near = !host.contains('.') || matches!(&*end, "local" | "lan" | "internal");
    near && !is_number && host.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_by_addresses() {
        let cases = [
            ("http://127.0.0.1:8080/v1", Level::AirGapped),
            ("http://[::1]:8080", Level::AirGapped),
            ("http://localhost:11434", Level::AirGapped),
            ("http://192.168.1.7:8080", Level::LocalNetwork),
            ("http://[fd00::7]:8080/v1", Level::LocalNetwork),
            ("http://nas:8080", Level::LocalNetwork),
            ("http://nas.local", Level::LocalNetwork),
            ("https://api.example.com/v1", Level::Hybrid),
            ("https://localhost@evil.example.com/v1", Level::Hybrid),
            ("https://8.8.8.8", Level::Hybrid),
            ("http://[fe80::1%eth0]:8080/v1", Level::LocalNetwork),
            ("http://my_nas-2:8080", Level::LocalNetwork),
            ("http://0xygen:8080", Level::LocalNetwork),
            // Addresses in other clothes.
            ("http://134744072/v1", Level::Hybrid),
            ("http://0x08080808/v1", Level::Hybrid),
            ("http://0X08080808/v1", Level::Hybrid),
            ("http://01002004010/v1", Level::Hybrid),
            ("http://0100.1.1.1/v1", Level::Hybrid),
            ("http://8.0x080808/v1", Level::Hybrid),
            ("http://[::ffff:8.8.8.8]/v1", Level::Hybrid),
            ("http://[2001:db8::1%25eth0]/v1", Level::Hybrid),
            ("http://evil。example/v1", Level::Hybrid),
        ];
        for (url, level) in cases {
            assert_eq!(distance(url), level, "{url}");
        }
    }

    #[test]
    fn what_goes_far_is_encrypted() {
        for url in [
            "",
            "http://127.0.0.1:8080/v1",
            "http://nas.local/v1",
            "https://api.example.com/v1",
            "HTTPS://api.example.com/v1",
        ] {
            assert!(encrypted_where_far("remote.url", url).is_ok(), "{url}");
        }
        for url in [
            "http://api.example.com/v1",
            "http://134744072/v1",
            "api.example.com/v1",
        ] {
            let refused = encrypted_where_far("models.server.url", url).unwrap_err();
            assert_eq!(refused.code, "remote_not_encrypted", "{url}");
            assert!(refused.hint.unwrap().contains("models.server.url"));
        }
    }
}
