-- name: find
SELECT input, done, "offset", written, at FROM syncline.dead_letters WHERE input = ANY($1::bytea[])

-- name: mark
INSERT INTO syncline.dead_letters (input, done, "offset", written)
SELECT g.input, $4, g."offset", g.written
FROM unnest($1::bytea[], $2::bigint[], $3::timestamptz[]) AS g (input, "offset", written)
ORDER BY g.input
ON CONFLICT (input) DO UPDATE
SET done = excluded.done, "offset" = excluded."offset", written = excluded.written, at = now()
