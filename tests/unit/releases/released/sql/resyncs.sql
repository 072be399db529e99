-- name: ask
-- One that nobody has begun yet will do the same: whoever repeats a command that was cut off asks once.
WITH same AS (
    SELECT id FROM syncline.resyncs
    WHERE done_at IS NULL AND position IS NULL AND (system, object) = ($1, $2)
      AND records IS NOT DISTINCT FROM $3 AND since IS NOT DISTINCT FROM $4 AND pipelines IS NOT DISTINCT FROM $5
    ORDER BY id LIMIT 1
), made AS (
    INSERT INTO syncline.resyncs (system, object, records, since, pipelines)
    SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM same)
    RETURNING id
)
SELECT id FROM same UNION ALL SELECT id FROM made

-- name: next
SELECT id, system, object, records, since, pipelines, asked_at, position, read, remaining, missing, why, done_at
FROM syncline.resyncs
WHERE system = $1 AND object = $2 AND done_at IS NULL
ORDER BY id LIMIT 1

-- name: store
-- The lease is locked, so that nobody takes it over between the check and the write. One that was cancelled stays so.
WITH held AS (
    SELECT FROM syncline.leases WHERE system = $1 AND object = $2 AND fence = $3 FOR SHARE
)
UPDATE syncline.resyncs r
SET position = $5, read = r.read + $6, remaining = $7, missing = $8, why = coalesce(r.why, $9),
    done_at = coalesce(r.done_at, CASE WHEN $10 THEN now() END)
FROM held
WHERE r.id = $4
RETURNING true

-- name: get
SELECT id, system, object, records, since, pipelines, asked_at, position, read, remaining, missing, why, done_at
FROM syncline.resyncs WHERE id = ANY($1::bigint[]) ORDER BY id

-- name: unfinished
SELECT id, system, object, records, since, pipelines, asked_at, position, read, remaining, missing, why, done_at
FROM syncline.resyncs WHERE done_at IS NULL ORDER BY id

-- name: cancel
UPDATE syncline.resyncs SET done_at = now(), why = 'cancelled' WHERE id = ANY($1::bigint[]) AND done_at IS NULL
RETURNING id
