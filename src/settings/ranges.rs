//! The ranges: which numbers will do for a setting, and what is said of one that nobody can mean.

use super::{Settings, SettingsError};
use crate::domain::rank::MOST_HITS;

/// Questions at once at most: llama.cpp knows 256 texts, and each shares the context with all.
const MOST_PARALLEL: usize = 64;

/// Tokens of context: fewer are taken for so many all the same, and no model was trained for more.
const LEAST_CONTEXT: u32 = 512;
const MOST_CONTEXT: u32 = 1 << 20;

/// As many as llama.cpp takes.
const MOST_THREADS: usize = 512;

/// About 32 years: clocks cannot tell a time that lies farther ahead than theirs goes.
const MOST_SECONDS: u64 = 1_000_000_000;

/// A chunk has room for its headings and as much again.
const LEAST_CHUNK: u64 = 64;

/// Tokens, KiB or MiB: more are no limit at all, and as bytes soon no number.
const MOST_OF_A_SIZE: u64 = 1 << 20;

/// A key, its value, whether that will do, and what will.
type Case = (&'static str, String, bool, &'static str);

/// Refuses numbers that nobody can mean. A limit that is no number would limit nothing.
pub(super) fn check_ranges(settings: &Settings) -> Result<(), SettingsError> {
    let mut cases = counts(settings).into_iter();
    let mut others = amounts(settings).into_iter().chain(times(settings));
    let misfit = |(_, _, fits, _): &Case| !fits;
    match cases.find(misfit).or_else(|| others.find(misfit)) {
        Some((key, value, _, wanted)) => Err(SettingsError::Range { key, value, wanted }),
        None => Ok(()),
    }
}

/// What is counted: hits, tokens, threads, KiB and MiB.
fn counts(settings: &Settings) -> Vec<Case> {
    const SIZE: std::ops::RangeInclusive<u64> = 1..=MOST_OF_A_SIZE;
    let Settings {
        serve,
        models,
        search,
        answer,
        extract,
        chunks,
        ..
    } = settings;
    let hits = 1..=MOST_HITS as u64;
    let context = u64::from(LEAST_CONTEXT)..=u64::from(MOST_CONTEXT);
    let parallel = 1..=MOST_PARALLEL as u64;
    let size = "from 1 to 1048576";
    let sized = [
        ("search.k", search.k as u64, hits.clone(), "from 1 to 100"),
        ("answer.k", answer.k as u64, hits, "from 1 to 100"),
        (
            "models.parallel",
            models.parallel as u64,
            parallel,
            "from 1 to 64",
        ),
        (
            "models.context_tokens",
            u64::from(models.context_tokens),
            context,
            "from 512 to 1048576",
        ),
        (
            "models.threads",
            models.threads as u64,
            0..=MOST_THREADS as u64,
            "from 0 to 512",
        ),
        (
            "chunks.max_tokens",
            chunks.max_tokens as u64,
            LEAST_CHUNK..=MOST_OF_A_SIZE,
            "from 64 to 1048576",
        ),
        (
            "chunks.min_tokens",
            chunks.min_tokens as u64,
            0..=chunks.max_tokens as u64,
            "at most `chunks.max_tokens`",
        ),
        ("answer.max_tokens", answer.max_tokens as u64, SIZE, size),
        (
            "answer.evidence_tokens",
            answer.evidence_tokens as u64,
            SIZE,
            size,
        ),
        ("serve.max_body_kb", serve.max_body_kb as u64, SIZE, size),
        ("extract.max_file_mb", extract.max_file_mb, SIZE, size),
        (
            "extract.max_text_mb",
            extract.max_text_mb as u64,
            SIZE,
            size,
        ),
        ("extract.memory_mb", extract.memory_mb, SIZE, size),
    ];
    let cases = sized.into_iter().map(|(key, value, range, wanted)| {
        (key, value.to_string(), range.contains(&value), wanted)
    });
    cases.collect()
}

