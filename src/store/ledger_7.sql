-- Version 7. What leaves this machine, when the owner lets it.

-- One row for each request to the remote tier, written before it is sent: `body` is exactly what
-- leaves. `tokens` and `cost` are the most that it may come to until the answer is there, then what
-- it came to; a crash in between leaves the former.
CREATE TABLE outbound (
    id        INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    day       INTEGER NOT NULL,
    url       TEXT NOT NULL,
    model     TEXT NOT NULL,
    answer_id TEXT,
    body      TEXT NOT NULL,
    tokens    INTEGER NOT NULL,
    cost      REAL NOT NULL,
    state     TEXT NOT NULL
) STRICT;
CREATE INDEX outbound_day ON outbound (day);

-- Whether nothing of it may be sent to another machine, whatever is asked.
ALTER TABLE source ADD COLUMN never_leaves INTEGER NOT NULL DEFAULT 0;
