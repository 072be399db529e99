-- What people asked to be read again from its source. records: these alone; since: what changed since then; both null:
-- all. pipelines: those that are to write it again, null for all. position: how far it has come, in the source's own
-- words, stored under the fence of the object's lease. remaining: records still to come, null while it is not known.
-- missing: of `records`, those that there are not. why: what kept it from its end.
CREATE TABLE syncline.resyncs (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system    text NOT NULL,
    object    text NOT NULL,
    records   jsonb,
    since     timestamptz,
    pipelines jsonb,
    asked_at  timestamptz NOT NULL DEFAULT now(),
    position  jsonb,
    read      bigint NOT NULL DEFAULT 0,
    remaining bigint,
    missing   jsonb NOT NULL DEFAULT '[]',
    why       text,
    done_at   timestamptz
);
CREATE INDEX resyncs_open ON syncline.resyncs (system, object, id) WHERE done_at IS NULL;
