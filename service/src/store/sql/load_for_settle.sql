-- A payment and one of its operations, as they were at one moment.
SELECT payment.id, payment.account_id, payment.region, payment.status, payment.amount, captured, refunded, refunding,
    currency, capture_method, payment_method, customer, description, metadata::text, payment.failure, authorized_until,
    provider_reference, version, head, payment.created_at, updated_at,
    operation.id AS operation_id, operation.payment_id, operation.kind, operation.amount AS operation_amount,
    operation.state, operation.idempotency_key, operation.failure AS operation_failure
FROM payments.operations AS operation
JOIN payments.payments AS payment ON payment.id = operation.payment_id
WHERE operation.id = $1::uuid
