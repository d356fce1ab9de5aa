//! Languages: which one a text is written in, and what its words come from.
//!
//! Detection is by letter trigrams (whatlang), stems are Snowball's (frostem), stop words those of
//! the ISO lists. A text too short or too mixed to tell has no language; what then is up to the
//! caller. Languages without a stemmer keep their words as they are.

use std::collections::HashMap;
use std::sync::OnceLock;

use frostem::{Algorithm, Stemmer};
use whatlang::Lang;

/// A language that can be told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Language(Lang);

/// Two-letter codes (ISO 639-1) of the languages known by three letters (ISO 639-3).
const SHORT: &[(&str, Lang)] = &[
    ("af", Lang::Afr),
    ("ak", Lang::Aka),
    ("am", Lang::Amh),
    ("ar", Lang::Ara),
    ("az", Lang::Aze),
    ("be", Lang::Bel),
    ("bg", Lang::Bul),
    ("bn", Lang::Ben),
    ("ca", Lang::Cat),
    ("cs", Lang::Ces),
    ("cy", Lang::Cym),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("en", Lang::Eng),
    ("eo", Lang::Epo),
    ("es", Lang::Spa),
    ("et", Lang::Est),
    ("fa", Lang::Pes),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("gu", Lang::Guj),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("hr", Lang::Hrv),
    ("hu", Lang::Hun),
    ("hy", Lang::Hye),
    ("id", Lang::Ind),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("jv", Lang::Jav),
    ("ka", Lang::Kat),
    ("km", Lang::Khm),
    ("kn", Lang::Kan),
    ("ko", Lang::Kor),
    ("la", Lang::Lat),
    ("lt", Lang::Lit),
    ("lv", Lang::Lav),
    ("mk", Lang::Mkd),
    ("ml", Lang::Mal),
    ("mr", Lang::Mar),
    ("my", Lang::Mya),
    ("ne", Lang::Nep),
    ("nl", Lang::Nld),
    ("no", Lang::Nob),
    ("or", Lang::Ori),
    ("pa", Lang::Pan),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ro", Lang::Ron),
    ("ru", Lang::Rus),
    ("si", Lang::Sin),
    ("sk", Lang::Slk),
    ("sl", Lang::Slv),
    ("sn", Lang::Sna),
    ("sr", Lang::Srp),
    ("sv", Lang::Swe),
    ("ta", Lang::Tam),
    ("te", Lang::Tel),
    ("th", Lang::Tha),
    ("tk", Lang::Tuk),
    ("tl", Lang::Tgl),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("ur", Lang::Urd),
    ("uz", Lang::Uzb),
    ("vi", Lang::Vie),
    ("yi", Lang::Yid),
    ("zh", Lang::Cmn),
    ("zu", Lang::Zul),
];

/// The languages with a stemmer.
const STEMMED: &[(Lang, Algorithm)] = &[
    (Lang::Ara, Algorithm::Arabic),
    (Lang::Dan, Algorithm::Danish),
    (Lang::Nld, Algorithm::Dutch),
    (Lang::Eng, Algorithm::English),
    (Lang::Fin, Algorithm::Finnish),
    (Lang::Fra, Algorithm::French),
    (Lang::Deu, Algorithm::German),
    (Lang::Ell, Algorithm::Greek),
    (Lang::Hun, Algorithm::Hungarian),
    (Lang::Ita, Algorithm::Italian),
    (Lang::Nob, Algorithm::Norwegian),
    (Lang::Por, Algorithm::Portuguese),
    (Lang::Ron, Algorithm::Romanian),
    (Lang::Rus, Algorithm::Russian),
    (Lang::Spa, Algorithm::Spanish),
    (Lang::Swe, Algorithm::Swedish),
    (Lang::Tam, Algorithm::Tamil),
    (Lang::Tur, Algorithm::Turkish),
];

/// Characters from which a language is told; more make it slower, not surer.
const DETECTED_CHARS: usize = 4000;

impl Language {
    /// English: what a text in Latin letters is taken for when it cannot be told.
    pub const ENGLISH: Self = Self(Lang::Eng);

    /// German, which many users write beside English.
    pub const GERMAN: Self = Self(Lang::Deu);

    /// The language that a text is mostly written in, if that can be told.
    pub fn detect(text: &str) -> Option<Self> {
        let end = text.char_indices().nth(DETECTED_CHARS);
        let start = &text[..end.map_or(text.len(), |(at, _)| at)];
        let found = whatlang::detect(start)?;
        found.is_reliable().then(|| Self(found.lang()))
    }

