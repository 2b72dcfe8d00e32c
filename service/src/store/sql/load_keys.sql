SELECT id, account_id, digest, scopes FROM payments.api_keys WHERE revoked_at IS NULL
