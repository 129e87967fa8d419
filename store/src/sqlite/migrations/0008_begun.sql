-- A chain that came to an end before its first call had begun.
UPDATE executions SET started_at = finished_at
WHERE started_at IS NULL AND state IN ('succeeded', 'failed');
