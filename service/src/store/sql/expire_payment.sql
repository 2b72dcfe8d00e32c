-- Ends an authorization: payment, event, and outbox row, or nothing if the payment has another version by now.
WITH payment AS (
    UPDATE payments.payments
    SET status = $3::text, version = $4::integer, head = $5::bytea, updated_at = $6::timestamptz
    WHERE id = $1::uuid AND version = $2::integer
    RETURNING account_id
), event AS (
    INSERT INTO payments.payment_events (payment_id, seq, type, data, at, hash)
    SELECT $1::uuid, $4::integer, $7::text, $8::text, $6::timestamptz, $5::bytea FROM payment
), message AS (
    INSERT INTO payments.outbox (account_id, payment_id, seq)
    SELECT account_id, $1::uuid, $4::integer FROM payment
)
SELECT EXISTS (SELECT FROM payment)
