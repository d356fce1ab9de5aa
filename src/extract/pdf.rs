//! PDF with a text layer, by pdf-extract. Runs in the worker only: the crate panics by intent.

use super::{Extracted, Skip};
use crate::domain::outline::Outline;
use crate::domain::source::Meta;

/// The text of a PDF, page by page.
///
/// # Errors
/// [`Skip`] for encrypted and broken files, and for those without a text layer.
pub(super) fn extract(bytes: &[u8]) -> Result<Extracted, Skip> {
    let pages = pdf_extract::extract_text_from_mem_by_pages(bytes).map_err(|error| {
        let said = error.to_string();
        let lower = said.to_lowercase();
        if lower.contains("password") || lower.contains("encrypt") || lower.contains("decrypt") {
            Skip("encrypted: it cannot be read without its password".into())
        } else {
            let cause = said.rsplit(": ").next().unwrap_or(&said);
            Skip(format!("broken: its parser says \"{cause}\""))
        }
    })?;
    let pages: Vec<String> = pages.iter().map(|page| tidy(page)).collect();
    if pages.iter().all(|page| page.trim().is_empty()) {
        return Err(Skip("no text layer: a scan or a drawing".into()));
    }
    Ok(Extracted {
        outline: Outline::of_pages(&pages),
        meta: Meta::default(),
    })
}

/// Drops trailing spaces, runs of blank lines and characters that no text holds.
fn tidy(page: &str) -> String {
    let mut tidy = String::with_capacity(page.len());
    let mut blank = true;
    for line in page.lines() {
        let line: String = line
            .chars()
            .filter(|c| !c.is_control() || *c == '\t')
            .collect();
        let line = line.trim_end();
        if line.trim().is_empty() {
            if !blank {
                tidy.push('\n');
            }
            blank = true;
        } else {
            tidy.push_str(line);
            tidy.push('\n');
            blank = false;
        }
    }
    tidy
}
