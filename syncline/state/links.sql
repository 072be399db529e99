-- name: find
-- Each record asked for is side a or side b of its links, `asked`; a probe of one index each.
SELECT w.place, l.a_id, l.a_version, l.a_known, l.b_id, l.b_version, l.b_known, l.revision
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
     WITH ORDINALITY AS w (asked, system, object, id, other_system, other_object, place)
JOIN syncline.links l
  ON (l.a_system, l.a_object, l.a_id, l.b_system, l.b_object)
   = (w.system, w.object, w.id, w.other_system, w.other_object)
WHERE w.asked = 'a'
UNION ALL
SELECT w.place, l.a_id, l.a_version, l.a_known, l.b_id, l.b_version, l.b_known, l.revision
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
     WITH ORDINALITY AS w (asked, system, object, id, other_system, other_object, place)
JOIN syncline.links l
  ON (l.b_system, l.b_object, l.b_id, l.a_system, l.a_object)
   = (w.system, w.object, w.id, w.other_system, w.other_object)
WHERE w.asked = 'b'

-- name: save
-- Both directions of a pair update the same row, so rows are locked in one order, and all updates come before the
-- first insert: two batches that meet wait for each other, they do not deadlock.
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS g (
        place int, revision bigint,
        a_system text, a_object text, a_id text, a_version text, a_known jsonb,
        b_system text, b_object text, b_id text, b_version text, b_known jsonb
    )
), locked AS (
    SELECT l.id, g.place
    FROM given g
    JOIN syncline.links l
      ON (l.a_system, l.a_object, l.a_id, l.b_system, l.b_object)
       = (g.a_system, g.a_object, g.a_id, g.b_system, g.b_object)
     AND l.b_id = g.b_id
    WHERE g.revision > 0
    ORDER BY l.id
    FOR UPDATE OF l
), updated AS (
    UPDATE syncline.links l
    SET a_version = greatest(l.a_version, g.a_version COLLATE "C"), a_known = g.a_known,
        b_version = greatest(l.b_version, g.b_version COLLATE "C"), b_known = g.b_known,
        revision = l.revision + 1, updated_at = now()
    FROM locked JOIN given g USING (place)
    WHERE l.id = locked.id AND l.revision = g.revision
    RETURNING g.place
), inserted AS (
    INSERT INTO syncline.links AS l
        (a_system, a_object, a_id, a_version, a_known, b_system, b_object, b_id, b_version, b_known)
    SELECT a_system, a_object, a_id, a_version, a_known, b_system, b_object, b_id, b_version, b_known
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
