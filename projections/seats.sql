-- Every place of every performance, and how many are free in each grade.
-- version: 2

CREATE TABLE seats (
    performance_id TEXT NOT NULL,
    seat TEXT NOT NULL,
    grade TEXT NOT NULL,
    -- available, held, booked or blocked
    state TEXT NOT NULL,
    reservation_id TEXT,
    -- Of the chart that it is in
    chart_version BIGINT NOT NULL,
    PRIMARY KEY (performance_id, seat)
);

CREATE TABLE seat_areas (
    performance_id TEXT NOT NULL,
    area TEXT NOT NULL,
    grade TEXT NOT NULL,
    capacity BIGINT NOT NULL,
    taken BIGINT NOT NULL,
    blocked BIGINT NOT NULL,
    chart_version BIGINT NOT NULL,
    PRIMARY KEY (performance_id, area)
);

CREATE TABLE seat_grades (
    performance_id TEXT NOT NULL,
    grade TEXT NOT NULL,
    points BIGINT NOT NULL,
    places BIGINT NOT NULL,
    free BIGINT NOT NULL,
    PRIMARY KEY (performance_id, grade)
);

-- 1. Charts: the last one of each performance. Seats that stay keep their owners.

INSERT INTO seats (performance_id, seat, grade, state, reservation_id, chart_version)
WITH RECURSIVE
    chart AS (
        SELECT substr(stream_id, 13) AS performance_id, data,
            COALESCE(CAST(data->>'chart_version' AS BIGINT), 1) AS chart_version,
            row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place
        FROM events WHERE type IN ('PerformanceCreated.v1', 'ChartChanged.v1')
    ),
    line AS MATERIALIZED (
        SELECT chart.performance_id, chart.chart_version, line.value AS data, line.value->>'grade' AS grade,
            CAST(line.value->>'seat_count' AS BIGINT) AS seat_count,
            (section.value->>'section') || '-' || (line.value->>'row') || '-' AS label
        FROM chart, jsonb_each(chart.data, '$.chart.sections') AS section, jsonb_each(section.value, '$.rows') AS line
        WHERE chart.place = 1
    ),
    counted (n) AS (
        SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < (SELECT max(seat_count) FROM line)
    ),
    -- Seats of another grade than their row's.
    other AS MATERIALIZED (
        SELECT line.performance_id, line.label || seat.atom AS seat, grade.value->>'grade' AS grade
        FROM line, jsonb_each(line.data, '$.other_grades') AS grade, jsonb_each(grade.value, '$.seats') AS seat
    ),
    seat AS (
        SELECT line.performance_id, line.label || seat.atom AS seat, line.grade, line.chart_version
        FROM line, jsonb_each(line.data, '$.seats') AS seat
        UNION ALL
        SELECT line.performance_id, line.label || CAST(counted.n AS TEXT), line.grade, line.chart_version
        FROM line JOIN counted ON counted.n <= line.seat_count
    )
SELECT seat.performance_id, seat.seat, COALESCE(other.grade, seat.grade), 'available', NULL, seat.chart_version
FROM seat LEFT JOIN other ON other.performance_id = seat.performance_id AND other.seat = seat.seat
WHERE true
ON CONFLICT (performance_id, seat) DO UPDATE SET grade = excluded.grade, chart_version = excluded.chart_version;

INSERT INTO seat_areas (performance_id, area, grade, capacity, taken, blocked, chart_version)
SELECT chart.performance_id, area.value->>'area', area.value->>'grade', CAST(area.value->>'capacity' AS BIGINT), 0, 0,
    chart.chart_version
FROM (
    SELECT substr(stream_id, 13) AS performance_id, data, COALESCE(CAST(data->>'chart_version' AS BIGINT), 1) AS chart_version,
        row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place
    FROM events WHERE type IN ('PerformanceCreated.v1', 'ChartChanged.v1')
) AS chart, jsonb_each(chart.data, '$.chart.areas') AS area
WHERE chart.place = 1
ON CONFLICT (performance_id, area) DO UPDATE SET
    grade = excluded.grade, capacity = excluded.capacity, chart_version = excluded.chart_version;

-- 2. What is free in each grade: every hold takes from it, everything that comes back adds to it.

UPDATE seat_grades SET free = seat_grades.free + moved.free
FROM (
    SELECT substr(held.stream_id, 13) AS performance_id, seat.value->>'grade' AS grade, -count(*) AS free
    FROM events AS held, jsonb_each(held.data, '$.seats') AS seat
    WHERE held.type = 'SeatsHeld.v1'
    GROUP BY held.stream_id, seat.value->>'grade'
) AS moved
WHERE seat_grades.performance_id = moved.performance_id AND seat_grades.grade = moved.grade;

