-- name: leave
INSERT INTO syncline.partitions (count) VALUES ($1) ON CONFLICT (count) DO UPDATE SET until = now()

-- name: former
SELECT count FROM syncline.partitions ORDER BY count
