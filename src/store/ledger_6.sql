-- Version 6. How the owner's past questions fare over time.

-- `body` is JSON: what was asked again, and what it scored without units and with them. It names no
-- question.
CREATE TABLE measurement (
    id    INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    body  TEXT NOT NULL
) STRICT;
CREATE INDEX measurement_at ON measurement (at_ms);
