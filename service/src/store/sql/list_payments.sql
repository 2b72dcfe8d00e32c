-- An account's payments, newest first, after a cursor. Missing filters are NULL.
SELECT id, account_id, region, status, amount, captured, refunded, refunding, currency, capture_method, payment_method,
    customer, description, metadata::text, failure, authorized_until, provider_reference, version, head, created_at,
    updated_at
FROM payments.payments
WHERE account_id = $1::uuid
    AND ($2::uuid IS NULL OR id < $2::uuid)
    AND ($3::text IS NULL OR customer = $3::text)
    AND ($4::text IS NULL OR status = $4::text)
    AND ($5::uuid IS NULL OR id >= $5::uuid)
    AND ($6::uuid IS NULL OR id < $6::uuid)
ORDER BY id DESC
LIMIT $7::bigint
