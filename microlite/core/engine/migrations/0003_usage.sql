-- What each namespace holds, so that nobody has to count it.

CREATE TABLE usage (
    namespace TEXT PRIMARY KEY,
    records INTEGER NOT NULL, -- rows of `records`
    bytes INTEGER NOT NULL    -- of their values, and of those of `entries`
) STRICT;

INSERT INTO usage (namespace, records, bytes)
SELECT namespace, sum(records), sum(bytes) FROM (
    SELECT buckets.namespace, count(*) AS records, sum(length(records.value)) AS bytes
    FROM records JOIN buckets ON buckets.id = records.bucket
    GROUP BY buckets.namespace
    UNION ALL
    SELECT streams.namespace, 0, sum(length(entries.value))
    FROM entries JOIN streams ON streams.id = entries.id >> 40
    GROUP BY streams.namespace
) GROUP BY namespace;
