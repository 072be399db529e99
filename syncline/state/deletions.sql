-- name: claim
-- One statement decides for the whole batch: a repeat of a known deletion keeps its state, an approved one is done now,
-- and new ones are done as long as the last hour's count stays within the limit. The lock makes replicas count in turn.
WITH lock AS (
    SELECT pg_advisory_xact_lock(hashtext('syncline.deletions'))
), given AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS g (
        place int, pipeline text, source text, version text, "limit" int, command jsonb)
    WHERE (SELECT count(*) FROM lock) >= 0
), recent AS (
    SELECT d.pipeline, count(*) AS done
    FROM syncline.deletions d
    WHERE d.state = 'done' AND d.at > now() - interval '1 hour' AND d.pipeline IN (SELECT pipeline FROM given)
    GROUP BY d.pipeline
), fresh AS (
    SELECT g.*, count(*) OVER (PARTITION BY g.pipeline) + coalesce(r.done, 0) AS together
    FROM given g LEFT JOIN recent r USING (pipeline)
    WHERE NOT EXISTS (
        SELECT FROM syncline.deletions d WHERE (d.pipeline, d.source, d.version) = (g.pipeline, g.source, g.version))
), added AS (
    INSERT INTO syncline.deletions (pipeline, source, version, command, state)
    SELECT pipeline, source, version, command, CASE WHEN together <= "limit" THEN 'done' ELSE 'waiting' END
    FROM fresh
    RETURNING pipeline, source, version, state
), approved AS (
    UPDATE syncline.deletions d SET state = 'done', at = now()
    FROM given g
    WHERE (d.pipeline, d.source, d.version) = (g.pipeline, g.source, g.version) AND d.state = 'approved'
    RETURNING d.pipeline, d.source, d.version, d.state
)
SELECT g.place, coalesce(a.state, p.state, d.state) AS state
FROM given g
LEFT JOIN added a USING (pipeline, source, version)
LEFT JOIN approved p USING (pipeline, source, version)
LEFT JOIN syncline.deletions d USING (pipeline, source, version)
ORDER BY g.place

-- name: waiting
SELECT pipeline, count(*) AS deletions, min(at) AS since FROM syncline.deletions WHERE state = 'waiting' GROUP BY pipeline

-- name: decide
UPDATE syncline.deletions SET state = $2 WHERE pipeline = $1 AND state = 'waiting' RETURNING command

-- name: block
UPDATE syncline.deletions d SET state = 'blocked'
FROM jsonb_to_recordset($1::jsonb) AS g (pipeline text, source text, version text)
WHERE (d.pipeline, d.source, d.version) = (g.pipeline, g.source, g.version)

-- name: unblock
UPDATE syncline.deletions SET state = 'approved' WHERE state = 'blocked' RETURNING command
