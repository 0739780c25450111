-- The schedule: when what is played, when it is sold, for how much, and how much is left.
-- version: 1

CREATE TABLE performances (
    performance_id TEXT PRIMARY KEY,
    concert_id TEXT NOT NULL,
    organizer_id TEXT NOT NULL,
    -- open, paused, closed or cancelled; whether the sale has opened yet is a matter of the time
    sale TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    sale_opens_at BIGINT NOT NULL,
    sale_closes_at BIGINT NOT NULL,
    price_min BIGINT,
    price_max BIGINT,
    available BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX performances_by_start ON performances (starts_at, performance_id);
CREATE INDEX performances_by_concert ON performances (concert_id, starts_at, performance_id);
CREATE INDEX performances_by_organizer ON performances (organizer_id, starts_at, performance_id);

INSERT INTO performances (performance_id, concert_id, organizer_id, sale, starts_at, sale_opens_at, sale_closes_at,
    price_min, price_max, available, version)
SELECT substr(created.stream_id, 13), created.data->>'concert_id', created.data->>'organizer_id', 'open',
    CAST(created.data->>'starts_at_ms' AS BIGINT), CAST(created.data->>'sale_opens_at_ms' AS BIGINT),
    CAST(created.data->>'sale_closes_at_ms' AS BIGINT),
    (SELECT min(CAST(price.atom AS BIGINT)) FROM jsonb_each(created.data, '$.prices') AS price),
    (SELECT max(CAST(price.atom AS BIGINT)) FROM jsonb_each(created.data, '$.prices') AS price),
    CAST(created.data->>'available' AS BIGINT), created.version
FROM events AS created WHERE created.type = 'PerformanceCreated.v1';

UPDATE performances SET starts_at = last.starts_at, sale_opens_at = last.sale_opens_at, sale_closes_at = last.sale_closes_at
FROM (
    SELECT substr(stream_id, 13) AS performance_id, CAST(data->>'starts_at_ms' AS BIGINT) AS starts_at,
        CAST(data->>'sale_opens_at_ms' AS BIGINT) AS sale_opens_at,
        CAST(data->>'sale_closes_at_ms' AS BIGINT) AS sale_closes_at,
        row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place
    FROM events WHERE type = 'PerformanceChanged.v1'
) AS last
WHERE last.place = 1 AND performances.performance_id = last.performance_id;

UPDATE performances SET price_min = last.price_min, price_max = last.price_max
FROM (
    SELECT substr(changed.stream_id, 13) AS performance_id,
        (SELECT min(CAST(price.atom AS BIGINT)) FROM jsonb_each(changed.data, '$.prices') AS price) AS price_min,
        (SELECT max(CAST(price.atom AS BIGINT)) FROM jsonb_each(changed.data, '$.prices') AS price) AS price_max,
        row_number() OVER (PARTITION BY changed.stream_id ORDER BY changed.version DESC) AS place
    FROM events AS changed WHERE changed.type IN ('PerformanceChanged.v1', 'ChartChanged.v1')
) AS last
WHERE last.place = 1 AND performances.performance_id = last.performance_id;

UPDATE performances SET sale = last.sale
FROM (
    SELECT substr(stream_id, 13) AS performance_id,
        CASE type WHEN 'SalePaused.v1' THEN 'paused' WHEN 'SaleResumed.v1' THEN 'open'
            WHEN 'SaleClosed.v1' THEN 'closed' ELSE 'cancelled' END AS sale,
        row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place
    FROM events WHERE type IN ('SalePaused.v1', 'SaleResumed.v1', 'SaleClosed.v1', 'PerformanceCancelled.v1')
) AS last
WHERE last.place = 1 AND performances.performance_id = last.performance_id;

-- Version, and places left of the last event that says so with its version in one number: there are at most 100,000 places.
UPDATE performances SET version = last.version, available = COALESCE(last.packed % 131072, performances.available)
FROM (
    SELECT substr(stream_id, 13) AS performance_id, max(version) AS version,
        max(version * 131072 + CAST(data->>'available' AS BIGINT)) AS packed
    FROM events
    WHERE stream_id LIKE 'performance-%'
    GROUP BY stream_id
) AS last
WHERE performances.performance_id = last.performance_id;
