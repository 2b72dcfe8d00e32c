SELECT id, account_id, region, status, amount, captured, refunded, refunding, currency, capture_method, payment_method,
    customer, description, metadata::text, failure, authorized_until, provider_reference, version, head, created_at,
    updated_at
FROM payments.payments
WHERE status = 'authorized' AND authorized_until <= now()
ORDER BY authorized_until
LIMIT $1::bigint
