//! Secrets: keys by their look, and what is told behind a word that announces a secret.

use std::ops::Range;

use super::{Hidden, runs, words_of};

/// Letters and digits from which a word of both is taken for a key.
const LEAST_SECRET: usize = 16;

/// Words that stand before a secret.
const TELLING: [&str; 38] = [
    "password",
    "passwort",
    "passphrase",
    "passwd",
    "passcode",
    "pwd",
    "pw",
    "pin",
    "puk",
    "secret",
    "token",
    "key",
    "api_key",
    "apikey",
    "contraseña",
    "kennwort",
    "motdepasse",
    "passe",
    "mdp",
    "code",
    "passkey",
    "zugangscode",
    "mnemonic",
    "senha",
    "parola",
    "wachtwoord",
    "lösenord",
    "adgangskode",
    "passord",
    "salasana",
    "hasło",
    "heslo",
    "şifre",
    "пароль",
    "密码",
    "密碼",
    "パスワード",
    "비밀번호",
];

/// Words that stand before a secret only where a separator follows at once: mountains have passes.
const LABELS: [&str; 2] = ["pass", "phrase"];

/// What stands between such a word and its secret, and before that perhaps one of these.
const SEPARATORS: [char; 4] = [':', '=', '：', '＝'];
const SAYING: [&str; 3] = ["is", "ist", "lautet"];

/// Words of a line up to which the whole line is the secret that the line before announced.
const MOST_SECRET_WORDS: usize = 16;

/// Does it stand before a secret?
fn tells(word: &str) -> bool {
    is_one_of(&TELLING, word)
}

/// Does it stand before a secret where a separator follows at once?
fn labels(word: &str) -> bool {
    tells(word) || is_one_of(&LABELS, word)
}

fn is_one_of(words: &[&str], word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let word = word.to_lowercase().replace('-', "_");
    words
        .iter()
        .any(|t| word == *t || word.ends_with(&format!("_{t}")))
}

/// A key, or the word behind "password:".
pub(super) fn secret(text: &str, pieces: &[Range<usize>], n: usize) -> Option<Range<usize>> {
    let piece = pieces[n].clone();
    let said = &text[piece.clone()];
    if let Some((name, value)) = said.split_once(['=', ':'])
        && labels(name)
        && !value.is_empty()
    {
        return Some(piece.end - value.len()..piece.end);
    }
    // "Password: …", "the password is …".
    let before = |back: usize| n.checked_sub(back).map(|n| pieces[n].clone());
    let follows = before(1).is_some_and(|last| {
        let between = &text[last.end..piece.start];
        labels(&text[last.clone()]) && between.contains([':', '='])
            || SAYING.contains(&&text[last]) && before(2).is_some_and(|word| tells(&text[word]))
    });
    let letters = said.chars().filter(|c| c.is_ascii_alphabetic()).count();
    let digits = said.chars().filter(char::is_ascii_digit).count();
    let plain = said
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+/=_-.".contains(c));
    let is_key = plain && letters + digits >= LEAST_SECRET && letters > 0 && digits > 0
        || ["sk-", "ghp_", "xoxb-", "AKIA"]
            .iter()
            .any(|p| said.starts_with(p) && said.len() > 8)
        || said.starts_with("-----BEGIN");
    (follows || is_key).then_some(piece)
}

