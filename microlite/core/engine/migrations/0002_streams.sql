-- Streams, and their entries.

-- Rows stay when a stream is dropped, so that its positions are never given out again.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    first INTEGER NOT NULL,   -- the entries before this position were trimmed: nobody reads them any more
    swept INTEGER NOT NULL,   -- those before this one are off the disk as well
    dropped INTEGER NOT NULL, -- 1 until the next entry comes
    UNIQUE (namespace, name)
) STRICT;

CREATE INDEX streams_to_sweep ON streams (id) WHERE swept < first;

-- The row number holds both the stream and the position, so that one tree without an index carries all streams: a stream
-- lies together, grows at its end and shrinks at its beginning. Positions have no gap, so that counting is subtracting,
-- and sizes add up from entry to entry, so that measuring is, too. The last entry of a stream says where it stands, and
-- is never swept: when it is trimmed, only its value goes.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,   -- stream << 40 | position, positions from 1
    at REAL NOT NULL,         -- seconds since the Unix epoch; never falls within a stream
    total INTEGER NOT NULL,   -- bytes of all values of the stream so far, this one's and trimmed ones' too
    value BLOB NOT NULL
) STRICT;
