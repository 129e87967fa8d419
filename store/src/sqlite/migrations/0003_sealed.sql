-- Encrypted records under their names, the latest of each: outside of the log, so that one that is
-- deleted or encrypted anew is gone. `key` names the key that opens it.
CREATE TABLE sealed (
    name       TEXT PRIMARY KEY,
    key        TEXT NOT NULL,
    at         INTEGER NOT NULL,
    ciphertext BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sealed_by_key ON sealed (key);
