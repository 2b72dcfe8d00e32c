-- Deletes keys older than a day, and the client's text in the operations that they began. A key whose request has no answer
-- yet (NULL or 202) is kept until it has one: its repetition must not charge again.
WITH expired AS (
    SELECT account_id, key FROM payments.idempotency_keys
    WHERE created_at <= now() - interval '24 hours' AND status <> 202
    ORDER BY created_at
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM payments.idempotency_keys AS known
    USING expired WHERE known.account_id = expired.account_id AND known.key = expired.key
    RETURNING known.resource_id
), blanked AS (
    UPDATE payments.operations SET idempotency_key = '' FROM deleted WHERE id = deleted.resource_id
)
SELECT count(*) FROM deleted
