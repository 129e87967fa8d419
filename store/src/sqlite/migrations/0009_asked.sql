-- Who asked for its end, or holds it: the fact that says so, which tells who and why.
ALTER TABLE executions ADD COLUMN asked INTEGER;
UPDATE executions SET asked = (
    SELECT coalesce(
        max(position) FILTER (WHERE name = 'CancelRequested'),
        min(position) FILTER (WHERE name = 'ExecutionPaused' AND position > coalesce((
            SELECT max(position) FROM facts AS resumed
            WHERE resumed.stream = facts.stream AND name = 'ExecutionResumed'
        ), 0))
    )
    FROM facts WHERE stream = (SELECT id FROM streams WHERE streams.name = 'execution/' || executions.id)
    AND name IN ('CancelRequested', 'ExecutionPaused')
);