/// What is told behind a telling word: to the end of the line, or of the cell of a table; in the next
/// cell; in the column below; or in a short line that follows.
pub(super) fn of_lines(text: &str, spans: &mut Vec<(Range<usize>, Hidden)>) {
    let links: Vec<Range<usize>> = spans
        .iter()
        .filter(|(_, kind)| matches!(kind, Hidden::Link | Hidden::Mail))
        .map(|(span, _)| span.clone())
        .collect();
    let lines = lines_of(text);
    let mut told: Vec<Range<usize>> = Vec::new();
    let mut columns: Vec<usize> = Vec::new();
    let mut announced = false;
    // How far the head of a block is indented whose lines are told.
    let mut block: Option<usize> = None;
    for (n, line) in lines.iter().enumerate() {
        let said = &text[line.clone()];
        if block.is_some_and(|head| said.trim().is_empty() || indent(said) > head) {
            told.push(line.clone());
            continue;
        }
        block = heads_block(said).then(|| indent(said));
        if block.is_some() {
            columns.clear();
            announced = false;
            continue;
        }
        let words = words_of(&text[line.clone()]).count();
        if announced && words > 0 {
            told.extend((words <= MOST_SECRET_WORDS).then(|| line.clone()));
            announced = false;
        }
        let cells = cells_of(text, line);
        let is_head = lines
            .get(n + 1)
            .is_some_and(|next| is_rule(&text[next.clone()]));
        if is_head || cells.len() == 1 {
            columns.clear();
        }
        for (c, cell) in cells.iter().enumerate() {
            let behind = c > 0 && ends_telling(&text[cells[c - 1].clone()]);
            if behind || columns.contains(&c) {
                told.push(cell.clone());
            }
            if let Some(start) = told_from(text, cell, &links) {
                told.push(start..cell.end);
                announced |= cells.len() == 1 && is_bare(&text[start..cell.end]);
            }
        }
        if is_head && cells.len() > 1 {
            let telling = |c: &usize| ends_telling(&text[cells[*c].clone()]);
            columns = (0..cells.len()).filter(telling).collect();
        }
    }
    for span in told {
        let said = &text[span.clone()];
        if !is_bare(said) {
            let start = span.start + (said.len() - said.trim_start().len());
            spans.push((start..start + said.trim().len(), Hidden::Secret));
        }
    }
}

/// White space at the head of a line, in bytes.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// `password: >-`: the lines below that are indented more are the secret (a block scalar of YAML).
fn heads_block(line: &str) -> bool {
    if line.trim_start().starts_with('|') {
        // The row of a table.
        return false;
    }
    let line = line.trim_end();
    let line = line.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    let key = line.strip_suffix(['|', '>']).map(str::trim_end);
    let key = key.and_then(|key| key.strip_suffix([':', '=']));
    key.is_some_and(ends_telling)
}

/// Lines, empty ones too.
fn lines_of(text: &str) -> Vec<Range<usize>> {
    let mut end = 0;
    let lines = text.split('\n').map(|line| {
        let start = end;
        end = start + line.len() + 1;
        start..start + line.len()
    });
    lines.collect()
}

/// Nothing but the marks and rules of Markdown?
fn is_bare(said: &str) -> bool {
    said.chars()
        .all(|c| c.is_whitespace() || "*_`~\"'|:-".contains(c))
}

/// The line between a table's head and its rows?
fn is_rule(line: &str) -> bool {
    line.contains('-') && line.contains('|') && line.chars().all(|c| " \t\r|:-".contains(c))
}

/// The cells of a line; the line itself where it is no row of a table.
fn cells_of(text: &str, line: &Range<usize>) -> Vec<Range<usize>> {
    let said = &text[line.clone()];
    let framed = said.trim_start().starts_with('|');
    let mut cells = Vec::new();
    let mut start = line.start;
    let mut before = ' ';
    for (at, c) in said.char_indices() {
        // Within a word it may be part of a password.
        let border = c == '|' && before != '\\' && (framed || before.is_whitespace());
        // Tabs ahead of a line indent it.
        if border || (c == '\t' && !said[..at].trim().is_empty()) {
            cells.push(start..line.start + at);
            start = line.start + at + c.len_utf8();
        }
        before = c;
    }
    cells.push(start..line.end);
    cells
}

/// Is the last word of a cell a telling one?
fn ends_telling(cell: &str) -> bool {
    keys_of(cell).last().is_some_and(|word| tells(&cell[word]))
}

