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

-- name: get
SELECT id, pipeline, source, target, field, agreed, incoming, present, decided, version, source_time, target_time,
       inputs, resolved, at
FROM syncline.conflicts
WHERE id = $1

-- name: resolve
UPDATE syncline.conflicts SET resolved = $2, resolved_at = now() WHERE id = $1 AND resolved IS NULL
