-- name: conflicts
SELECT id, pipeline, source, target, field, agreed, incoming, present, decided, version, at, resolved, resolved_at
FROM syncline.conflicts
WHERE source = ANY($1::text[]) OR target = ANY($1::text[])
ORDER BY id
