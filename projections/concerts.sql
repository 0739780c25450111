-- Concerts, and the words that they are found by.
-- version: 2

CREATE TABLE concerts (
    concert_id TEXT PRIMARY KEY,
    organizer_id TEXT NOT NULL,
    title TEXT NOT NULL,
    artist TEXT NOT NULL,
    venue TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

-- The starts of all words of title, artist and venue: what somebody types finds its concerts in one look-up.
CREATE TABLE concert_words (
    word TEXT NOT NULL,
    concert_id TEXT NOT NULL,
    PRIMARY KEY (word, concert_id)
);
CREATE INDEX concert_words_by_concert ON concert_words (concert_id);
CREATE INDEX concerts_by_organizer ON concerts (organizer_id, concert_id);

INSERT INTO concerts (concert_id, organizer_id, title, artist, venue, created_at, version)
SELECT substr(stream_id, 9), data->>'organizer_id', data->>'title', data->>'artist', data->>'venue', occurred_at, version
FROM events WHERE type = 'ConcertCreated.v1';

UPDATE concerts SET title = last.title, artist = last.artist, venue = last.venue, version = last.version
FROM (
    SELECT substr(stream_id, 9) AS concert_id, data->>'title' AS title, data->>'artist' AS artist,
        data->>'venue' AS venue, version,
        row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place
    FROM events WHERE type = 'ConcertChanged.v1'
) AS last
WHERE last.place = 1 AND concerts.concert_id = last.concert_id;

DELETE FROM concert_words
WHERE concert_id IN (SELECT substr(stream_id, 9) FROM events WHERE type = 'ConcertChanged.v1');

INSERT INTO concert_words (word, concert_id)
SELECT DISTINCT word.atom, substr(last.stream_id, 9)
FROM (
    SELECT stream_id, words, row_number() OVER (PARTITION BY stream_id ORDER BY version DESC) AS place
    FROM events WHERE type IN ('ConcertCreated.v1', 'ConcertChanged.v1')
) AS last, jsonb_each(last.words, '$') AS word
WHERE last.place = 1;
