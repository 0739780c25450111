-- Queues, and how many came, were let in and went in each minute.
-- version: 1

CREATE TABLE queues (
    queue_id TEXT PRIMARY KEY,
    organizer_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- open, paused or closed; whether it has opened yet is a matter of the time
    state TEXT NOT NULL,
    opens_at BIGINT NOT NULL,
    waiting BIGINT NOT NULL,
    inside BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX queues_by_organizer ON queues (organizer_id, queue_id);

CREATE TABLE queue_minutes (
    queue_id TEXT NOT NULL,
    -- When the minute began, ms since 1970
    minute BIGINT NOT NULL,
    joined BIGINT NOT NULL,
    admitted BIGINT NOT NULL,
    -- They did not want to any more, or were away for too long
    went BIGINT NOT NULL,
    -- Their session ended: they were done, or their time was up
    finished BIGINT NOT NULL,
    expired BIGINT NOT NULL,
    -- People after the minute's last event; null when nobody came, was let in or went
    waiting BIGINT,
    inside BIGINT,
    PRIMARY KEY (queue_id, minute)
);

INSERT INTO queues (queue_id, organizer_id, name, state, opens_at, waiting, inside, version)
SELECT substr(stream_id, 7), data->>'organizer_id', data->>'name', 'open', CAST(data->>'opens_at_ms' AS BIGINT), 0, 0, version
FROM events WHERE type = 'QueueCreated.v1';

UPDATE queues SET name = last.name, opens_at = last.opens_at
FROM (
    SELECT substr(stream_id, 7) AS queue_id, data->>'name' AS name, CAST(data->>'opens_at_ms' AS BIGINT) AS opens_at,
        row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place
    FROM events WHERE type = 'QueueChanged.v1'
) AS last
WHERE last.place = 1 AND queues.queue_id = last.queue_id;

UPDATE queues SET state = last.state
FROM (
    SELECT substr(stream_id, 7) AS queue_id, data->>'state' AS state,
        row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place
    FROM events WHERE type = 'QueueStateChanged.v1'
) AS last
WHERE last.place = 1 AND queues.queue_id = last.queue_id;

-- What the last event says, with its version in front in one number: a queue has less than 4,294,967,296 people.
UPDATE queues SET
    version = last.version,
    waiting = COALESCE(last.waiting % 4294967296, queues.waiting),
    inside = COALESCE(last.inside % 4294967296, queues.inside)
FROM (
    SELECT substr(stream_id, 7) AS queue_id, max(version) AS version,
        max(version * 4294967296 + CAST(data->>'waiting' AS BIGINT)) AS waiting,
        max(version * 4294967296 + CAST(data->>'inside' AS BIGINT)) AS inside
    FROM events
    WHERE type IN ('QueueChanged.v1', 'QueueStateChanged.v1', 'QueueNoticeSet.v1', 'QueuePageSet.v1',
        'QueueDrawn.v1', 'EntryJoined.v1', 'EntriesAdmitted.v1',
        'EntriesPassedOver.v1', 'EntriesReturned.v1', 'EntriesGivenUp.v1', 'EntriesPutFirst.v1', 'EntryLeft.v1',
        'EntryBlocked.v1', 'EntryRestored.v1', 'SessionClaimed.v1', 'SessionFinished.v1', 'SessionsExpired.v1')
    GROUP BY stream_id
) AS last
WHERE queues.queue_id = last.queue_id;

INSERT INTO queue_minutes (queue_id, minute, joined, admitted, went, finished, expired, waiting, inside)
SELECT substr(moved.stream_id, 7), moved.minute, sum(moved.joined), sum(moved.admitted), sum(moved.went),
    sum(moved.finished), sum(moved.expired), max(moved.waiting) % 4294967296, max(moved.inside) % 4294967296
FROM (
    SELECT event.stream_id, event.occurred_at / 60000 * 60000 AS minute,
        CASE event.type WHEN 'EntryJoined.v1' THEN 1 ELSE 0 END AS joined,
        (SELECT count(*) FROM jsonb_each(event.data, '$.entries') AS entry) AS admitted,
        CASE event.type WHEN 'EntryLeft.v1' THEN 1
            WHEN 'EntriesGivenUp.v1' THEN (SELECT count(*) FROM jsonb_each(event.data, '$.tickets') AS ticket)
            ELSE 0 END AS went,
        CASE event.type WHEN 'SessionFinished.v1' THEN 1 ELSE 0 END AS finished,
        CASE event.type
            WHEN 'SessionsExpired.v1' THEN (SELECT count(*) FROM jsonb_each(event.data, '$.tickets') AS ticket)
            ELSE 0 END AS expired,
        event.version * 4294967296 + CAST(event.data->>'waiting' AS BIGINT) AS waiting,
        event.version * 4294967296 + CAST(event.data->>'inside' AS BIGINT) AS inside
    FROM events AS event
    WHERE event.type IN ('EntryJoined.v1', 'EntriesAdmitted.v1', 'EntriesPassedOver.v1', 'EntriesReturned.v1',
        'EntriesGivenUp.v1', 'EntriesPutFirst.v1', 'EntryLeft.v1', 'EntryBlocked.v1', 'EntryRestored.v1',
        'SessionFinished.v1', 'SessionsExpired.v1')
) AS moved
WHERE true
GROUP BY moved.stream_id, moved.minute
ON CONFLICT (queue_id, minute) DO UPDATE SET
    joined = queue_minutes.joined + excluded.joined,
    admitted = queue_minutes.admitted + excluded.admitted,
    went = queue_minutes.went + excluded.went,
    finished = queue_minutes.finished + excluded.finished,
    expired = queue_minutes.expired + excluded.expired,
    waiting = COALESCE(excluded.waiting, queue_minutes.waiting),
    inside = COALESCE(excluded.inside, queue_minutes.inside);
