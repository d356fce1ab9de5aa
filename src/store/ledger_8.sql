-- Version 8. Batches that are taken back whole, merges that wait, and whose word a verdict is.

-- What a unit was before a batch changed it for the first time, as JSON; NULL where it was made.
CREATE TABLE unit_change (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    batch   TEXT NOT NULL,
    unit_id TEXT NOT NULL,
    before  TEXT,
    at_ms   INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    UNIQUE (batch, unit_id)
) STRICT;

-- Ids of the units that this one takes the place of, as soon as it is in use itself.
ALTER TABLE unit ADD COLUMN replaces TEXT NOT NULL DEFAULT '[]';

-- Who gave a verdict, where that was not the owner.
ALTER TABLE feedback ADD COLUMN giver TEXT;
