-- Records, and the log of their changes.

-- A short number in place of two names in each row and index entry. Rows stay when their last record goes.
CREATE TABLE buckets (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT;

-- With a row number and an index on the key: at 64 random upserts a commit this was up to half as fast again as one
-- tree by key, whose inner pages would carry whole values. The value comes last, so that reading the rest of a row with
-- a large one leaves its overflow pages alone.
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    bucket INTEGER NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    expires_at REAL, -- seconds since the Unix epoch
    value BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX records_by_key ON records (bucket, key);
CREATE INDEX records_by_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;

-- What changed, without values, kept for an hour: a watch resumes from it, and a deletion leaves its tombstone here. It
-- only grows at its end and shrinks at its beginning, so it costs a write no page at a random place, as an index of
-- records by revision would. Its last row says where the database stands, and is never forgotten.
CREATE TABLE changes (
    position INTEGER PRIMARY KEY, -- from 1, without a gap, so that the ends say how many there are
    revision INTEGER NOT NULL,    -- never falls from one position to the next
    bucket INTEGER NOT NULL,
    kind INTEGER NOT NULL,        -- 0 put, 1 delete, 2 expire
    at REAL NOT NULL,             -- seconds since the Unix epoch
    key TEXT NOT NULL
) STRICT;
