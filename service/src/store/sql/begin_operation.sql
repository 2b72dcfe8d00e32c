-- Stores a move of a payment before the provider is asked: key, payment, event, and operation, or nothing if the payment
-- has another version by now or the key is in use. The row is locked first, so that no key is stored without the move.
WITH current AS (
    SELECT id FROM payments.payments WHERE id = $1::uuid AND version = $2::integer FOR UPDATE
), own_key AS (
    INSERT INTO payments.idempotency_keys AS known (account_id, key, fingerprint, resource_id, created_at)
    SELECT $3::uuid, $4::text, $5::bytea, $6::uuid, $7::timestamptz FROM current
    ON CONFLICT (account_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, created_at = excluded.created_at,
        status = NULL, body = NULL
    WHERE known.created_at <= excluded.created_at - interval '24 hours' AND known.status <> 202
    RETURNING 1
), payment AS (
    UPDATE payments.payments
    SET status = $8::text, refunding = $9::bigint, version = $10::integer, head = $11::bytea,
        updated_at = $7::timestamptz
    FROM own_key WHERE id = $1::uuid
), event AS (
    INSERT INTO payments.payment_events (payment_id, seq, type, data, at, hash)
    SELECT $1::uuid, $10::integer, $12::text, $13::text, $7::timestamptz, $11::bytea FROM own_key
), operation AS (
    INSERT INTO payments.operations (
        id, payment_id, account_id, kind, amount, state, idempotency_key, check_at, created_at)
    SELECT $6::uuid, $1::uuid, $3::uuid, $14::text, $15::bigint, 'pending', $4::text,
        now() + $16::integer * interval '1 second', $7::timestamptz
    FROM own_key
)
SELECT EXISTS (SELECT FROM own_key)
