SELECT id, payment_id, kind, amount, state, idempotency_key, failure
FROM payments.operations
WHERE payment_id = $1::uuid AND kind = 'refund' AND ($2::uuid IS NULL OR id > $2::uuid)
ORDER BY id
LIMIT $3::bigint