UPDATE seat_grades SET free = seat_grades.free + moved.free
FROM (
    SELECT seats.performance_id, seats.grade, sum(back.free) AS free
    FROM (
        SELECT substr(event.stream_id, 13) AS performance_id, seat.atom AS seat, 1 AS free
        FROM events AS event, jsonb_each(event.data, '$.places.seats') AS seat
        WHERE event.type IN ('HoldReleased.v1', 'HoldExpired.v1', 'ReservationCancelled.v1')
        UNION ALL
        SELECT substr(event.stream_id, 13), seat.atom, CASE event.type WHEN 'SeatsBlocked.v1' THEN -1 ELSE 1 END
        FROM events AS event, jsonb_each(event.data, '$.seats') AS seat
        WHERE event.type IN ('SeatsBlocked.v1', 'SeatsUnblocked.v1')
    ) AS back JOIN seats ON seats.performance_id = back.performance_id AND seats.seat = back.seat
    GROUP BY seats.performance_id, seats.grade
) AS moved
WHERE seat_grades.performance_id = moved.performance_id AND seat_grades.grade = moved.grade;

UPDATE seat_grades SET free = seat_grades.free - moved.taken
FROM (
    SELECT seat_areas.performance_id, seat_areas.grade, sum(change.taken) AS taken
    FROM (
        SELECT substr(stream_id, 13) AS performance_id, data->'area'->>'area' AS area,
            CAST(data->'area'->>'count' AS BIGINT) AS taken
        FROM events WHERE type = 'SeatsHeld.v1'
        UNION ALL
        SELECT substr(stream_id, 13), data->'places'->'area'->>'area', -CAST(data->'places'->'area'->>'count' AS BIGINT)
        FROM events WHERE type IN ('HoldReleased.v1', 'HoldExpired.v1', 'ReservationCancelled.v1')
    ) AS change JOIN seat_areas ON seat_areas.performance_id = change.performance_id AND seat_areas.area = change.area
    GROUP BY seat_areas.performance_id, seat_areas.grade
) AS moved
WHERE seat_grades.performance_id = moved.performance_id AND seat_grades.grade = moved.grade;

UPDATE seat_areas SET taken = seat_areas.taken + moved.taken
FROM (
    SELECT change.performance_id, change.area, sum(change.taken) AS taken
    FROM (
        SELECT substr(stream_id, 13) AS performance_id, data->'area'->>'area' AS area,
            CAST(data->'area'->>'count' AS BIGINT) AS taken
        FROM events WHERE type = 'SeatsHeld.v1'
        UNION ALL
        SELECT substr(stream_id, 13), data->'places'->'area'->>'area', -CAST(data->'places'->'area'->>'count' AS BIGINT)
        FROM events WHERE type IN ('HoldReleased.v1', 'HoldExpired.v1', 'ReservationCancelled.v1')
    ) AS change
    WHERE change.area IS NOT NULL
    GROUP BY change.performance_id, change.area
) AS moved
WHERE seat_areas.performance_id = moved.performance_id AND seat_areas.area = moved.area;

UPDATE seat_areas SET blocked = last.blocked
FROM (
    SELECT substr(event.stream_id, 13) AS performance_id, area.value->>'area' AS area,
        CAST(area.value->>'blocked' AS BIGINT) AS blocked,
        row_number() OVER (PARTITION BY event.stream_id, area.value->>'area' ORDER BY event.version DESC) AS place
    FROM events AS event, jsonb_each(event.data, '$.areas') AS area
    WHERE event.type = 'AreasBlocked.v1'
) AS last
WHERE last.place = 1 AND seat_areas.performance_id = last.performance_id AND seat_areas.area = last.area;

-- 3. Who has a seat is what the last event says that was about it: the greatest of texts that begin with the version, always
--    of 13 digits. Behind it one letter for the state, and the reservation.

UPDATE seats SET
    state = CASE substr(last.packed, 14, 1) WHEN 'h' THEN 'held' WHEN 's' THEN 'booked' WHEN 'b' THEN 'blocked'
        ELSE 'available' END,
    reservation_id = CASE WHEN substr(last.packed, 14, 1) IN ('h', 's') THEN substr(last.packed, 15) END
