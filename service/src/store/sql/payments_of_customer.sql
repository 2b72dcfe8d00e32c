SELECT id, account_id, region, status, amount, captured, refunded, refunding, currency, capture_method, payment_method,
    customer, description, metadata::text, failure, authorized_until, provider_reference, version, head, created_at,
    updated_at
FROM payments.payments
WHERE account_id = $1::uuid AND customer = $2::text
ORDER BY id
LIMIT $3::bigint
