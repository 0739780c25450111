-- Balances, and what made them.
-- version: 1

CREATE TABLE wallets (
    user_id TEXT PRIMARY KEY,
    balance BIGINT NOT NULL,
    charged BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    adjusted BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

INSERT INTO wallets (user_id, balance, charged, spent, refunded, adjusted, changed_at, version)
SELECT substr(moved.stream_id, 8), moved.balance, moved.charged, moved.spent, moved.refunded, moved.adjusted,
    moved.occurred_at, moved.version
FROM (
    SELECT stream_id, occurred_at, version, COALESCE(CAST(data->>'balance' AS BIGINT), 0) AS balance,
        row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place,
        sum(CASE type WHEN 'PointsCharged.v1' THEN CAST(data->>'points' AS BIGINT) ELSE 0 END)
            OVER (PARTITION BY stream_id) AS charged,
        sum(CASE type WHEN 'PointsSpent.v1' THEN CAST(data->>'points' AS BIGINT) ELSE 0 END)
            OVER (PARTITION BY stream_id) AS spent,
        sum(CASE type WHEN 'PointsRefunded.v1' THEN CAST(data->>'points' AS BIGINT) ELSE 0 END)
            OVER (PARTITION BY stream_id) AS refunded,
        sum(CASE type WHEN 'PointsAdjusted.v1' THEN CAST(data->>'points' AS BIGINT) ELSE 0 END)
            OVER (PARTITION BY stream_id) AS adjusted
    FROM events
    WHERE type IN ('WalletOpened.v1', 'PointsCharged.v1', 'PointsSpent.v1', 'PointsRefunded.v1', 'PointsAdjusted.v1')
) AS moved
WHERE moved.place = 1
ON CONFLICT (user_id) DO UPDATE SET
    balance = excluded.balance,
    charged = wallets.charged + excluded.charged,
    spent = wallets.spent + excluded.spent,
    refunded = wallets.refunded + excluded.refunded,
    adjusted = wallets.adjusted + excluded.adjusted,
    changed_at = excluded.changed_at,
    version = excluded.version;
