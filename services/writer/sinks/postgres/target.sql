-- name: defaults
-- Of a table, by its quoted name: what a column takes that is not given.
SELECT attribute.attname AS name, pg_get_expr(value.adbin, value.adrelid) AS expression
FROM pg_attrdef AS value
JOIN pg_attribute AS attribute ON attribute.attrelid = value.adrelid AND attribute.attnum = value.adnum
WHERE value.adrelid = to_regclass($1) AND attribute.attgenerated = ''

-- name: blames
-- Of a table, by its quoted name: the columns behind each constraint and unique index, which errors name.
SELECT rule.name, array_agg(attribute.attname::text ORDER BY attribute.attnum) AS columns
FROM (
    SELECT conname::text AS name, conrelid AS table_id, conkey::int[] AS columns FROM pg_constraint
    UNION
    SELECT relname::text, indrelid, indkey::int[] FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
) AS rule
JOIN pg_attribute AS attribute ON attribute.attrelid = rule.table_id AND attribute.attnum = ANY (rule.columns)
WHERE rule.table_id = to_regclass($1)
GROUP BY rule.name
