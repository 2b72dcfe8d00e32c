-- What an earlier request with this key has begun, and the region of the database.
SELECT residency.region, key.fingerprint, key.resource_id, key.status, key.body
FROM payments.residency
LEFT JOIN payments.idempotency_keys AS key
    ON key.account_id = $1::uuid AND key.key = $2::text
    AND (key.created_at > $3::timestamptz - interval '24 hours' OR key.status IS NULL OR key.status = 202)
