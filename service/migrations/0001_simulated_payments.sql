-- phase: expand
-- What /api/payment/simulate writes and reads. The id is a version 7 UUID, so the primary key is ordered by
-- time and retention needs no index of its own.
CREATE TABLE payments.simulated_payments (
    id         uuid        PRIMARY KEY,
    region     text        NOT NULL CHECK (region <> ''),
    status     text        NOT NULL CHECK (status IN ('approved')),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE payments.simulated_payments IS 'Simulated payments of this region, kept for a day';
