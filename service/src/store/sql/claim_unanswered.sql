-- Takes operations without an answer whose time to be looked up has come, together with their payments. No other process
-- takes them until the next time, which is later after each look.
UPDATE payments.operations AS operation
SET checks = operation.checks + 1,
    check_at = now() + least(5 * 2 ^ least(operation.checks, 10), 600) * interval '1 second' + interval '30 seconds'
FROM (
    SELECT id FROM payments.operations
    WHERE state IN ('pending', 'unknown') AND check_at <= now()
    ORDER BY check_at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
) AS due
WHERE operation.id = due.id
RETURNING operation.id
