SELECT id, payment_id, kind, amount, state, idempotency_key, failure
FROM payments.operations
WHERE id = $1::uuid