/// Where in a cell begins what a telling word and a separator announce.
fn told_from(text: &str, cell: &Range<usize>, links: &[Range<usize>]) -> Option<usize> {
    let said = &text[cell.clone()];
    keys_of(said).find_map(|word| {
        let at = cell.start + word.start;
        let (key, rest) = (&said[word.clone()], &said[word.end..]);
        if !labels(key) || links.iter().any(|link| link.contains(&at)) {
            return None;
        }
        let value = if tells(key) {
            value_of(rest).or_else(|| value_behind_aside(rest))?
        } else {
            let rest = rest.trim_start_matches(surrounds);
            rest.strip_prefix(SEPARATORS)?
        };
        Some(cell.end - value.len())
    })
}

/// What may stand around a word.
fn surrounds(c: char) -> bool {
    c.is_whitespace() || "*_`~\"'”’»)]}>".contains(c)
}

/// What a separator announces.
fn value_of(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches(surrounds);
    let said = [""].iter().chain(&SAYING).find_map(|saying| {
        let rest = rest.strip_prefix(saying)?.trim_start_matches(surrounds);
        rest.strip_prefix(SEPARATORS)
    });
    // A dash that stands by itself.
    let dash = || {
        let rest = rest.strip_prefix(['–', '—', '→', '-'])?;
        rest.starts_with(char::is_whitespace).then_some(rest)
    };
    said.or_else(dash)
}

/// Words of a telling word's surroundings at most: "the password for the router at home: …".
const MOST_ASIDE: usize = 5;

/// As [`value_of`], behind what is only said in between: in brackets, or after a preposition, where
/// "is" announces, too.
fn value_behind_aside(rest: &str) -> Option<&str> {
    const BEFORE_NOUNS: [&str; 20] = [
        "for", "of", "to", "at", "in", "on", "from", "für", "von", "vom", "zu", "zum", "zur", "im",
        "am", "bei", "de", "del", "para", "pour",
    ];
    let rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('(') {
        return value_of(&inner[inner.find(')')? + 1..]);
    }
    let mut words = keys_of(rest).take(MOST_ASIDE + 1).peekable();
    let first = words.next()?;
    if !BEFORE_NOUNS.contains(&rest[first].to_lowercase().as_str()) {
        return None;
    }
    while let Some(word) = words.next() {
        let behind = &rest[word.end..];
        if let Some(value) = value_of(behind) {
            return Some(value);
        }
        let next = words.peek().map(|next| &rest[next.clone()]);
        if let Some(saying) = next.filter(|next| SAYING.contains(next)) {
            let value = behind.trim_start().strip_prefix(saying)?;
            return Some(value).filter(|value| !value.trim().is_empty());
        }
    }
    None
}

