-- name: record
INSERT INTO syncline.conflicts
    (pipeline, source, target, field, agreed, incoming, present, decided, version, source_time, target_time, inputs)
SELECT pipeline, source, target, field, coalesce(agreed, 'null'), coalesce(incoming, 'null'), coalesce(present, 'null'),
       decided, version, source_time, target_time, inputs
FROM jsonb_to_recordset($1::jsonb) AS g (
    pipeline text, source text, target text, field text, agreed jsonb, incoming jsonb, present jsonb,
    decided text, version text, source_time text, target_time text, inputs jsonb
)
ORDER BY pipeline, source, field, version
ON CONFLICT DO NOTHING

-- name: list
SELECT id, pipeline, source, target, field, agreed, incoming, present, decided, version, source_time, target_time,
       inputs, resolved, at
FROM syncline.conflicts
WHERE NOT $2 OR (decided IN ('review', 'paused') AND resolved IS NULL)
ORDER BY id DESC
LIMIT $1

-- name: about
SELECT id, pipeline, source, target, field, agreed, incoming, present, decided, version, source_time, target_time,
       inputs, resolved, at
FROM syncline.conflicts
WHERE pipeline = ANY($1::text[]) AND source = ANY($2::text[])
ORDER BY id

-- name: get
SELECT id, pipeline, source, target, field, agreed, incoming, present, decided, version, source_time, target_time,
       inputs, resolved, at
FROM syncline.conflicts
WHERE id = $1

-- name: alike
-- Those that wait for the same decision as conflict $1: the same field of the same pair (or, where the pair is paused, the
-- pair), found again after a crash or found from the other direction.
SELECT each.id
FROM syncline.conflicts one
JOIN syncline.conflicts each ON each.decided = one.decided AND each.resolved IS NULL
WHERE one.id = $1
  AND (
      (each.source, each.target) = (one.source, one.target)
          AND (each.field = one.field OR one.decided = 'paused')
      OR (each.source, each.target) = (one.target, one.source)
          AND (jsonb_exists(one.inputs, each.field) OR one.decided = 'paused')
  )

-- name: resolve
UPDATE syncline.conflicts SET resolved = $2, resolved_at = now() WHERE id = ANY($1::bigint[]) AND resolved IS NULL

-- name: counts
SELECT count(*) FILTER (WHERE decided IN ('review', 'paused') AND resolved IS NULL) AS waiting,
       count(*) FILTER (WHERE at > now() - interval '1 day') AS last_day
FROM syncline.conflicts
