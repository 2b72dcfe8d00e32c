-- Deletes keys older than a day. One that has no answer yet is kept until it has.
WITH expired AS (
    SELECT account_id, key FROM payments.idempotency_keys
    WHERE created_at <= now() - interval '24 hours' AND status IS NOT NULL
    ORDER BY created_at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM payments.idempotency_keys AS known
    USING expired WHERE known.account_id = expired.account_id AND known.key = expired.key
    RETURNING 1
)
SELECT count(*) FROM deleted
