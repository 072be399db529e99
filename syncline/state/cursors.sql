-- name: load
SELECT position FROM syncline.cursors WHERE system = $1 AND object = $2

-- name: store
-- The lease is locked, so that nobody takes it over between the check and the write.
WITH held AS (
    SELECT FROM syncline.leases WHERE system = $1 AND object = $2 AND fence = $4 FOR SHARE
)
INSERT INTO syncline.cursors AS cursor (system, object, position, fence)
SELECT $1, $2, $3, $4 FROM held
ON CONFLICT (system, object) DO UPDATE
SET position = excluded.position, fence = excluded.fence, updated_at = now()
WHERE cursor.fence <= excluded.fence
RETURNING true
