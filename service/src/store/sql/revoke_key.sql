UPDATE payments.api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1::uuid RETURNING 1
