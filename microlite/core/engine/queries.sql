-- Every statement of the engine. A block begins with its name, and says next what it is for where the name does not.
-- A line that ends with "-- each" is a row of a VALUES list, and repeated as often as there are rows.

-- name: first_change
SELECT position, revision, at FROM changes WHERE position = (SELECT min(position) FROM changes)

-- name: last_change
SELECT position, revision, at FROM changes WHERE position = (SELECT max(position) FROM changes)

-- name: revision_at
SELECT revision FROM changes WHERE position = ?1

-- name: bucket_id
SELECT id FROM buckets WHERE namespace = ?1 AND name = ?2

-- name: bucket_name
SELECT namespace, name FROM buckets WHERE id = ?1

-- name: add_bucket
INSERT INTO buckets (namespace, name) VALUES (?1, ?2) RETURNING id

-- name: list_buckets
-- The buckets of a namespace that hold a record at the time ?2: one look into the index for each bucket.
SELECT name FROM buckets WHERE namespace = ?1 AND EXISTS (
    SELECT 1 FROM records WHERE records.bucket = buckets.id AND (expires_at IS NULL OR expires_at > ?2)
) ORDER BY name

-- name: get
SELECT revision, expires_at, value FROM records WHERE bucket = ?1 AND key = ?2

-- name: get_many
-- ?2 is a JSON array of keys, ?3 the time.
SELECT key, revision, expires_at, value FROM records
WHERE bucket = ?1 AND key IN (SELECT value FROM json_each(?2)) AND (expires_at IS NULL OR expires_at > ?3)

-- name: scan
-- Keys from ?2 on and below ?3, alive at ?4, that end in ?5; ?6 leaves the values unread, their overflow pages included.
SELECT key, revision, expires_at, CASE WHEN ?6 THEN x'' ELSE value END FROM records
WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND (expires_at IS NULL OR expires_at > ?4)
    AND (?5 = '' OR substr(key, -length(?5)) = ?5)
ORDER BY key

-- name: scan_back
-- The same from the end.
SELECT key, revision, expires_at, CASE WHEN ?6 THEN x'' ELSE value END FROM records
WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND (expires_at IS NULL OR expires_at > ?4)
    AND (?5 = '' OR substr(key, -length(?5)) = ?5)
ORDER BY key DESC

-- name: count
-- As scan; counts to ?6 and no further.
SELECT count(*) FROM (
    SELECT 1 FROM records
    WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND (expires_at IS NULL OR expires_at > ?4)
        AND (?5 = '' OR substr(key, -length(?5)) = ?5)
    LIMIT ?6
)

-- name: current_revisions
-- ?1 is a JSON array of [bucket, key]; gives a JSON array of [position in it, revision, bytes of the value] for those on
-- disk; the revision of what is not alive at ?2 is 0. All in one row: each row that a statement yields costs the writer
-- thread a wait for the interpreter.
SELECT json_group_array(json_array(
    wanted.key, iif(records.expires_at <= ?2, 0, records.revision), length(records.value)
))
FROM json_each(?1) AS wanted CROSS JOIN records
    ON records.bucket = wanted.value ->> 0 AND records.key = wanted.value ->> 1

-- name: measure
-- How many of the keys in ?2, a JSON array, are on disk in a bucket, and the bytes of their values together.
SELECT count(*), coalesce(sum(length(value)), 0) FROM records
WHERE bucket = ?1 AND key IN (SELECT value FROM json_each(?2))

-- name: put_records
INSERT INTO records (bucket, key, revision, expires_at, value) VALUES
    (?, ?, ?, ?, ?) -- each
ON CONFLICT (bucket, key) DO UPDATE
    SET revision = excluded.revision, expires_at = excluded.expires_at, value = excluded.value

-- name: delete_records
-- ?1 is a JSON array of [bucket, key].
DELETE FROM records WHERE (bucket, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))

-- name: log_changes
INSERT INTO changes (position, revision, bucket, kind, at, key) VALUES
    (?, ?, ?, ?, ?, ?) -- each

-- name: changes_after
-- What happened in a bucket behind a position, in order, with the record as it is now.
SELECT changes.position, changes.revision, changes.kind, changes.key, records.revision, records.expires_at, records.value
FROM changes LEFT JOIN records ON records.bucket = changes.bucket AND records.key = changes.key
WHERE changes.position > ?1 AND changes.bucket = ?2 AND changes.key >= ?3 AND changes.key < ?4
ORDER BY changes.position

-- name: forgettable
-- The last among the changes up to ?2 that is at least as old as ?1.
SELECT max(position) FROM (SELECT position, at FROM changes WHERE position <= ?2) WHERE at <= ?1

-- name: forget_changes
DELETE FROM changes WHERE position <= ?1

-- name: expired
-- At most ?2 records whose time had come at ?1, the longest dead first, as one JSON array of [id, bucket, key, bytes].
SELECT json_group_array(json_array(id, bucket, key, size)) FROM (
    SELECT id, bucket, key, length(value) AS size FROM records WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
)

