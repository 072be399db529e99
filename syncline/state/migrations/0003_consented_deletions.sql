-- consented: a person approved it, so it is not one of those that happened by themselves.
ALTER TABLE syncline.deletions ADD COLUMN consented boolean NOT NULL DEFAULT false;
