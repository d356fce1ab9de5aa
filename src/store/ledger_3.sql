-- Version 3. What filters and links ask for. Filled as documents are read again, which a newer
-- reader version makes happen.

-- ISO code of the language that a document is written in, where it can be told.
ALTER TABLE document ADD COLUMN language TEXT;
CREATE INDEX document_selected ON document (source_id, kind, language, mtime_ns, edition);

CREATE TABLE tag (
    document_id INTEGER NOT NULL REFERENCES document (id),
    tag         TEXT NOT NULL,
    PRIMARY KEY (document_id, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_tag ON tag (tag);

-- Under which names others link to a document, and where it links to, both as keys.
CREATE TABLE name (
    document_id INTEGER NOT NULL REFERENCES document (id),
    name        TEXT NOT NULL,
    PRIMARY KEY (document_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX name_name ON name (name);
CREATE TABLE link (
    document_id INTEGER NOT NULL REFERENCES document (id),
    target      TEXT NOT NULL,
    PRIMARY KEY (document_id, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_target ON link (target);
