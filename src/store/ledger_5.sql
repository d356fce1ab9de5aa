-- Version 5. Who else may ask, what may be written, what may leave.

-- Tokens beside the owner's own. `hash` is BLAKE3 of the token, which is kept nowhere; `sources` is
-- a JSON array of what it may see, or NULL for all.
CREATE TABLE token (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    hash     BLOB NOT NULL UNIQUE,
    rights   TEXT NOT NULL,
    sources  TEXT,
    added_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The token that asked; NULL is the owner.
ALTER TABLE answer ADD COLUMN asker TEXT;
CREATE INDEX answer_asker ON answer (asker, asked_ms);

-- Tokens that the language model read and wrote for it.
ALTER TABLE answer ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE answer ADD COLUMN generated_tokens INTEGER NOT NULL DEFAULT 0;
UPDATE answer SET
    prompt_tokens = coalesce(json_extract(body, '$.tokens.prompt'), 0),
    generated_tokens = coalesce(json_extract(body, '$.tokens.generated'), 0);

-- Whether notes may be written into it through coho.
ALTER TABLE source ADD COLUMN notes INTEGER NOT NULL DEFAULT 0;
