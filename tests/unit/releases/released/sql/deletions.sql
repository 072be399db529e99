-- name: lock
-- Replicas count in turn. A statement of its own, before the one that counts, and READ COMMITTED: there a statement sees
-- what was committed when it began, so one that waits for the lock inside itself counts without those it waited for.
SELECT pg_advisory_xact_lock(hashtext('syncline.deletions'))

-- name: claim
-- One statement decides for the whole batch: a repeat of a known deletion keeps its state, one that a person approved
-- or that was blocked is done now, and new ones are done as long as the last hour's count stays within the limit. What a
-- person approved does not count: the next one would have to wait for them again.
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS g (
        place int, pipeline text, source text, version text, "limit" int, command jsonb)
), recent AS (
    SELECT d.pipeline, count(*) AS done
    FROM syncline.deletions d
    WHERE d.state = 'done' AND NOT d.consented AND d.at > now() - interval '1 hour'
      AND d.pipeline IN (SELECT pipeline FROM given)
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
), free AS (
    UPDATE syncline.deletions d SET state = 'done', at = now()
    FROM given g
    WHERE (d.pipeline, d.source, d.version) = (g.pipeline, g.source, g.version) AND d.state IN ('approved', 'blocked')
    RETURNING d.pipeline, d.source, d.version, d.state
)
SELECT g.place, coalesce(a.state, f.state, d.state) AS state
FROM given g
LEFT JOIN added a USING (pipeline, source, version)
LEFT JOIN free f USING (pipeline, source, version)
LEFT JOIN syncline.deletions d USING (pipeline, source, version)
ORDER BY g.place

-- name: foreseen
-- What `claim` would go by, and nothing is claimed: the state of each deletion, and how many the last hour counts.
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS g (place int, pipeline text, source text, version text)
)
SELECT d.state, coalesce(r.done, 0) AS recent
FROM given g
LEFT JOIN syncline.deletions d USING (pipeline, source, version)
LEFT JOIN (
    SELECT pipeline, count(*) AS done
    FROM syncline.deletions
    WHERE state = 'done' AND NOT consented AND at > now() - interval '1 hour'
    GROUP BY pipeline
) r USING (pipeline)
ORDER BY g.place

-- name: stopped
SELECT pipeline, state, count(*) AS deletions, min(at) AS since
FROM syncline.deletions
WHERE state IN ('waiting', 'blocked')
GROUP BY pipeline, state
ORDER BY pipeline, state

-- name: of
SELECT source, state
FROM syncline.deletions
WHERE pipeline = ANY($1::text[]) AND source = ANY($2::text[]) AND state IN ('waiting', 'blocked', 'refused')

-- name: approve
-- Those approved before too: whoever approved them may have been cut off before they were on their way.
UPDATE syncline.deletions SET state = 'approved', consented = true
WHERE pipeline = $1 AND state IN ('waiting', 'blocked', 'approved')
RETURNING command

-- name: refuse
UPDATE syncline.deletions SET state = 'refused' WHERE pipeline = $1 AND state IN ('waiting', 'blocked', 'approved')
RETURNING command

-- name: block
UPDATE syncline.deletions d SET state = 'blocked'
FROM jsonb_to_recordset($1::jsonb) AS g (pipeline text, source text, version text)
WHERE (d.pipeline, d.source, d.version) = (g.pipeline, g.source, g.version)

-- name: blocked
SELECT command FROM syncline.deletions WHERE state = 'blocked' ORDER BY at
