-- contested: fields of that side that hold something of their own, on which the two sides never agreed.
ALTER TABLE syncline.links
    ADD COLUMN a_contested jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN b_contested jsonb NOT NULL DEFAULT '[]';

CREATE INDEX deletions_blocked ON syncline.deletions (at) WHERE state = 'blocked';
