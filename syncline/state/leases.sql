-- name: beat
-- Say that this replica is alive, forget those that are not, and count all, and those that come before it by name.
WITH mine AS (
    INSERT INTO syncline.members (service, instance, expires_at)
    VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
    ON CONFLICT (service, instance) DO UPDATE SET expires_at = excluded.expires_at
), dead AS (
    DELETE FROM syncline.members WHERE expires_at <= clock_timestamp() AND instance <> $2
)
SELECT 1 + count(*) AS alive, count(*) FILTER (WHERE instance < $2) AS rank
FROM syncline.members WHERE service = $1 AND instance <> $2 AND expires_at > clock_timestamp()

-- name: leave
DELETE FROM syncline.members WHERE service = $1 AND instance = $2

-- name: idle
-- How many living replicas read nothing.
SELECT count(*) FROM syncline.members AS member
WHERE service = $1 AND expires_at > clock_timestamp() AND NOT EXISTS (
    SELECT FROM syncline.leases AS lease WHERE lease.holder = member.instance AND lease.expires_at > clock_timestamp()
)

-- name: renew
UPDATE syncline.leases
SET expires_at = clock_timestamp() + make_interval(secs => $2)
WHERE holder = $1 AND expires_at > '-infinity'
RETURNING system, object, fence

-- name: take
-- Ordered, so that replicas that take at once lock in the same order; who comes second finds the lease renewed.
INSERT INTO syncline.leases AS lease (system, object, holder, fence, expires_at)
SELECT wanted.system, wanted.object, $3, 1, clock_timestamp() + make_interval(secs => $4)
FROM unnest($1::text[], $2::text[]) AS wanted (system, object)
LEFT JOIN syncline.leases AS held USING (system, object)
WHERE held.expires_at IS NULL OR held.expires_at <= clock_timestamp()
ORDER BY wanted.system, wanted.object
LIMIT $5
ON CONFLICT (system, object) DO UPDATE
SET holder = excluded.holder, fence = lease.fence + 1, expires_at = excluded.expires_at
WHERE lease.expires_at <= clock_timestamp()
RETURNING system, object, fence

-- name: release
UPDATE syncline.leases SET expires_at = '-infinity'
WHERE holder = $1 AND system = $2 AND object = $3 AND fence = $4
