"""Reads Onsale's events from Kafka and keeps a table of sales per concert, in SQLite.

    pip install -r examples/requirements.txt
    python examples/consumer.py --brokers localhost:9092 --database sales.sqlite

It can be stopped and killed at any time and goes on where it was: how far it has read is in the same database as the table, and
changes in the same transaction. A record that comes twice is dropped: Onsale's positions rise within a partition.
`--once` stops at what is the end now; without it new sales are added as they happen.
"""

import argparse
import json
import signal
import sqlite3
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

TABLES = """
CREATE TABLE IF NOT EXISTS progress (
    topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
);
-- By log: an installation that was made anew counts its positions anew.
CREATE TABLE IF NOT EXISTS seen (
    topic TEXT, partition INTEGER, log_id TEXT, position INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, log_id)
);
CREATE TABLE IF NOT EXISTS performances (performance_id TEXT PRIMARY KEY, concert_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS concerts (concert_id TEXT PRIMARY KEY, title TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sales (
    concert_id TEXT PRIMARY KEY,
    reservations INTEGER NOT NULL, places INTEGER NOT NULL, points INTEGER NOT NULL
);
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brokers", default="localhost:9092", help="HOST:PORT of a broker, or several with commas between")
    parser.add_argument("--prefix", default="onsale", help="what the topics' names begin with")
    parser.add_argument("--database", default="sales.sqlite", help="the SQLite file")
    parser.add_argument("--once", action="store_true", help="stop at the end, and print the table")
    arguments = parser.parse_args()

    database = sqlite3.connect(arguments.database, isolation_level=None)
    database.executescript(TABLES)
    consumer = Consumer({
        "bootstrap.servers": arguments.brokers,
        # Offsets are kept in the database, and nobody else shares the work: the group is only a name.
        "group.id": f"{arguments.prefix}-example",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
    })
    topics = [f"{arguments.prefix}.performance", f"{arguments.prefix}.concert"]
    partitions = assign(consumer, database, topics)

    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    at_the_end = set()
    while not stopped and not (arguments.once and at_the_end == partitions):
        messages = consumer.consume(num_messages=500, timeout=0.5)
        database.execute("BEGIN IMMEDIATE")
        for message in messages:
            if message.error() is None:
                take(database, message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                at_the_end.add((message.topic(), message.partition()))
            elif message.error().fatal():
                raise KafkaException(message.error())
            else:
                # A broker is away: the client tries again by itself.
                print(message.error(), file=sys.stderr)
        database.execute("COMMIT")
    consumer.close()
    show(database)


def assign(consumer, database, topics):
    """Takes every partition, each from where the database is."""
    known = {(topic, partition): offset for topic, partition, offset in database.execute("SELECT * FROM progress")}
    wanted = []
    for topic in topics:
        found = consumer.list_topics(topic, timeout=30).topics[topic]
        if found.error is not None:
            sys.exit(f"{topic}: {found.error}")
        for partition in found.partitions:
            wanted.append(TopicPartition(topic, partition, known.get((topic, partition), OFFSET_BEGINNING)))
    consumer.assign(wanted)
    return {(partition.topic, partition.partition) for partition in wanted}


def take(database, message):
    """Counts one record, unless it was counted before."""
    place = (message.topic(), message.partition())
    database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", (*place, message.offset() + 1))
    headers = {name: value.decode() for name, value in message.headers() or [] if value is not None}
    if "ce_logid" not in headers or "ce_position" not in headers:
        return  # not one of Onsale's
    position = int(headers["ce_position"])
    last = database.execute(
        "SELECT position FROM seen WHERE topic = ? AND partition = ? AND log_id = ?", (*place, headers["ce_logid"])
    ).fetchone()
    if last is not None and position <= last[0]:
        return
    database.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", (*place, headers["ce_logid"], position))
    # `performance-0190…`
    stream = headers["ce_subject"].split("-", 1)[1]
    apply(database, headers["ce_type"], stream, json.loads(message.value()))


def apply(database, kind, stream, event):
    """What an event changes. A kind that is not known here changes nothing: there will be new ones."""
    if kind in ("ConcertCreated.v1", "ConcertChanged.v1"):
        database.execute("INSERT OR REPLACE INTO concerts VALUES (?, ?)", (stream, event["title"]))
    elif kind == "PerformanceCreated.v1":
        database.execute("INSERT OR IGNORE INTO performances VALUES (?, ?)", (stream, event["concert_id"]))
    elif kind == "ReservationConfirmed.v1":
        add(database, stream, 1, places(event), event["points"])
    elif kind == "ReservationCancelled.v1":
        add(database, stream, -1, -places(event), -event["points"])


def places(event):
    standing = event["places"].get("area")
    return len(event["places"]["seats"]) + (standing["count"] if standing else 0)


def add(database, performance, reservations, count, points):
    database.execute(
        """
        INSERT INTO sales
        SELECT concert_id, ?, ?, ? FROM performances WHERE performance_id = ?
        ON CONFLICT DO UPDATE SET
            reservations = reservations + excluded.reservations,
            places = places + excluded.places,
            points = points + excluded.points
        """,
        (reservations, count, points, performance),
    )


def show(database):
    print("concert_id\ttitle\treservations\tplaces\tpoints")
    rows = database.execute(
        """
        SELECT concert_id, coalesce(title, ''), reservations, places, points
        FROM sales LEFT JOIN concerts USING (concert_id)
        ORDER BY points DESC, concert_id
        """
    )
    for row in rows:
        print(*row, sep="\t")


if __name__ == "__main__":
    main()
