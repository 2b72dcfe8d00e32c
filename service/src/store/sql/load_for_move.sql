-- A payment of an account, and what an earlier request with this key has begun. One row, of which either half may be
-- missing.
SELECT payment.id, payment.account_id, payment.region, payment.status, amount, captured, refunded, refunding, currency,
    capture_method, payment_method, customer, description, metadata::text, failure, authorized_until,
    provider_reference, version, head, payment.created_at, updated_at,
    key.fingerprint, key.resource_id, key.status AS response_status, key.body
FROM (VALUES ($1::uuid, $2::uuid, $3::text)) AS wanted (payment_id, account_id, key)
LEFT JOIN payments.payments AS payment
    ON payment.id = wanted.payment_id AND payment.account_id = wanted.account_id
LEFT JOIN payments.idempotency_keys AS key
    ON key.account_id = wanted.account_id AND key.key = wanted.key
    AND (key.created_at > $4::timestamptz - interval '24 hours' OR key.status IS NULL OR key.status = 202)