/// Words as they are written in settings too: `db_password`, `API-Key`.
fn keys_of(text: &str) -> impl Iterator<Item = Range<usize>> {
    runs(text, |c| c.is_alphanumeric() || c == '_' || c == '-')
        .filter(|word| text[word.clone()].contains(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::super::tests::hidden;

    #[test]
    fn blocks_of_yaml_are_secrets_as_a_whole() {
        for head in [
            "password: >-",
            "  api_key: |",
            "- passphrase: |2-",
            "token = >",
        ] {
            let text = format!("{head}\n      correct horse\n\n      battery staple\nuser: ann\n");
            let hidden = hidden(&[], &text);
            for word in ["correct", "horse", "battery", "staple"] {
                assert!(!hidden.contains(word), "{hidden}");
            }
            assert!(hidden.contains("user: ann"), "{hidden}");
        }
        let table = hidden(&[], "| user | password: |\n|---|---|\n| ann | kestrel |");
        assert!(!table.contains("kestrel"), "{table}");
    }

    #[test]
    fn a_secret_is_hidden_to_its_end() {
        let leaves = |text: &str, gone: &[&str], stay: &[&str]| {
            let hidden = hidden(&[], text);
            for word in gone {
                assert!(!hidden.contains(word), "{word} in {hidden}");
            }
            for word in stay {
                assert!(hidden.contains(word), "no {word} in {hidden}");
            }
        };
        let words = &["correct", "horse", "battery", "staple"];
        leaves("password = hunter2", &["hunter2"], &["password = "]);
        leaves("passphrase: correct horse battery staple", words, &[]);
        leaves("passphrase is: correct horse battery staple", words, &[]);
        leaves("**Passphrase:** correct horse battery staple", words, &[]);
        leaves(
            "Passphrase:\n\n    correct horse battery staple\nold",
            words,
            &["old"],
        );
        leaves("passcode：correct horse battery staple", words, &[]);
        leaves("token: Bearer abcdefghijk", &["Bearer", "abcdefghijk"], &[]);
        leaves(
            "pwd: hunter2\nthe mill stands",
            &["hunter2"],
            &["the mill stands"],
        );
        leaves("my pw = a b c!\nPIN: none", &["a b c", "none"], &["my pw"]);
        leaves(
            "spring.db-password=hunter2 # old",
            &["hunter2"],
            &["spring"],
        );
        leaves(r#"{"api_key": "abc def", "#, &["abc", "def"], &["api_key"]);
        leaves("password: #$%&!", &["#$%&!"], &[]);
        for telling in [
            "Wifi pass",
            "db_pass",
            "seed phrase",
            "пароль",
            "Wachtwoord",
            "密码",
        ] {
            leaves(
                &format!("{telling}: correct horse\nold"),
                &words[..2],
                &["old"],
            );
        }
        let closed = "The pass is closed until spring.";
        assert_eq!(hidden(&[], closed), closed);
    }

    #[test]
    fn a_secret_in_a_table_is_hidden_to_the_end_of_its_cell() {
        let text = "| what | value | where |\n|---|:-:|---|\n| wifi password | hun\\|ter two | attic |\n\
                    | mill | grinds | valley |";
        let said = hidden(&[], text);
        assert!(!said.contains("hun") && !said.contains("ter two"), "{said}");
        for word in ["what", "value", "wifi password", "attic", "mill | grinds"] {
            assert!(said.contains(word), "no {word} in {said}");
        }
        let text = "| site | password | seen |\n|---|---|---|\n| shop | hunter2 | often |\n\
                    | bank | correct horse | never |\n\na | b | c";
        let said = hidden(&[], text);
        assert!(
            !said.contains("hunter2") && !said.contains("horse"),
            "{said}"
        );
        for word in ["shop", "often", "bank", "never", "a | b | c"] {
            assert!(said.contains(word), "no {word} in {said}");
        }
        let said = hidden(&[], "row 7 | site: shop | pin: a|b c | seen: often");
        assert!(!said.contains("a|b") && !said.contains("b c"), "{said}");
        assert!(said.contains("seen: often"), "{said}");
        let said = hidden(&[], "\tsite\tshop\n\tpassword\thunter2\tattic");
        assert!(
            !said.contains("hunter2") && said.contains("attic"),
            "{said}"
        );
    }

    #[test]
    fn what_only_speaks_of_secrets_stays_readable() {
        for text in [
            "the password policy changed in spring",
            "she forgot her password, and then the key too",
            "whoever holds the key opens the door: it is green",
            "a token of thanks | and a cup of tea",
            "the pin fell: nobody heard it",
            "keys: many; passwords: none",
            "how long is a passphrase? longer than a password",
            "the secret\nof the mill",
        ] {
            assert_eq!(hidden(&[], text), text);
        }
        // A link is hidden as a whole, and nothing behind it.
        let said = hidden(&[], "see https://example.org/?token=abc for the trains");
        assert!(said.ends_with(" for the trains"), "{said}");
        // A paragraph under a heading is no secret.
        let text = format!("about the key:\n{}", "the mill grinds rye ".repeat(5));
        assert!(hidden(&[], &text).ends_with(" rye "), "{text}");
    }
}
