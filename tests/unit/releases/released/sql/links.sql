-- name: find
-- Each record asked for is side a or side b of its links, `asked`; a probe of one index each. Its own side comes first.
-- OFFSET 0 keeps the other side's kind out of the probe: before a new table has statistics, the planner may take it for
-- as good as the record's id, and look through all links of the two objects for each record.
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        WITH ORDINALITY AS w (asked, system, object, id, other_system, other_object, place)
)
SELECT w.place, l.a_id, l.a_version, l.a_known, l.a_review, l.a_contested,
       l.b_id, l.b_version, l.b_known, l.b_review, l.b_contested,
       l.revision, l.id, l.ended, l.ended_by, l.bounces, l.bounced_to, l.bounced_at, l.paused
FROM wanted w
CROSS JOIN LATERAL (
    SELECT * FROM syncline.links l WHERE (l.a_system, l.a_object, l.a_id) = (w.system, w.object, w.id) OFFSET 0
) l
WHERE w.asked = 'a' AND (l.b_system, l.b_object) = (w.other_system, w.other_object)
UNION ALL
SELECT w.place, l.b_id, l.b_version, l.b_known, l.b_review, l.b_contested,
       l.a_id, l.a_version, l.a_known, l.a_review, l.a_contested,
       l.revision, l.id, l.ended, l.ended_by, l.bounces, l.bounced_to, l.bounced_at, l.paused
FROM wanted w
CROSS JOIN LATERAL (
    SELECT * FROM syncline.links l WHERE (l.b_system, l.b_object, l.b_id) = (w.system, w.object, w.id) OFFSET 0
) l
WHERE w.asked = 'b' AND (l.a_system, l.a_object) = (w.other_system, w.other_object)

-- name: after
SELECT a_system, a_object, b_system, b_object, a_id, a_version, a_known, a_review, a_contested,
       b_id, b_version, b_known, b_review, b_contested,
       revision, id, ended, ended_by, bounces, bounced_to, bounced_at, paused
FROM syncline.links WHERE id > $1 ORDER BY id LIMIT $2

-- name: save
-- Both directions of a pair update the same row, so rows are locked in one order, and all updates come before the
-- first insert: two batches that meet wait for each other, they do not deadlock. A version is of one record: only as
-- long as the side is the same record it never goes backwards.
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS g (
        place int, id bigint, revision bigint,
        a_system text, a_object text, a_id text, a_version text, a_known jsonb, a_review jsonb, a_contested jsonb,
        b_system text, b_object text, b_id text, b_version text, b_known jsonb, b_review jsonb, b_contested jsonb,
        ended text, ended_by text, bounces int, bounced_to text, bounced_at text, paused boolean
    )
), locked AS (
    SELECT l.id, g.place
    FROM given g
    JOIN syncline.links l USING (id)
    WHERE g.revision > 0
    ORDER BY l.id
    FOR UPDATE OF l
), updated AS (
    UPDATE syncline.links l
    SET a_id = g.a_id,
        a_version = CASE l.a_id
            WHEN g.a_id THEN greatest(l.a_version, g.a_version COLLATE "C") ELSE g.a_version END,
        a_known = g.a_known, a_review = g.a_review, a_contested = g.a_contested,
        b_id = g.b_id,
        b_version = CASE l.b_id
            WHEN g.b_id THEN greatest(l.b_version, g.b_version COLLATE "C") ELSE g.b_version END,
        b_known = g.b_known, b_review = g.b_review, b_contested = g.b_contested,
        ended = g.ended, ended_by = g.ended_by,
        bounces = g.bounces, bounced_to = g.bounced_to, bounced_at = g.bounced_at, paused = g.paused,
        revision = l.revision + 1, updated_at = now()
    FROM locked JOIN given g USING (place)
    WHERE l.id = locked.id AND l.revision = g.revision
    RETURNING g.place
), inserted AS (
    INSERT INTO syncline.links AS l
        (a_system, a_object, a_id, a_version, a_known, a_review, a_contested,
         b_system, b_object, b_id, b_version, b_known, b_review, b_contested,
         ended, ended_by, bounces, bounced_to, bounced_at, paused)
    SELECT a_system, a_object, a_id, a_version, a_known, a_review, a_contested,
           b_system, b_object, b_id, b_version, b_known, b_review, b_contested,
           ended, ended_by, bounces, bounced_to, bounced_at, paused
    FROM given
    WHERE revision = 0 AND (SELECT count(*) FROM updated) >= 0
    ORDER BY a_system, a_object, a_id, b_system, b_object, b_id
    ON CONFLICT DO NOTHING
    RETURNING l.a_system, l.a_object, l.a_id, l.b_system, l.b_object, l.b_id
)
SELECT place, NULL AS a_system, NULL AS a_object, NULL AS a_id, NULL AS b_system, NULL AS b_object, NULL AS b_id
FROM updated
UNION ALL
SELECT NULL, a_system, a_object, a_id, b_system, b_object, b_id
FROM inserted
