-- name: install
CREATE SCHEMA IF NOT EXISTS syncline_capture;

-- One row for each record that a statement touched. xid orders rows by transaction: what is below the oldest running
-- transaction is final and can be read without missing anybody. seq is the record's version.
CREATE TABLE IF NOT EXISTS syncline_capture.changes (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
    object    text NOT NULL,
    key       text NOT NULL,
    logged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    origin    text NOT NULL DEFAULT current_setting('application_name')
);
CREATE INDEX IF NOT EXISTS changes_transaction ON syncline_capture.changes (object, xid, seq);
CREATE INDEX IF NOT EXISTS changes_record ON syncline_capture.changes (object, key, seq);

-- The trigger of every captured table, once a statement. Arguments: the object, and the column that holds its key.
-- It runs with its owner's rights, so that whoever may write the table needs no right on the log.
-- An update that changes nothing is logged too: comparing rows would cost every honest update more than the event
-- costs that is recognised later as no news.
CREATE OR REPLACE FUNCTION syncline_capture.log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rows_of text := CASE TG_OP
        WHEN 'INSERT' THEN 'SELECT %2$I AS key FROM new_rows'
        WHEN 'UPDATE' THEN 'SELECT %2$I AS key FROM new_rows UNION ALL SELECT %2$I FROM old_rows'
        WHEN 'DELETE' THEN 'SELECT %2$I AS key FROM old_rows'
        -- Before a TRUNCATE the table is locked and still full: each row is logged, and each becomes a deletion.
        ELSE 'SELECT %2$I AS key FROM %3$I.%4$I'
    END;
    logged bigint;
BEGIN
    EXECUTE format(
        'INSERT INTO syncline_capture.changes (object, key)'
        ' SELECT DISTINCT %1$L, key::text FROM (' || rows_of || ') AS touched WHERE key IS NOT NULL',
        TG_ARGV[0], TG_ARGV[1], TG_TABLE_SCHEMA, TG_TABLE_NAME
    );
    GET DIAGNOSTICS logged = ROW_COUNT;
    IF logged > 0 THEN
        PERFORM pg_notify('syncline_capture', TG_ARGV[0]);
    END IF;
    RETURN NULL;
END
$$;

-- name: triggers
SELECT tgrelid::bigint AS table_id, tgname AS name, tgrelid::regclass::text AS on_table
FROM pg_trigger
WHERE tgfoid = to_regprocedure('syncline_capture.log()') AND tgenabled IN ('O', 'A')

-- name: tables
SELECT name, to_regclass(name)::oid::bigint AS table_id FROM unnest($1::text[]) AS name

-- name: bounds
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, pg_snapshot_xmax(pg_current_snapshot())::text AS newest

-- name: logged
SELECT seq, xid::text AS xid, key
FROM syncline_capture.changes
WHERE object = $1
  AND (xid, seq) > ($2::text::xid8, $3)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, seq
LIMIT $4

-- name: versions
SELECT wanted.key, newest.seq, newest.time, newest.origin, newest.settled
FROM unnest($2::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT
        seq,
        to_char(logged_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time,
        origin,
        xid < pg_snapshot_xmin(pg_current_snapshot()) AS settled
    FROM syncline_capture.changes
    WHERE object = $1 AND key = wanted.key
    ORDER BY seq DESC
    LIMIT 1
) AS newest

-- name: touched
SELECT DISTINCT key
FROM syncline_capture.changes
WHERE object = $1
  AND ($2::text IS NULL OR key > $2)
  AND ($3::timestamptz IS NULL OR logged_at >= $3)
ORDER BY key
LIMIT $4

-- name: prune
DELETE FROM syncline_capture.changes
WHERE seq IN (
    SELECT old.seq
    FROM syncline_capture.changes AS old
    WHERE old.object = $1
      AND old.xid < $2::text::xid8
      AND old.logged_at < now() - make_interval(secs => $3)
      AND EXISTS (
          SELECT FROM syncline_capture.changes AS newer
          WHERE newer.object = old.object AND newer.key = old.key AND newer.seq > old.seq
      )
    LIMIT $4
)
