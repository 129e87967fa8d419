-- What repeats an execution: asked for each before many are repeated.
CREATE INDEX executions_by_rerun ON executions (rerun_of) WHERE rerun_of IS NOT NULL;
