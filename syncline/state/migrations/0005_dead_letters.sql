-- The dead letters that a person has dealt with. The letters themselves are on their topic, which keeps them for its
-- time whatever is decided. input: digest of what names the refused input (stage, position, pipeline), since a service
-- that is killed refuses it again. "offset", written: the newest letter that the decision covers. Both count, for a
-- topic that was made anew begins again at offset 0.
CREATE TABLE syncline.dead_letters (
    input    bytea PRIMARY KEY,
    done     text NOT NULL CHECK (done IN ('retried', 'dropped')),
    "offset" bigint NOT NULL,
    written  timestamptz NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
