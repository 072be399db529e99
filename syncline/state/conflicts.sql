-- name: record
INSERT INTO syncline.conflicts (pipeline, source, target, field, agreed, incoming, present, decided, version)
SELECT pipeline, source, target, field, agreed, incoming, present, decided, version
FROM jsonb_to_recordset($1::jsonb) AS g (
    pipeline text, source text, target text, field text,
    agreed jsonb, incoming jsonb, present jsonb, decided text, version text
)
ORDER BY pipeline, source, field, version
ON CONFLICT (pipeline, source, field, version) DO NOTHING

-- name: list
SELECT pipeline, source, target, field, agreed, incoming, present, decided, version
FROM syncline.conflicts
ORDER BY id DESC
LIMIT $1
