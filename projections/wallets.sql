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

-- Each wallet once per batch: what moved in sum is quicker than looking for the last movement, and comes to the same balance.
INSERT INTO wallets (user_id, balance, charged, spent, refunded, adjusted, changed_at, version)
SELECT substr(moved.stream_id, 8), moved.charged - moved.spent + moved.refunded + moved.adjusted,
    moved.charged, moved.spent, moved.refunded, moved.adjusted, moved.changed_at, moved.version
FROM (
    SELECT stream_id, max(version) AS version, max(occurred_at) AS changed_at,
        sum(CASE type WHEN 'PointsCharged.v1' THEN points ELSE 0 END) AS charged,
        sum(CASE type WHEN 'PointsSpent.v1' THEN points ELSE 0 END) AS spent,
        sum(CASE type WHEN 'PointsRefunded.v1' THEN points ELSE 0 END) AS refunded,
        sum(CASE type WHEN 'PointsAdjusted.v1' THEN points ELSE 0 END) AS adjusted
    FROM (
        SELECT stream_id, version, occurred_at, type, CAST(data->>'points' AS BIGINT) AS points
        FROM events
        WHERE type IN ('WalletOpened.v1', 'PointsCharged.v1', 'PointsSpent.v1', 'PointsRefunded.v1', 'PointsAdjusted.v1')
    ) AS movement
    GROUP BY stream_id
) AS moved
WHERE true
ON CONFLICT (user_id) DO UPDATE SET
    balance = wallets.balance + excluded.balance,
    charged = wallets.charged + excluded.charged,
    spent = wallets.spent + excluded.spent,
    refunded = wallets.refunded + excluded.refunded,
    adjusted = wallets.adjusted + excluded.adjusted,
    changed_at = CASE WHEN excluded.changed_at > wallets.changed_at THEN excluded.changed_at ELSE wallets.changed_at END,
    version = excluded.version;
