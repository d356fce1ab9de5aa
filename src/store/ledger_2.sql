-- Version 2. Where a source's folder really is, what an unchanged file is, how it was read.

-- Device and inode of the root when it was last scanned: another folder in its place is a mount
-- that vanished. `mounts` are folders below it that were mounted, `away` says why it is not read.
ALTER TABLE source ADD COLUMN root_device INTEGER NOT NULL DEFAULT 0;
ALTER TABLE source ADD COLUMN root_inode INTEGER NOT NULL DEFAULT 0;
ALTER TABLE source ADD COLUMN mounts TEXT NOT NULL DEFAULT '[]';
ALTER TABLE source ADD COLUMN away TEXT;

-- 0 is not known, -1 was too young to tell a later change from.
ALTER TABLE document ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE problem ADD COLUMN ctime_ns INTEGER;

-- How a file was read and cut; it is read again when that changes.
ALTER TABLE document ADD COLUMN recipe TEXT NOT NULL DEFAULT '';
ALTER TABLE problem ADD COLUMN recipe TEXT NOT NULL DEFAULT '';

-- What the store remembers about itself, by name.
CREATE TABLE memo (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
