-- The statement of each wallet: every movement of points.
-- version: 1

CREATE TABLE wallet_entries (
    user_id TEXT NOT NULL,
    -- Of the wallet: newer movements have higher numbers
    version BIGINT NOT NULL,
    type TEXT NOT NULL,
    -- Added when positive, taken when negative
    points BIGINT NOT NULL,
    balance BIGINT NOT NULL,
    moved_at BIGINT NOT NULL,
    -- The charge, the adjustment, or the reservation
    about_id TEXT NOT NULL,
    charged_by TEXT,
    organizer_id TEXT,
    -- A charge's reference, an adjustment's or refund's reason
    words TEXT
);
-- Rows are only added: an index that is made of all of them is quicker than one that is kept.
CREATE UNIQUE INDEX wallet_entries_by_user ON wallet_entries (user_id, version);

INSERT INTO wallet_entries (user_id, version, type, points, balance, moved_at, about_id, charged_by, organizer_id, words)
SELECT substr(stream_id, 8), version,
    CASE type WHEN 'PointsCharged.v1' THEN 'charged' WHEN 'PointsSpent.v1' THEN 'spent'
        WHEN 'PointsRefunded.v1' THEN 'refunded' ELSE 'adjusted' END,
    CASE type WHEN 'PointsSpent.v1' THEN -CAST(data->>'points' AS BIGINT) ELSE CAST(data->>'points' AS BIGINT) END,
    CAST(data->>'balance' AS BIGINT), occurred_at,
    COALESCE(data->>'reservation_id', data->>'charge_id', data->>'adjustment_id'), data->>'charged_by',
    data->>'organizer_id', COALESCE(data->>'reference', data->>'reason')
FROM events WHERE type IN ('PointsCharged.v1', 'PointsSpent.v1', 'PointsRefunded.v1', 'PointsAdjusted.v1');