/// What is weighed or paid.
fn amounts(settings: &Settings) -> Vec<Case> {
    let Settings {
        search,
        answer,
        remote,
        writeback,
        ..
    } = settings;
    let shares = [
        (
            "search.dense_weight",
            search.dense_weight,
            0.0..=1.0,
            "from 0 to 1",
        ),
        (
            "answer.least_coverage",
            answer.least_coverage,
            0.0..=1.0,
            "from 0 to 1",
        ),
        (
            "answer.least_cosine",
            answer.least_cosine,
            -1.0..=1.0,
            "from -1 to 1",
        ),
        (
            "answer.least_log_prob",
            answer.least_log_prob,
            f32::NEG_INFINITY..=0.0,
            "0 or less",
        ),
    ];
    let prices = [
        ("remote.money_per_day", remote.money_per_day),
        ("remote.price_read", remote.price_read),
        ("remote.price_written", remote.price_written),
        ("answer.price_per_million", answer.price_per_million),
        ("writeback.day_joules", writeback.day_joules),
    ];
    let shares = shares.into_iter().map(|(key, value, range, wanted)| {
        (key, value.to_string(), range.contains(&value), wanted)
    });
    let prices = prices
        .into_iter()
        .map(|(key, value)| (key, value.to_string(), value >= 0.0, "0 or more"));
    shares.chain(prices).collect()
}

/// Times: seconds, and milliseconds.
fn times(settings: &Settings) -> Vec<Case> {
    let Settings {
        serve,
        models,
        watch,
        writeback,
        extract,
        ..
    } = settings;
    let times = [
        ("serve.head_timeout_s", serve.head_timeout_s),
        ("models.idle_unload_s", models.idle_unload_s),
        ("watch.debounce_ms", watch.debounce_ms),
        ("watch.rescan_s", watch.rescan_s),
        ("watch.poll_s", watch.poll_s),
        ("watch.backup_s", watch.backup_s),
        ("writeback.idle_s", writeback.idle_s),
        ("writeback.day_s", writeback.day_s),
        ("extract.timeout_s", extract.timeout_s),
    ];
    let cases = times.into_iter().map(|(key, time)| {
        let fits = time <= MOST_SECONDS;
        (key, time.to_string(), fits, "at most 1000000000")
    });
    cases.collect()
}

#[cfg(test)]
mod tests {
    use super::super::layers::tests::of_file;
    use super::*;

    #[test]
    fn what_nobody_can_mean_is_refused() {
        let check = |text: &str, key: Option<&str>| {
            let outcome = check_ranges(&of_file(text).unwrap());
            let said = outcome.err().map(|error| error.to_string());
            let names = said
                .as_deref()
                .map(|said| key.is_some_and(|k| said.contains(k)));
            assert_eq!(names, key.map(|_| true), "{text}: {said:?}");
        };
        check("", None);
        check("[search]\ndense_weight = 1.0", None);
        check("[search]\ndense_weight = 1.5", Some("search.dense_weight"));
        check("[search]\ndense_weight = nan", Some("search.dense_weight"));
        check("[models]\nparallel = 0", Some("models.parallel"));
        check("[models]\nparallel = 64", None);
        check("[models]\nparallel = 65", Some("to 64"));
        check("[models]\ncontext_tokens = 512", None);
        check(
            "[models]\ncontext_tokens = 511",
            Some("models.context_tokens"),
        );
        check("[models]\ncontext_tokens = 2000000", Some("to 1048576"));
        check("[models]\nthreads = 0", None);
        check("[models]\nthreads = 513", Some("models.threads"));
        check("[search]\nk = 0", Some("search.k"));
        check("[answer]\nk = 0", Some("answer.k"));
        check("[search]\nk = 100", None);
        check("[answer]\nk = 101", Some(&format!("to {MOST_HITS}")));
        check("[search]\nk = 200", Some("search.k"));
        check("[search]\nk = 1000000000", Some("from 1 to 100"));
        check("[answer]\nmax_tokens = 0", Some("answer.max_tokens"));
        check("[answer]\nleast_cosine = nan", Some("answer.least_cosine"));
        check("[answer]\nleast_log_prob = -inf", None);
        check("[chunks]\nmax_tokens = 0", Some("from 64 to 1048576"));
        // As bytes it would be none, or no number at all.
        check(
            "[extract]\nmax_file_mb = 17592186044416",
            Some("extract.max_file_mb"),
        );
        check("[serve]\nmax_body_kb = 0", Some("serve.max_body_kb"));
        check(
            "[chunks]\nmax_tokens = 100\nmin_tokens = 101",
            Some("chunks.max_tokens"),
        );
        check("[remote]\nmoney_per_day = 0.0", None);
        check(
            "[remote]\nmoney_per_day = nan",
            Some("remote.money_per_day"),
        );
        check("[remote]\nprice_read = -1.0", Some("remote.price_read"));
        check("[watch]\nrescan_s = 1000000000", None);
        let never = format!("[watch]\nrescan_s = {}", i64::MAX);
        check(&never, Some("watch.rescan_s"));
    }
}