    /// The language of this name: a code of two or three letters, or its English name.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_lowercase();
        let short = SHORT.iter().find(|(code, _)| *code == name);
        let short = short.map(|(_, lang)| *lang);
        let long = || Lang::from_code(name.as_str());
        let english = || {
            let mut all = Lang::all().iter();
            all.find(|lang| lang.eng_name().to_lowercase() == name)
                .copied()
        };
        let chinese = || (name == "chinese").then_some(Lang::Cmn);
        short
            .or_else(long)
            .or_else(english)
            .or_else(chinese)
            .map(Self)
    }

    /// Its code: two letters where ISO 639-1 has one, else three.
    pub fn code(self) -> &'static str {
        let short = SHORT.iter().find(|(_, lang)| *lang == self.0);
        short.map_or_else(|| self.0.code(), |(code, _)| code)
    }

    /// All languages with a stemmer.
    pub fn stemmed() -> impl Iterator<Item = Self> {
        STEMMED.iter().map(|(lang, _)| Self(*lang))
    }

    /// The stemmer of the language, where there is one.
    pub fn stemmer(self) -> Option<Stemmer> {
        let found = STEMMED.iter().find(|(lang, _)| *lang == self.0);
        found.map(|(_, algorithm)| Stemmer::new(*algorithm))
    }

    /// Does a lower-case word only hold sentences of this language together?
    pub fn is_stop_word(self, word: &str) -> bool {
        static SETS: OnceLock<HashMap<&'static str, std::collections::HashSet<&'static str>>> =
            OnceLock::new();
        let sets = SETS.get_or_init(|| {
            let lists = SHORT.iter().filter_map(|(code, _)| {
                let words = stop_words::lookup(code)?;
                Some((*code, words.iter().copied().collect()))
            });
            lists.collect()
        });
        sets.get(self.code()).is_some_and(|set| set.contains(word))
    }
}

/// Does a word of a script without spaces only hold a sentence together, or ask?
pub(super) fn is_unspaced_stop_word(word: &str) -> bool {
    const ASKING: [&str; 36] = [
        "谁",
        "哪",
        "哪天",
        "哪年",
        "哪个",
        "哪里",
        "哪儿",
        "几",
        "几点",
        "多少",
        "多久",
        "什么时候",
        "为什么",
        "怎么",
        "吗",
        "呢",
        "有",
        "是",
        "いつ",
        "いくら",
        "いくつ",
        "どれ",
        "どう",
        "どの",
        "なに",
        "なぜ",
        "です",
        "ます",
        "ました",
        "か",
        "は",
        "どこ",
        "だれ",
        "誰",
        "何",
        "何時",
    ];
    let known = ["zh", "ja", "th"].map(Language::named);
    let mut known = known.into_iter().flatten();
    ASKING.contains(&word) || known.any(|language| language.is_stop_word(word))
}

/// Frequent words that say nothing about the subject, of the languages that the default models
/// and most users write: English, German, Spanish, French.
pub(super) const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "been", "before", "but", "by", "can", "could", "did", "do", "does", "for", "from", "had",
    "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just",
    "me", "my", "of", "on", "or", "our", "should", "so", "some", "such", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "we",
    "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will",
    "with", "would", "you", "your", "s", "t", // English
    "aber", "als", "am", "auch", "auf", "aus", "bei", "bin", "bis", "das", "dass", "dem", "den",
    "der", "des", "die", "ein", "eine", "einem", "einen", "einer", "er", "es", "für", "hat",
    "hatte", "ich", "ihr", "im", "ist", "kann", "man", "mein", "mit", "nach", "nicht", "noch",
    "nur", "oder", "sich", "sie", "sind", "und", "uns", "vom", "von", "vor", "wann", "war", "was",
    "wenn", "wer", "wie", "wir", "wird", "wo", "zu", "zum", "zur", "über", // German
    "al", "como", "con", "cuando", "cuál", "cómo", "cuándo", "de", "del", "dónde", "el", "en",
    "entre", "es", "esta", "este", "ha", "la", "las", "le", "lo", "los", "más", "mi", "no", "para",
    "pero", "por", "que", "qué", "quién", "se", "sin", "son", "su", "un", "una",
    "y", // Spanish
    "au", "aux", "avec", "ce", "ces", "cette", "dans", "des", "du", "elle", "est", "et", "il",
    "je", "les", "mais", "ne", "ou", "où", "par", "pas", "pour", "quand", "qui", "sa", "ses",
    "sur", "une", // French
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_and_named() {
        let detected = |text: &str| Language::detect(text).map(Language::code);
        let english =
            "The house at the end of the road has been empty for years, and nobody knows why.";
        assert_eq!(detected(english), Some("en"));
        let german = "Das Haus am Ende der Straße steht seit Jahren leer, und niemand weiß, warum.";
        assert_eq!(detected(german), Some("de"));
        assert_eq!(
            detected("黑豹队的防守只丢了三百分，在联赛中排名第六。"),
            Some("zh")
        );
        assert_eq!(detected("ls -la"), None);
        for name in ["de", "deu", "German", " DE "] {
            assert_eq!(
                Language::named(name).map(Language::code),
                Some("de"),
                "{name}"
            );
        }
        assert_eq!(Language::named("klingon"), None);
    }

    #[test]
    fn stop_words_belong_to_a_language() {
        let german = Language::named("de").unwrap();
        assert!(german.is_stop_word("die") && !Language::ENGLISH.is_stop_word("die"));
        assert!(Language::ENGLISH.is_stop_word("the"));
    }
}
