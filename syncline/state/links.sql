-- name: find
-- Each record asked for is side a or side b of its links, `asked`; a probe of one index each.
SELECT w.place, l.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
     WITH ORDINALITY AS w (asked, system, object, id, other_system, other_object, place)
JOIN syncline.links l
  ON (l.a_system, l.a_object, l.a_id, l.b_system, l.b_object)
   = (w.system, w.object, w.id, w.other_system, w.other_object)
WHERE w.asked = 'a'
UNION ALL
SELECT w.place, l.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
     WITH ORDINALITY AS w (asked, system, object, id, other_system, other_object, place)
JOIN syncline.links l
  ON (l.b_system, l.b_object, l.b_id, l.a_system, l.a_object)
   = (w.system, w.object, w.id, w.other_system, w.other_object)
WHERE w.asked = 'b'

-- name: of_a
-- Many records of one object; a probe of the index each.
SELECT l.*
FROM unnest($5::text[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT * FROM syncline.links
    WHERE (a_system, a_object, a_id, b_system, b_object) = ($1, $2, asked.id, $3, $4)
    LIMIT 1
) AS l

-- name: of_b
SELECT l.*
FROM unnest($5::text[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT * FROM syncline.links
    WHERE (b_system, b_object, b_id, a_system, a_object) = ($1, $2, asked.id, $3, $4)
    LIMIT 1
) AS l

-- name: between
SELECT l.*
FROM syncline.links l
WHERE (l.a_system, l.a_object, l.b_system, l.b_object) = ($1, $2, $3, $4) AND l.id > $5
ORDER BY l.id
LIMIT $6

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
