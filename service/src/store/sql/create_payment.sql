-- Stores a new payment before the provider is asked: key, payment, event, and operation, or nothing if the key is in use
-- or the database belongs to another region. A key older than a day is as good as none, if its
-- request has an answer: neither NULL nor 202.
WITH own_key AS (
    INSERT INTO payments.idempotency_keys AS known (account_id, key, fingerprint, resource_id, created_at)
    SELECT $1::uuid, $2::text, $3::bytea, $4::uuid, $5::timestamptz
    FROM payments.residency WHERE region = $6::text
    ON CONFLICT (account_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, created_at = excluded.created_at,
        status = NULL, body = NULL
    WHERE known.created_at <= excluded.created_at - interval '24 hours' AND known.status <> 202
    RETURNING 1
), payment AS (
    INSERT INTO payments.payments (
        id, account_id, region, status, amount, captured, refunded, refunding, currency, capture_method,
        payment_method, customer, description, metadata, version, head, created_at, updated_at)
    SELECT $7::uuid, $1::uuid, $6::text, $8::text, $9::bigint, 0, 0, 0, $10::text, $11::text, $12::text, $13::text,
        $14::text, $15::text::jsonb, $16::integer, $17::bytea, $5::timestamptz, $5::timestamptz
    FROM own_key
), event AS (
    INSERT INTO payments.payment_events (payment_id, seq, type, data, at, hash)
    SELECT $7::uuid, $16::integer, $18::text, $19::text, $5::timestamptz, $17::bytea FROM own_key
), operation AS (
    INSERT INTO payments.operations (
        id, payment_id, account_id, kind, amount, state, idempotency_key, check_at, created_at)
    SELECT $4::uuid, $7::uuid, $1::uuid, $20::text, $9::bigint, 'pending', $2::text,
        now() + $21::integer * interval '1 second', $5::timestamptz
    FROM own_key
)
SELECT EXISTS (SELECT FROM own_key)
