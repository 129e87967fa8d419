-- Facts whose bodies are there: a reader of the log steps over the headers of pruned ones.
CREATE INDEX facts_kept ON facts (position) WHERE pruned = 0;
