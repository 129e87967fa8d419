-- Who asked for the first of the runs that went on as this one: the request is the engine's own fact.
ALTER TABLE executions ADD COLUMN first_by TEXT;
UPDATE executions SET first_by = (
    SELECT json_extract(CAST(body AS TEXT), '$.ExecutionContinues.by') FROM facts
    WHERE facts.position = executions.position + 1 AND name = 'ExecutionContinues' AND pruned = 0
);
