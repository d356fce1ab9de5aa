//! What leads to people and to machines: mail addresses, links, names of hosts.

use std::ops::Range;

use super::runs;

/// What stands between a name and a host.
const AT: [&str; 4] = ["@", "＠", "﹫", "%40"];

/// Top levels of host names that are no country's. Those that are words, too, are left out: a full
/// stop without a space behind it is no rare thing.
const GENERIC: &str = "academy agency amsterdam app arpa bayern berlin biz blog cat cloud com corp dev \
    digital edu email eus example gov hamburg home info int internal intranet invalid koeln lan local \
    localdomain localhost london mil mobi museum net online onion org paris shop site social software \
    store studio swiss systems tech tel test tirol wien wiki xyz";

/// Top levels of countries, without those that are endings of files.
const COUNTRIES: &str = "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj \
    bm bn bo br bs bt bw by bz ca cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz \
    ec ee eg er es et eu fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gt gu gw gy hk hm \
    hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li \
    lk lr ls lt lu lv ly ma mc me mg mh mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no \
    np nr nu nz om pa pe pf pg ph pk pm pn pr pt pw py qa re ro ru rw sa sb sc sd se sg si sk sl sm sn \
    sr ss st su sv sx sy sz tc td tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg \
    vi vn vu wf ws ye yt za zm zw";

/// Where a mail address stands whose sign is in piece `n`, also with space around that.
pub(super) fn mail(text: &str, pieces: &[Range<usize>], n: usize) -> Option<Range<usize>> {
    let piece = &pieces[n];
    let said = &text[piece.clone()];
    let says = |part: &str| part.contains(char::is_alphanumeric);
    let mut signs = AT
        .iter()
        .flat_map(|sign| said.match_indices(sign))
        .map(|(at, sign)| (&said[..at], &said[at + sign.len()..]));
    if signs.clone().any(|(name, host)| says(name) && says(host)) {
        return Some(piece.clone());
    }
    let near = |a: &Range<usize>, b: &Range<usize>| {
        let between = &text[a.end..b.start];
        between.len() <= 3 && !between.contains('\n') && between.trim().is_empty()
    };
    let (name, host) = signs.next()?;
    let start = if says(name) {
        piece
    } else {
        let before = pieces.get(n.checked_sub(1)?)?;
        Some(before).filter(|before| near(before, piece))?
    };
    let (end, host) = if says(host) {
        (piece, host)
    } else {
        let behind = pieces.get(n + 1).filter(|behind| near(piece, behind))?;
        (behind, &text[behind.clone()])
    };
    // "lunch @ noon" is none.
    let (first, rest) = host.split_once('.')?;
    (says(first) && says(rest)).then_some(start.start..end.end)
}

/// Does a piece of text lead somewhere?
pub(super) fn is_link(said: &str) -> bool {
    let without_scheme = said.strip_prefix("//");
    said.contains("://")
        || said.starts_with("www.")
        || without_scheme.is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
        || runs(said, |c| c.is_alphanumeric() || c == '.' || c == '-').any(|run| {
            let within = said[..run.start].ends_with('/');
            leads(&said[run.clone()], &said[run.end..], within)
        })
}

/// Is it the name of a host, by itself or by what stands behind it: a port, a path? What stands
/// `within` a path may be a folder or a file.
fn leads(run: &str, behind: &str, within: bool) -> bool {
    let host = run.trim_matches(['.', '-']);
    let labels: Vec<&str> = host.split('.').collect();
    let (top, below) = labels.split_last().expect("there is one at least");
    let has_letter = |label: &&str| label.contains(char::is_alphabetic);
    let is_named = below.iter().any(has_letter) && labels.iter().all(|label| !label.is_empty());
    if is_named && is_top_level(host, top) {
        return true;
    }
    let dotted = is_named && top.starts_with(char::is_alphabetic) && top.chars().count() > 1;
    if dotted && !within && behind.starts_with('/') {
        return true;
    }
    let port = behind.strip_prefix(':').unwrap_or_default();
    let path = port.trim_start_matches(|c: char| c.is_ascii_digit());
    path.len() < port.len()
        && has_letter(&host)
        && (path.starts_with('/') || path.is_empty() && (dotted || host == "localhost"))
}

/// Written as host names are: "end.In" is the end of a sentence.
fn is_top_level(host: &str, top: &str) -> bool {
    let loud = !host.contains(char::is_lowercase);
    if top.contains(char::is_uppercase) && !loud {
        return false;
    }
    let top = top.to_lowercase();
    let mut known = GENERIC
        .split_whitespace()
        .chain(COUNTRIES.split_whitespace());
    known.any(|known| known == top)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_need_no_scheme() {
        for said in [
            "https://a",
            "www.a",
            "intranet.corp.example/private/quux",
            "wiki.firma/x",
            "example.com",
            "EXAMPLE.COM",
            "mail.müller.de",
            "//cdn.example.com/q",
            "//nas/q",
            "localhost:80/x",
            "localhost:80",
            "nas:5000/photos",
            "nas.fritz:5000",
            "text](example.com/q",
        ] {
            assert!(is_link(said), "{said}");
        }
        for said in [
            "notes.md",
            "src/main.rs",
            "docs/v1.2/notes.d/x",
            "v1.2.3",
            "3.5",
            "12.5km/h",
            "1.5m/s",
            "end.In",
            "end.Then",
            "end.then",
            "e.g",
            "z.B",
            "Co.KG",
            "5.kg",
            "and/or",
            "08:14",
            "at:8",
            "//",
            "...",
        ] {
            assert!(!is_link(said), "{said}");
        }
    }

    #[test]
    fn mail_addresses_are_whatever_has_a_name_and_a_host() {
        let check = |text: &str, expected: Option<&str>| {
            let pieces: Vec<Range<usize>> = runs(text, |c| !c.is_whitespace()).collect();
            let found = (0..pieces.len()).find_map(|n| mail(text, &pieces, n));
            assert_eq!(found.map(|span| &text[span]), expected, "{text}");
        };
        for address in [
            "bob@intranet",
            "mailto:rosemary@host",
            "git@githost:repo",
            "xmpp:bob@jabber",
            "bob @ example.org",
            "bob@ example.org",
            "bob @example.org",
            "bob＠example.org",
            "bob%40example.org",
        ] {
            check(&format!("to {address} now"), Some(address));
        }
        for text in [
            "lunch @ noon",
            "said @ann",
            "@Override",
            "40 %",
            "a @\nb.c",
            "@",
        ] {
            check(text, None);
        }
    }
}
