-- Version 1. Everything that cannot be recreated, and what is visible.

CREATE TABLE source (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    path       TEXT NOT NULL UNIQUE,
    include    TEXT NOT NULL,
    exclude    TEXT NOT NULL,
    writeback  INTEGER NOT NULL,
    added_ms   INTEGER NOT NULL,
    synced_ms  INTEGER
) STRICT;

CREATE TABLE document (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id   INTEGER NOT NULL REFERENCES source (id),
    path        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    title       TEXT NOT NULL,
    meta        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    edition     INTEGER NOT NULL UNIQUE,
    ingested_ms INTEGER NOT NULL,
    UNIQUE (source_id, path)
) STRICT;

-- A chunk is visible while a passage shows it; its id derives from heading and text.
CREATE TABLE chunk (
    id      BLOB PRIMARY KEY,
    heading TEXT NOT NULL,
    text    TEXT NOT NULL,
    tokens  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE passage (
    document_id INTEGER NOT NULL REFERENCES document (id),
    ordinal     INTEGER NOT NULL,
    chunk_id    BLOB NOT NULL REFERENCES chunk (id),
    line_first  INTEGER,
    line_last   INTEGER,
    page        INTEGER,
    PRIMARY KEY (document_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX passage_chunk ON passage (chunk_id);

CREATE TABLE problem (
    source_id INTEGER NOT NULL REFERENCES source (id),
    path      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    size      INTEGER,
    mtime_ns  INTEGER,
    inode     INTEGER,
    since_ms  INTEGER NOT NULL,
    PRIMARY KEY (source_id, path)
) STRICT, WITHOUT ROWID;

-- What the indexes still hold but nobody may see; removed from them in quiet moments.
CREATE TABLE gone_chunk (chunk_id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE gone_edition (edition INTEGER PRIMARY KEY) STRICT;

CREATE TABLE counter (next_edition INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES (1);

CREATE TABLE answer (
    id       TEXT PRIMARY KEY,
    question TEXT NOT NULL,
    body     TEXT NOT NULL,
    asked_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX answer_asked ON answer (asked_ms);

-- Chunks may vanish later; what was cited is history and stays.
CREATE TABLE citation (
    answer_id TEXT NOT NULL REFERENCES answer (id),
    n         INTEGER NOT NULL,
    chunk_id  BLOB NOT NULL,
    PRIMARY KEY (answer_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    answer_id TEXT NOT NULL REFERENCES answer (id),
    verdict   TEXT NOT NULL,
    note      TEXT,
    given_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE unit (
    id        TEXT PRIMARY KEY,
    state     TEXT NOT NULL CHECK (state IN ('shadow', 'active', 'contested', 'stale', 'retired')),
    title     TEXT NOT NULL,
    text      TEXT NOT NULL,
    questions TEXT NOT NULL,
    scores    TEXT NOT NULL,
    batch     TEXT NOT NULL,
    made_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE unit_evidence (
    unit_id  TEXT NOT NULL REFERENCES unit (id),
    chunk_id BLOB NOT NULL,
    PRIMARY KEY (unit_id, chunk_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX unit_evidence_chunk ON unit_evidence (chunk_id);
