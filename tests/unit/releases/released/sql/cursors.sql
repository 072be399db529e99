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

-- name: all
SELECT coalesce(c.system, l.system) AS system, coalesce(c.object, l.object) AS object, c.position, c.updated_at,
       CASE WHEN l.expires_at > clock_timestamp() THEN l.holder END AS holder
FROM syncline.cursors c FULL JOIN syncline.leases l USING (system, object)
ORDER BY 1, 2
