-- review: fields of that side that wait for a person. ended, ended_by: how the pair ended, and in which system.
-- bounces, bounced_to, bounced_at: writes that went back where the one before came from; paused: until a person looks.
ALTER TABLE syncline.links
    ADD COLUMN a_review   jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN b_review   jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN ended      text CHECK (ended IN ('unlinked', 'deleted')),
    ADD COLUMN ended_by   text,
    ADD COLUMN bounces    integer NOT NULL DEFAULT 0,
    ADD COLUMN bounced_to text,
    ADD COLUMN bounced_at text,
    ADD COLUMN paused     boolean NOT NULL DEFAULT false;

-- A conflict of the same version can come again with other values. resolved: what a person decided, and when.
ALTER TABLE syncline.conflicts
    DROP CONSTRAINT conflicts_pipeline_source_field_version_key,
    ADD COLUMN source_time text,
    ADD COLUMN target_time text,
    ADD COLUMN inputs      jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN resolved    text,
    ADD COLUMN resolved_at timestamptz;
CREATE UNIQUE INDEX conflicts_once
    ON syncline.conflicts (pipeline, source, field, version, md5(incoming::text), md5(present::text));

-- Deletions: those that happened, so that they can be counted; those that wait for a person's consent; and those that
-- are blocked by rows that refer to the record, to be tried again after other deletions.
CREATE TABLE syncline.deletions (
    pipeline text NOT NULL,
    source   text NOT NULL,
    version  text NOT NULL,
    command  jsonb NOT NULL,
    state    text NOT NULL CHECK (state IN ('done', 'waiting', 'approved', 'refused', 'blocked')),
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, source, version)
);
CREATE INDEX deletions_recent ON syncline.deletions (pipeline, at);
