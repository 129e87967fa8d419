-- A pruned fact's body is no longer its body but the hash of it, which its own hash covers.
ALTER TABLE facts ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
-- The hash of the fact before, where that fact is gone: only up to the checkpoint.
ALTER TABLE facts ADD COLUMN previous BLOB;
CREATE INDEX facts_pruned ON facts (position) WHERE pruned = 1;
CREATE INDEX batches_by_position ON batches (position);

-- The duplicate table: what is kept of an event whose data is pruned.
ALTER TABLE events ADD COLUMN payload BLOB;
ALTER TABLE events ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;

-- What pruned facts added to `rule_counts`.
CREATE TABLE pruned_rule_counts (
    rule         TEXT PRIMARY KEY,
    matched      INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    last_matched INTEGER
) STRICT, WITHOUT ROWID;

-- Which contents outside of the log a fact names: `kind` is blob or pack.
CREATE TABLE refs (
    hash     BLOB NOT NULL,
    position INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    PRIMARY KEY (hash, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX refs_by_position ON refs (position);

-- Up to `position`, whose fact has `hash`, facts may be missing. `carried` is the digest of those
-- that are there, `seen` that of the duplicate table; `changes` counts prunings.
CREATE TABLE checkpoint (
    position INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    carried  BLOB NOT NULL,
    seen     BLOB NOT NULL,
    changes  INTEGER NOT NULL
) STRICT;
INSERT INTO checkpoint VALUES (0, zeroblob(32), zeroblob(32), zeroblob(32), 0);
