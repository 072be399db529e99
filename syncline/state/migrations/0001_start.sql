CREATE TABLE syncline.cursors (
    system     text NOT NULL,
    object     text NOT NULL,
    position   jsonb NOT NULL,
    fence      bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (system, object)
);

-- Who reads which object. The fence grows at each change of holder; a cursor is only stored under its newest fence.
CREATE TABLE syncline.leases (
    system     text NOT NULL,
    object     text NOT NULL,
    holder     text NOT NULL,
    fence      bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (system, object)
);

-- Replicas that are alive, so that each knows its fair share of the leases.
CREATE TABLE syncline.members (
    service    text NOT NULL,
    instance   text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (service, instance)
);

-- One row per pair of records. Side `a` is the one whose (system, object) sorts first.
-- known: the last value seen or written of every mapped field of that side.
-- version: of that side, the newest that was applied from it or written to it.
CREATE TABLE syncline.links (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    a_system   text NOT NULL,
    a_object   text NOT NULL,
    a_id       text NOT NULL,
    a_version  text COLLATE "C" NOT NULL,
    a_known    jsonb NOT NULL,
    b_system   text NOT NULL,
    b_object   text NOT NULL,
    b_id       text NOT NULL,
    b_version  text COLLATE "C" NOT NULL,
    b_known    jsonb NOT NULL,
    revision   bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT links_a UNIQUE (a_system, a_object, a_id, b_system, b_object),
    CONSTRAINT links_b UNIQUE (b_system, b_object, b_id, a_system, a_object)
);

-- A field that both sides changed: what was agreed, what each side had, and what was decided.
CREATE TABLE syncline.conflicts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline      text NOT NULL,
    source        text NOT NULL,
    target        text NOT NULL,
    field         text NOT NULL,
    agreed        jsonb,
    incoming      jsonb,
    present       jsonb,
    decided       text NOT NULL,
    version       text NOT NULL,
    at            timestamptz NOT NULL DEFAULT now(),
    UNIQUE (pipeline, source, field, version)
);
