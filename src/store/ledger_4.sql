-- Version 4. Writeback: what was judged, what became of units, and what shows that they help.

-- Notes that others wrote: what rests on them needs a second source or the owner's word.
ALTER TABLE source ADD COLUMN outside INTEGER NOT NULL DEFAULT 0;

-- One run of writeback. A batch is shown as a whole and taken back as a whole.
CREATE TABLE batch (
    id         TEXT PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER,
    state      TEXT NOT NULL CHECK (state IN ('running', 'published', 'rolled_back')),
    reason     TEXT NOT NULL DEFAULT '',
    report     TEXT NOT NULL DEFAULT '{}'
) STRICT;

-- Lowest of its sources, 0 to 1; by which recipe it was made; how it was judged; what it was good for.
ALTER TABLE unit ADD COLUMN trust REAL NOT NULL DEFAULT 0;
ALTER TABLE unit ADD COLUMN recipe TEXT NOT NULL DEFAULT '';
ALTER TABLE unit ADD COLUMN gates TEXT NOT NULL DEFAULT '[]';
ALTER TABLE unit ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE unit ADD COLUMN retrieved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unit ADD COLUMN cited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unit ADD COLUMN helped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unit ADD COLUMN harmed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX unit_state ON unit (state);
CREATE INDEX unit_text ON unit (text);
CREATE INDEX unit_batch ON unit (batch);

-- The sentences that a unit took from a chunk, as they stand there, and where that was.
ALTER TABLE unit_evidence ADD COLUMN quotes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE unit_evidence ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE unit_evidence ADD COLUMN place INTEGER NOT NULL DEFAULT 0;

-- Vectors of what a unit answers and says; made again for another embedding model.
CREATE TABLE unit_vector (
    unit_id TEXT NOT NULL REFERENCES unit (id),
    model   TEXT NOT NULL,
    part    INTEGER NOT NULL,
    vector  BLOB NOT NULL,
    PRIMARY KEY (unit_id, model, part)
) STRICT, WITHOUT ROWID;

-- What happened to units; nothing is ever changed or removed here.
CREATE TABLE unit_event (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    unit_id TEXT NOT NULL,
    before  TEXT,
    after   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at_ms   INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT;
CREATE INDEX unit_event_unit ON unit_event (unit_id);
CREATE TRIGGER unit_made AFTER INSERT ON unit BEGIN
    INSERT INTO unit_event (unit_id, after, reason) VALUES (NEW.id, NEW.state, NEW.reason);
END;
CREATE TRIGGER unit_moved AFTER UPDATE OF state ON unit WHEN OLD.state IS NOT NEW.state BEGIN
    INSERT INTO unit_event (unit_id, before, after, reason)
    VALUES (NEW.id, OLD.state, NEW.state, NEW.reason);
END;
CREATE TRIGGER unit_event_stays BEFORE UPDATE ON unit_event BEGIN
    SELECT RAISE(ABORT, 'events of units are never changed');
END;
CREATE TRIGGER unit_event_is_kept BEFORE DELETE ON unit_event BEGIN
    SELECT RAISE(ABORT, 'events of units are never removed');
END;

-- Which answers were considered, and what each gate said of them.
CREATE TABLE considered (
    answer_id TEXT PRIMARY KEY REFERENCES answer (id),
    batch     TEXT NOT NULL,
    unit_id   TEXT,
    gates     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What people do without saying it: a citation opened, an answer copied, a question asked again.
CREATE TABLE signal (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    answer_id TEXT NOT NULL REFERENCES answer (id),
    kind      TEXT NOT NULL CHECK (kind IN ('opened', 'copied', 'asked_again')),
    at_ms     INTEGER NOT NULL
) STRICT;
CREATE INDEX signal_answer ON signal (answer_id);
CREATE INDEX feedback_answer ON feedback (answer_id);

-- What writeback spent on a day (days since 1970, UTC).
CREATE TABLE spent (
    day     INTEGER PRIMARY KEY,
    seconds REAL NOT NULL,
    joules  REAL NOT NULL,
    units   INTEGER NOT NULL
) STRICT;

-- Counts up whenever what units say to a search may have changed.
CREATE TABLE unit_clock (tick INTEGER NOT NULL) STRICT;
INSERT INTO unit_clock VALUES (0);
CREATE TRIGGER unit_clock_made AFTER INSERT ON unit BEGIN
    UPDATE unit_clock SET tick = tick + 1;
END;
CREATE TRIGGER unit_clock_moved AFTER UPDATE OF state, text ON unit BEGIN
    UPDATE unit_clock SET tick = tick + 1;
END;
CREATE TRIGGER unit_clock_vector AFTER INSERT ON unit_vector BEGIN
    UPDATE unit_clock SET tick = tick + 1;
END;
CREATE TRIGGER unit_clock_evidence AFTER UPDATE ON unit_evidence BEGIN
    UPDATE unit_clock SET tick = tick + 1;
END;
