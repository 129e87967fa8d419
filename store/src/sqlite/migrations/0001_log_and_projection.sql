-- Times are nanoseconds since 1970, hashes are 32 bytes, everything else reads as it is spoken of.

-- The version of Tripline that last migrated the file: what a refusal of a newer file names.
-- Every later schema keeps this table as it is.
CREATE TABLE written_by (version TEXT NOT NULL) STRICT;

-- A stream's version is the position of its last fact.
CREATE TABLE streams (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL
) STRICT;

-- The log. `hash` covers the hash before it, the columns before it and the hash of `body`.
CREATE TABLE facts (
    position INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL REFERENCES streams (id),
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    version  INTEGER NOT NULL,
    name     TEXT NOT NULL,
    hash     BLOB NOT NULL,
    body     BLOB NOT NULL
) STRICT;
CREATE INDEX facts_by_stream ON facts (stream);

-- Batches that are in, by which one that is appended again is known.
CREATE TABLE batches (
    id       TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The projection. A row's position is that of the fact that made it; what never changes and is
-- seldom asked for stays there. The latest cursor, key and switch is the last fact of its stream
-- and needs no row.
CREATE TABLE executions (
    position     INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    action       TEXT NOT NULL,
    rule         TEXT,
    event        TEXT,
    parent       TEXT,
    step         TEXT,
    rerun_of     TEXT,
    pack         BLOB,
    requested_at INTEGER NOT NULL,
    state        TEXT NOT NULL,
    started_at   INTEGER,
    finished_at  INTEGER,
    wake_at      INTEGER,
    message      TEXT
) STRICT;
CREATE INDEX executions_by_state ON executions (state);
CREATE INDEX executions_by_action ON executions (action);
CREATE INDEX executions_by_rule ON executions (rule) WHERE rule IS NOT NULL;
CREATE INDEX executions_by_event ON executions (event) WHERE event IS NOT NULL;
CREATE INDEX executions_by_parent ON executions (parent) WHERE parent IS NOT NULL;
CREATE INDEX executions_unfinished ON executions (id) WHERE finished_at IS NULL;

CREATE TABLE events (
    position    INTEGER PRIMARY KEY,
    key         TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    source      TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    duplicates  INTEGER NOT NULL DEFAULT 0,
    differing   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX events_by_kind ON events (kind);

CREATE TABLE rule_counts (
    rule         TEXT PRIMARY KEY,
    matched      INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    last_matched INTEGER
) STRICT, WITHOUT ROWID;
