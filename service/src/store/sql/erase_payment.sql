-- Blanks what may be personal, in a payment and in the responses that are kept for its keys, or does nothing if the payment
-- has another version by now. A key whose operation has no answer yet (202) stays one: its repetition must not charge
-- again. The response to a refund holds nothing personal.
WITH payment AS (
    UPDATE payments.payments
    SET customer = NULL, description = NULL, metadata = '{}', version = $3::integer, head = $4::bytea,
        updated_at = $5::timestamptz
    WHERE id = $1::uuid AND version = $2::integer
    RETURNING 1
), event AS (
    INSERT INTO payments.payment_events (payment_id, seq, type, data, at, hash)
    SELECT $1::uuid, $3::integer, $6::text, $7::text, $5::timestamptz, $4::bytea FROM payment
), response AS (
    UPDATE payments.idempotency_keys AS key
    SET status = CASE WHEN key.status = 202 THEN key.status ELSE $8::smallint END,
        body = CASE WHEN key.status = 202 THEN $10::text ELSE $9::text END
    FROM payment CROSS JOIN payments.operations AS operation
    WHERE operation.payment_id = $1::uuid AND key.account_id = operation.account_id
        AND key.key = operation.idempotency_key AND key.resource_id = operation.id AND key.body IS NOT NULL
        AND operation.kind <> 'refund'
), blanked AS (
    -- What a client chose as a key may name a person. One that may still be repeated is kept for its day.
    UPDATE payments.operations
    SET idempotency_key = ''
    FROM payment
    WHERE payment_id = $1::uuid AND state IN ('succeeded', 'failed')
        AND created_at <= $5::timestamptz - interval '24 hours'
)
SELECT EXISTS (SELECT FROM payment)