-- name: delete_expired
-- ?1 is a JSON array of ids.
DELETE FROM records WHERE id IN (SELECT value FROM json_each(?1))

-- name: next_expiry
SELECT min(expires_at) FROM records WHERE expires_at IS NOT NULL

-- name: stream_id
SELECT id FROM streams WHERE namespace = ?1 AND name = ?2

-- name: add_stream
INSERT INTO streams (namespace, name, first, swept, dropped) VALUES (?1, ?2, 1, 1, 0) RETURNING id

-- name: list_streams
-- The streams of a namespace that have, or had, an entry: a refused batch may have left a row without one.
SELECT name FROM streams WHERE namespace = ?1 AND NOT dropped AND EXISTS (
    SELECT 1 FROM entries WHERE entries.id > streams.id << 40 AND entries.id < (streams.id + 1) << 40
) ORDER BY name

-- name: stream_head
SELECT streams.first, streams.dropped, entries.id, entries.at, entries.total
FROM streams LEFT JOIN entries ON entries.id = (
    SELECT max(id) FROM entries WHERE id > ?1 << 40 AND id < (?1 + 1) << 40
) WHERE streams.id = ?1

-- name: stream_state
-- Its first and last position, and bytes of values from the first to the last: sums up to the last, less those before
-- the first.
SELECT streams.first, entries.id, entries.total - coalesce((
    SELECT total - length(value) FROM entries WHERE id = (?1 << 40) + streams.first
), entries.total)
FROM streams LEFT JOIN entries ON entries.id = (
    SELECT max(id) FROM entries WHERE id > ?1 << 40 AND id < (?1 + 1) << 40
) WHERE streams.id = ?1

-- name: move_stream
UPDATE streams SET first = ?2, dropped = ?3 WHERE id = ?1

-- name: append_entries
INSERT INTO entries (id, at, total, value) VALUES
    (?, ?, ?, ?) -- each

-- name: read_entries
-- At most ?3 entries of the stream ?1 behind the position ?2 that are not trimmed.
SELECT id, at, value FROM entries
WHERE id >= (?1 << 40) + max(?2 + 1, (SELECT first FROM streams WHERE id = ?1)) AND id < (?1 + 1) << 40
ORDER BY id LIMIT ?3

-- name: read_entries_back
-- Those before the position ?2, the last one first.
SELECT id, at, value FROM entries
WHERE id >= (?1 << 40) + (SELECT first FROM streams WHERE id = ?1) AND id < (?1 << 40) + ?2
ORDER BY id DESC LIMIT ?3

-- name: entry_time
SELECT at FROM entries WHERE id = ?1

-- name: entry_total
SELECT total FROM entries WHERE id = ?1

-- name: stream_to_sweep
SELECT id, swept, first, namespace FROM streams WHERE swept < first LIMIT 1

-- name: entries_to_sweep
-- The rows from ?1 on and before ?2, at most ?3 of them, as a JSON array of [id, bytes].
SELECT json_group_array(json_array(id, size)) FROM (
    SELECT id, length(value) AS size FROM entries WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3
)

-- name: sweep_entries
-- Those from ?1 to ?2.
DELETE FROM entries WHERE id >= ?1 AND id <= ?2

-- name: empty_entry
-- The last of a stream stays, without its value.
UPDATE entries SET value = x'' WHERE id = ?1 AND value != x''

-- name: swept
UPDATE streams SET swept = ?2 WHERE id = ?1

-- name: move_mark
-- The last row of the log says where the database stands, when what came last changed no record.
UPDATE changes SET revision = ?2, at = ?3 WHERE position = ?1

-- name: usage
SELECT json_group_array(json_array(namespace, records, bytes)) FROM usage

-- name: add_usage
INSERT INTO usage (namespace, records, bytes) VALUES (?1, ?2, ?3)
ON CONFLICT (namespace) DO UPDATE SET records = records + excluded.records, bytes = bytes + excluded.bytes

-- name: forget_usage
DELETE FROM usage WHERE namespace = ?1

-- name: drop_streams
-- At most ?2 streams of the namespace ?1: all their entries are trimmed, and their names are gone.
UPDATE streams SET dropped = 1, first = 1 + coalesce((
    SELECT max(id) FROM entries WHERE entries.id > streams.id << 40 AND entries.id < (streams.id + 1) << 40
), streams.id << 40) - (streams.id << 40)
WHERE id IN (SELECT id FROM streams WHERE namespace = ?1 AND NOT dropped LIMIT ?2)

-- name: records_of_namespace
-- At most ?2 records of the namespace ?1, as one JSON array of [id, bucket, key, bytes].
SELECT json_group_array(json_array(id, bucket, key, size)) FROM (
    SELECT records.id, bucket, key, length(value) AS size
    FROM buckets CROSS JOIN records ON records.bucket = buckets.id
    WHERE buckets.namespace = ?1 LIMIT ?2
)

-- name: is_swept
-- Whether no entry of a namespace is on the disk that nobody reads any more.
SELECT count(*) = 0 FROM streams WHERE swept < first AND namespace = ?1
