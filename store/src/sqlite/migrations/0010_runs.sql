-- The runs of a child follow one another at one step of its parent; the last of them is looked up.
CREATE INDEX executions_by_step ON executions (parent, step) WHERE parent IS NOT NULL;
