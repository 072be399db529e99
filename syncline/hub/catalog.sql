-- name: columns
-- Of one table, by its quoted name; a domain counts as the type beneath it. length: characters.
SELECT
    attribute.attname AS name,
    base.typname AS type,
    format_type(attribute.atttypid, attribute.atttypmod) AS declared,
    CASE
        WHEN base.typname IN ('varchar', 'bpchar') THEN NULLIF(GREATEST(attribute.atttypmod, type.typtypmod), -1) - 4
    END AS length,
    attribute.attgenerated = ''
        AND attribute.attidentity <> 'a'
        AND has_column_privilege(attribute.attrelid, attribute.attnum, 'INSERT')
        AND has_column_privilege(attribute.attrelid, attribute.attnum, 'UPDATE') AS writable,
    attribute.attnotnull AND NOT attribute.atthasdef AND attribute.attidentity = '' AS required,
    EXISTS (
        SELECT FROM pg_index AS index
        WHERE index.indrelid = attribute.attrelid
          AND index.indisunique
          AND index.indpred IS NULL
          AND index.indnkeyatts = 1
          AND index.indkey[0] = attribute.attnum
    ) AS is_unique,
    EXISTS (
        SELECT FROM pg_constraint AS foreign_key
        WHERE foreign_key.conrelid = attribute.attrelid
          AND foreign_key.contype = 'f'
          AND foreign_key.conkey = ARRAY[attribute.attnum]
    ) AS refers,
    ARRAY(
        SELECT label.enumlabel FROM pg_enum AS label WHERE label.enumtypid = base.oid ORDER BY label.enumsortorder
    )::text[] AS labels
FROM pg_attribute AS attribute
JOIN pg_type AS type ON type.oid = attribute.atttypid
JOIN pg_type AS base ON base.oid = COALESCE(NULLIF(type.typbasetype, 0), type.oid)
WHERE attribute.attrelid = to_regclass($1) AND attribute.attnum > 0 AND NOT attribute.attisdropped
ORDER BY attribute.attnum

-- name: rights
-- What the user may do with rows of one table, by its quoted name.
SELECT
    has_any_column_privilege(to_regclass($1), 'SELECT') AS read,
    has_any_column_privilege(to_regclass($1), 'INSERT') AS create,
    has_any_column_privilege(to_regclass($1), 'UPDATE') AS update,
    has_table_privilege(to_regclass($1), 'DELETE') AS delete
