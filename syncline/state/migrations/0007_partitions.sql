-- The partition counts that the topics had before the one that they have. What was written until then lies where its
-- key lay by that count, and is looked for there too.
CREATE TABLE syncline.partitions (
    count int PRIMARY KEY CHECK (count > 0),
    until timestamptz NOT NULL DEFAULT now()
);
