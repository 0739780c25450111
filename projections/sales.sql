-- What was sold and given back, by performance, grade and hour.
-- version: 1

CREATE TABLE sales (
    performance_id TEXT NOT NULL,
    grade TEXT NOT NULL,
    -- When the hour began, ms since 1970
    hour BIGINT NOT NULL,
    sold_places BIGINT NOT NULL,
    sold_points BIGINT NOT NULL,
    refunded_places BIGINT NOT NULL,
    refunded_points BIGINT NOT NULL,
    PRIMARY KEY (performance_id, grade, hour)
);

-- What is held or sold, by grade: later events of a reservation do not say that again.
CREATE TABLE sale_lines (
    reservation_id TEXT NOT NULL,
    grade TEXT NOT NULL,
    places BIGINT NOT NULL,
    points BIGINT NOT NULL,
    PRIMARY KEY (reservation_id, grade)
);

INSERT INTO sale_lines (reservation_id, grade, places, points)
SELECT line.reservation_id, line.grade, sum(line.places), sum(line.points)
FROM (
    SELECT held.data->>'reservation_id' AS reservation_id, seat.value->>'grade' AS grade, 1 AS places,
        CAST(seat.value->>'points' AS BIGINT) AS points
    FROM events AS held, jsonb_each(held.data, '$.seats') AS seat WHERE held.type = 'SeatsHeld.v1'
    UNION ALL
    SELECT data->>'reservation_id', data->'area'->>'grade', CAST(data->'area'->>'count' AS BIGINT),
        CAST(data->'area'->>'points' AS BIGINT)
    FROM events WHERE type = 'SeatsHeld.v1' AND data->'area' IS NOT NULL
) AS line
GROUP BY line.reservation_id, line.grade;

INSERT INTO sales (performance_id, grade, hour, sold_places, sold_points, refunded_places, refunded_points)
SELECT substr(sold.stream_id, 13), line.grade, sold.occurred_at / 3600000 * 3600000, sum(line.places), sum(line.points), 0, 0
FROM events AS sold JOIN sale_lines AS line ON line.reservation_id = sold.data->>'reservation_id'
WHERE sold.type = 'ReservationConfirmed.v1'
GROUP BY sold.stream_id, line.grade, sold.occurred_at / 3600000
ON CONFLICT (performance_id, grade, hour) DO UPDATE SET
    sold_places = sales.sold_places + excluded.sold_places,
    sold_points = sales.sold_points + excluded.sold_points;

INSERT INTO sales (performance_id, grade, hour, sold_places, sold_points, refunded_places, refunded_points)
SELECT substr(back.stream_id, 13), line.grade, back.occurred_at / 3600000 * 3600000, 0, 0, sum(line.places), sum(line.points)
FROM events AS back JOIN sale_lines AS line ON line.reservation_id = back.data->>'reservation_id'
WHERE back.type = 'ReservationCancelled.v1'
GROUP BY back.stream_id, line.grade, back.occurred_at / 3600000
ON CONFLICT (performance_id, grade, hour) DO UPDATE SET
    refunded_places = sales.refunded_places + excluded.refunded_places,
    refunded_points = sales.refunded_points + excluded.refunded_points;

DELETE FROM sale_lines WHERE reservation_id IN (
    SELECT data->>'reservation_id' FROM events
    WHERE type IN ('ReservationCancelled.v1', 'HoldReleased.v1', 'HoldExpired.v1')
);
