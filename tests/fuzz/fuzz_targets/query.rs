#![no_main]
//! The query language, and the words of any text.

use coho_fuzz::domain::{gather, language, query, words};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let now: jiff::Zoned = "2026-11-20T15:00:00+01:00[Europe/Berlin]".parse().expect("a time");
    if let Ok(read) = query::parse(text, &now) {
        for phrase in read.phrases.iter().chain(&read.without) {
            assert!(words::holds_phrase(text, phrase), "{phrase:?} in {text:?}");
        }
    }
    let literal = query::literal(text);
    assert!(literal.phrases.is_empty() && literal.filters.is_empty());
    let found = words::words(text);
    assert!(found.windows(2).all(|pair| pair[0].position <= pair[1].position));
    for language in language::Language::stemmed() {
        let mut stems = words::Stems::of(Some(language));
        found.iter().for_each(|word| drop(stems.stem(word).len()));
    }
    let _ = language::Language::detect(text);
    let passage = gather::Passage {
        document: coho_fuzz::domain::source::DocumentId(1),
        ordinal: 0,
        page: None,
        text,
    };
    let _ = gather::Gather::default().place(&passage, false);
});