FROM (
    SELECT change.stream_id, change.seat, max(change.packed) AS packed
    FROM (
        SELECT event.stream_id, seat.value->>'seat' AS seat,
            CAST(1000000000000 + event.version AS TEXT) || 'h' || (event.data->>'reservation_id') AS packed
        FROM events AS event, jsonb_each(event.data, '$.seats') AS seat
        WHERE event.type = 'SeatsHeld.v1'
        UNION ALL
        SELECT event.stream_id, seat.atom,
            CAST(1000000000000 + event.version AS TEXT) || CASE event.type WHEN 'ReservationConfirmed.v1' THEN 's' ELSE 'f' END
                || (event.data->>'reservation_id')
        FROM events AS event, jsonb_each(event.data, '$.places.seats') AS seat
        WHERE event.type IN ('ReservationConfirmed.v1', 'HoldReleased.v1', 'HoldExpired.v1', 'ReservationCancelled.v1')
        UNION ALL
        SELECT event.stream_id, seat.atom,
            CAST(1000000000000 + event.version AS TEXT) || CASE event.type WHEN 'SeatsBlocked.v1' THEN 'b' ELSE 'f' END
        FROM events AS event, jsonb_each(event.data, '$.seats') AS seat
        WHERE event.type IN ('SeatsBlocked.v1', 'SeatsUnblocked.v1')
    ) AS change
    GROUP BY change.stream_id, change.seat
) AS last
WHERE seats.performance_id = substr(last.stream_id, 13) AND seats.seat = last.seat;

-- 4. What a new chart does not have any more is gone, and what is free in its grades is counted anew. So it is after blocked
--    areas, of which there are few.

-- The new charts' versions are read once, apart from their charts: these are of megabytes.

WITH newest AS MATERIALIZED (
    SELECT substr(stream_id, 13) AS performance_id, max(CAST(data->>'chart_version' AS BIGINT)) AS chart_version
    FROM events WHERE type = 'ChartChanged.v1' GROUP BY stream_id
)
DELETE FROM seats
WHERE performance_id IN (SELECT newest.performance_id FROM newest) AND EXISTS (
    SELECT 1 FROM newest
    WHERE newest.performance_id = seats.performance_id AND seats.chart_version < newest.chart_version
);

WITH newest AS MATERIALIZED (
    SELECT substr(stream_id, 13) AS performance_id, max(CAST(data->>'chart_version' AS BIGINT)) AS chart_version
    FROM events WHERE type = 'ChartChanged.v1' GROUP BY stream_id
)
DELETE FROM seat_areas
WHERE performance_id IN (SELECT newest.performance_id FROM newest) AND EXISTS (
    SELECT 1 FROM newest
    WHERE newest.performance_id = seat_areas.performance_id AND seat_areas.chart_version < newest.chart_version
);

DELETE FROM seat_grades
WHERE performance_id IN (SELECT substr(stream_id, 13) FROM events WHERE type = 'ChartChanged.v1');

INSERT INTO seat_grades (performance_id, grade, points, places, free)
SELECT counted.performance_id, counted.grade, 0, sum(counted.places), sum(counted.free)
FROM (
    SELECT performance_id, grade, count(*) AS places, sum(CASE state WHEN 'available' THEN 1 ELSE 0 END) AS free
    FROM seats
    WHERE performance_id IN (SELECT substr(stream_id, 13) FROM events
        WHERE type IN ('PerformanceCreated.v1', 'ChartChanged.v1', 'AreasBlocked.v1'))
    GROUP BY performance_id, grade
    UNION ALL
    SELECT performance_id, grade, sum(capacity), sum(capacity - taken - blocked)
    FROM seat_areas
    WHERE performance_id IN (SELECT substr(stream_id, 13) FROM events
        WHERE type IN ('PerformanceCreated.v1', 'ChartChanged.v1', 'AreasBlocked.v1'))
    GROUP BY performance_id, grade
) AS counted
WHERE true
GROUP BY counted.performance_id, counted.grade
ON CONFLICT (performance_id, grade) DO UPDATE SET places = excluded.places, free = excluded.free;

UPDATE seat_grades SET points = last.points
FROM (
    SELECT substr(event.stream_id, 13) AS performance_id, price.key AS grade, CAST(price.atom AS BIGINT) AS points,
        row_number() OVER (PARTITION BY event.stream_id, price.key ORDER BY event.version DESC) AS place
    FROM events AS event, jsonb_each(event.data, '$.prices') AS price
    WHERE event.type IN ('PerformanceCreated.v1', 'PerformanceChanged.v1', 'ChartChanged.v1')
) AS last
WHERE last.place = 1 AND seat_grades.performance_id = last.performance_id AND seat_grades.grade = last.grade;
