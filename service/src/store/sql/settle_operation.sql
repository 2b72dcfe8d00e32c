-- Stores the provider's answer: payment, event, operation, transfer, outbox row, and the response for the client's key, or
-- nothing if the payment has another version by now, or the operation an answer. The operation is locked first: of two
-- processes that were given an answer to it, one books it.
WITH open AS (
    SELECT id FROM payments.operations WHERE id = $15::uuid AND state IN ('pending', 'unknown') FOR UPDATE
), payment AS (
    UPDATE payments.payments
    SET status = $3::text, captured = $4::bigint, refunded = $5::bigint, refunding = $6::bigint, failure = $7::text,
        authorized_until = $8::timestamptz, provider_reference = $9::text, version = $10::integer, head = $11::bytea,
        updated_at = $12::timestamptz
    FROM open
    WHERE payments.id = $1::uuid AND version = $2::integer
    RETURNING account_id, currency
), event AS (
    INSERT INTO payments.payment_events (payment_id, seq, type, data, at, hash)
    SELECT $1::uuid, $10::integer, $13::text, $14::text, $12::timestamptz, $11::bytea FROM payment
), operation AS (
    UPDATE payments.operations
    SET state = $16::text, failure = $17::text, settled_at = $12::timestamptz,
        check_at = now() + $18::integer * interval '1 second'
    FROM payment WHERE id = $15::uuid
), transfer AS (
    INSERT INTO payments.transfers (
        operation_id, payment_id, debit_account, credit_account, amount, currency, at)
    SELECT $15::uuid, $1::uuid, $19::text, $20::text, $21::bigint, currency, $12::timestamptz
    FROM payment WHERE $19::text IS NOT NULL
), message AS (
    INSERT INTO payments.outbox (account_id, payment_id, seq)
    SELECT account_id, $1::uuid, $10::integer FROM payment
), response AS (
    UPDATE payments.idempotency_keys
    SET status = $23::smallint, body = $24::text
    FROM payment
    WHERE idempotency_keys.account_id = payment.account_id AND key = $22::text AND resource_id = $15::uuid
)
SELECT EXISTS (SELECT FROM payment)
