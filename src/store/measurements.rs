//! Measurements of the owner's own questions, kept in the ledger: they are private.

use rusqlite::{OptionalExtension, params};

use super::Result;
use super::ledger::{Snapshot, Transaction};

/// Keeps a measurement; `body` is JSON.
///
/// # Errors
/// [`super::StoreError::Ledger`].
pub fn put_measurement(transaction: &Transaction<'_>, at_ms: i64, body: &str) -> Result<()> {
    transaction.execute(
        "INSERT INTO measurement (at_ms, body) VALUES (?1, ?2)",
        params![at_ms, body],
    )?;
    Ok(())
}

impl Snapshot<'_> {
    /// The newest measurements, the oldest of them first.
    pub(crate) fn measurements(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT at_ms, body FROM (SELECT * FROM measurement ORDER BY id DESC LIMIT ?1) ORDER BY id",
        )?;
        let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// When the newest measurement was made, milliseconds since 1970.
    pub(crate) fn last_measured_ms(&self) -> Result<Option<i64>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT at_ms FROM measurement ORDER BY id DESC LIMIT 1")?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger::tests::with_ledger;

    #[test]
    fn the_newest_measurement_is_the_last_that_was_kept() {
        with_ledger("", |ledger| {
            let last = || ledger.read(|snapshot| snapshot.last_measured_ms()).unwrap();
            assert_eq!(last(), None);
            for at_ms in [7, 5] {
                ledger.write(|t| put_measurement(t, at_ms, "{}")).unwrap();
                assert_eq!(last(), Some(at_ms));
            }
        });
    }
}
