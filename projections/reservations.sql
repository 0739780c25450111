-- What each user has held, paid and given back.
-- version: 2

CREATE TABLE reservations (
    reservation_id TEXT PRIMARY KEY,
    performance_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    state TEXT NOT NULL,
    -- JSON without spaces, its fields in this order: seat, grade and points of each seat; area, grade, count and points of
    -- standing places. The same text in every database
    seats TEXT NOT NULL,
    area TEXT,
    points BIGINT NOT NULL,
    adjacent BIGINT NOT NULL,
    -- JSON: what the search for seats gave up; null when nothing
    relaxed TEXT,
    by_organizer BIGINT NOT NULL,
    -- Where in the log it began: newer ones have higher numbers
    held_position BIGINT NOT NULL,
    held_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    cancelled_at BIGINT,
    refund_reason TEXT,
    version BIGINT NOT NULL
);
CREATE INDEX reservations_by_user ON reservations (user_id, held_position);
CREATE INDEX reservations_by_performance ON reservations (performance_id, held_position);

INSERT INTO reservations (reservation_id, performance_id, user_id, state, seats, area, points, adjacent, relaxed,
    by_organizer, held_position, held_at, expires_at, version)
SELECT data->>'reservation_id', substr(stream_id, 13), data->>'user_id', 'held',
    -- Put together by hand: databases do not agree on spaces, nor on the order of fields.
    '[' || COALESCE((
        SELECT string_agg('{"seat":' || CAST(seat.value->'seat' AS TEXT) || ',"grade":' || CAST(seat.value->'grade' AS TEXT)
            || ',"points":' || CAST(seat.value->'points' AS TEXT) || '}', ',' ORDER BY CAST(seat.key AS BIGINT))
        FROM jsonb_each(data, '$.seats') AS seat
    ), '') || ']',
    '{"area":' || CAST(data->'area'->'area' AS TEXT) || ',"grade":' || CAST(data->'area'->'grade' AS TEXT)
        || ',"count":' || CAST(data->'area'->'count' AS TEXT) || ',"points":' || CAST(data->'area'->'points' AS TEXT) || '}',
    CAST(data->>'points' AS BIGINT), CASE WHEN CAST(data->'adjacent' AS TEXT) = 'true' THEN 1 ELSE 0 END,
    (
        SELECT '["' || string_agg(step.atom, '","' ORDER BY CAST(step.key AS BIGINT)) || '"]'
        FROM json_each(data, '$.relaxed') AS step
    ),
    CASE WHEN CAST(data->'by_organizer' AS TEXT) = 'true' THEN 1 ELSE 0 END,
    position, occurred_at, CAST(data->>'expires_at_ms' AS BIGINT), version
FROM events WHERE type = 'SeatsHeld.v1';

UPDATE reservations SET expires_at = last.expires_at
FROM (
    SELECT data->>'reservation_id' AS reservation_id, CAST(data->>'expires_at_ms' AS BIGINT) AS expires_at,
        row_number() OVER (PARTITION BY data->>'reservation_id' ORDER BY version DESC) AS place
    FROM events WHERE type IN ('HoldExtended.v1', 'PaymentRefused.v1')
) AS last
WHERE last.place = 1 AND reservations.reservation_id = last.reservation_id;

UPDATE reservations SET refund_reason = reason.words
FROM (
    SELECT data->>'reservation_id' AS reservation_id, max(data->>'organizer_reason') AS words
    FROM events WHERE type = 'CancellationStarted.v1' GROUP BY data->>'reservation_id'
) AS reason
WHERE reason.words IS NOT NULL AND reservations.reservation_id = reason.reservation_id;

-- Version and state of the last event in one number: grouping by it is cheaper than putting events in order.
UPDATE reservations SET
    version = last.packed / 8,
    state = CASE last.packed % 8 WHEN 0 THEN 'held' WHEN 1 THEN 'paying' WHEN 2 THEN 'confirmed' WHEN 3 THEN 'cancelling'
        WHEN 4 THEN 'cancelled' WHEN 5 THEN 'released' ELSE 'expired' END,
    confirmed_at = COALESCE(last.confirmed_at, reservations.confirmed_at),
    cancelled_at = COALESCE(last.cancelled_at, reservations.cancelled_at)
FROM (
    SELECT data->>'reservation_id' AS reservation_id,
        max(version * 8 + CASE type WHEN 'PaymentStarted.v1' THEN 1 WHEN 'ReservationConfirmed.v1' THEN 2
            WHEN 'CancellationStarted.v1' THEN 3 WHEN 'ReservationCancelled.v1' THEN 4 WHEN 'HoldReleased.v1' THEN 5
            WHEN 'HoldExpired.v1' THEN 6 ELSE 0 END) AS packed,
        max(CASE type WHEN 'ReservationConfirmed.v1' THEN occurred_at END) AS confirmed_at,
        max(CASE type WHEN 'ReservationCancelled.v1' THEN occurred_at END) AS cancelled_at
    FROM events
    WHERE type IN ('HoldExtended.v1', 'PaymentStarted.v1', 'PaymentRefused.v1', 'ReservationConfirmed.v1',
        'CancellationStarted.v1', 'ReservationCancelled.v1', 'HoldReleased.v1', 'HoldExpired.v1')
    GROUP BY data->>'reservation_id'
) AS last
WHERE reservations.reservation_id = last.reservation_id;
