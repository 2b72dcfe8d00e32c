SELECT account.id, account.name
FROM payments.accounts AS account
WHERE ($2::text IS NULL OR account.name = $2::text)
    AND EXISTS (SELECT FROM payments.payments AS payment WHERE payment.account_id = account.id AND customer = $1::text)
ORDER BY account.name
