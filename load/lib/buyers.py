"""People who buy one place after the other, whatever happens to the server. What is not answered they ask again, with the same
key, until it is; so in the end each knows what happened, and the log must say the same: everything that was acknowledged, and
nothing twice."""

import asyncio
import itertools
import json
import random
import threading
import time
from collections import Counter

from .server import Failed
from .stage import PRICE_POINTS

BUYERS = 24
# As many places of one performance as one may have; then somebody new comes.
PLACES_PER_USER = 100
ANSWER_WITHIN_S = 30
RETRY_AFTER_S = 0.02
# How long the last of them may take to be answered at the end.
SETTLED_WITHIN_S = 90
# For the report: how wide a point of the plot is.
TICK_S = 0.25


class Load:
    """Buyers on a thread of their own. What was acknowledged: `held` and `paid` (points by reservation), `charged` (points) and
    `accounts`; `answered`: (when, how long it took, since when that buyer was connected) of every write that was done, `trouble`: (when, what) of what went wrong."""

    def __init__(self, server, facts, rows, seats, count=BUYERS):
        """At the performances of a stage, which have so many rows and seats each, and no other visitors."""
        self.host, port = server.address.split(":")
        self.port, self.rows, self.seats = int(port), rows, seats
        self.organizer_key, self.performances = facts["organizer_key"], list(facts["performances"])
        self.held, self.paid, self.charged, self.accounts = {}, {}, 0, 0
        self.answered, self.trouble = [], []
        self.count, self.taken = count, itertools.count()
        self.ending, self.failure = False, None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.thread.start()

    async def _run(self):
        try:
            await asyncio.gather(*(Buyer(self, number).live() for number in range(self.count)))
        except Exception as failure:  # told by whoever waits for this thread
            self.failure = failure

    def seat(self):
        """A performance and a place in it that one other buyer is told, too; from the first to the last."""
        number = next(self.taken) // 2
        house, place = divmod(number, self.rows * self.seats)
        if house >= len(self.performances):
            raise Failed("everything is sold: the fault took longer than the places last")
        return self.performances[house], f"A-{place // self.seats + 1}-{place % self.seats + 1}"

    def look(self):
        if self.failure:
            raise self.failure

    def wait_for_answers(self, since, count=1, anew=False):
        """Waits until so many writes were done after `since`; when the first of them was. `anew`: by buyers who have connected
        since: what a server had answered before it was killed may be read later."""
        until = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < until:
            self.look()
            done = [
                at for at, _, connected in self.answered[self._first_after(since) :] if connected > since or not anew
            ]
            if len(done) >= count:
                return done[0]
            time.sleep(0.005)
        raise Failed(f"nothing is sold any more after {SETTLED_WITHIN_S} s; what went wrong last: {self.trouble[-3:]}")

    def _first_after(self, instant):
        """The index of the first answer after `instant`; they are in order."""
        low, high = 0, len(self.answered)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.answered[middle][0] <= instant else (low, middle)
        return low

    def seen(self, begin, end):
        """What the buyers saw between two instants."""
        done = [one for one in self.answered[self._first_after(begin) :] if one[0] <= end]
        instants = [begin, *(one[0] for one in done), end]
        return {
            "answers": len(done),
            "rate": len(done) / max(0.001, end - begin),
            "slowest_s": max((one[1] for one in done), default=0.0),
            "longest_gap_s": max(after - before for before, after in zip(instants, instants[1:])),
            "trouble": Counter(what for at, what in self.trouble if begin < at <= end),
        }

    def series(self):
        """Writes done a second, as points of a plot."""
        if not self.answered:
            return []
        begun = self.answered[0][0]
        counts = Counter(int((one[0] - begun) / TICK_S) for one in self.answered)
        return [(tick * TICK_S, counts[tick] / TICK_S) for tick in range(max(counts) + 1)]

    def stop(self):
        """Everybody finishes what they have begun, and goes."""
        self.ending = True
        self.thread.join(SETTLED_WITHIN_S)
        self.look()
        if self.thread.is_alive():
            raise Failed(f"some were never answered; what went wrong last: {self.trouble[-3:]}")


class Buyer:
    def __init__(self, load, number):
        self.load, self.number = load, number
        self.random = random.Random(number)
        self.requests, self.streams, self.connected = 0, None, 0.0

    async def live(self):
        # Not all of them come back as somebody new at the same time.
        places = PLACES_PER_USER * self.number // self.load.count
        while not self.load.ending:
            user, token = await self.sign_up()
            while places < PLACES_PER_USER and not self.load.ending:
                places += await self.buy(user, token)
            places = 0
        self.hang_up()

    async def sign_up(self):
        new = {"email": f"buyer-{self.number}-{self.requests}@example.com", "password": "correct horse battery"}
        _, user = await self.settle("POST", "/v1/users", new, statuses=(201,))
        self.load.accounts += 1
        return user["user_id"], user["session"]["token"]

    async def buy(self, user, token):
        """Charges, holds, pays; how many places that were."""
        charge = {"user_id": user, "points": PRICE_POINTS}
        await self.settle("POST", "/v1/wallet/charges", charge, self.load.organizer_key, statuses=(201,))
        self.load.charged += PRICE_POINTS
        while not self.load.ending:
            performance, seat = self.load.seat()
            path = f"/v1/performances/{performance}/reservations"
            status, held = await self.settle("POST", path, {"seats": [seat]}, token, statuses=(201, 409))
            if status == 201:
                break
        else:
            return 0
        self.load.held[held["reservation_id"]] = held["points"]
        await self.settle("POST", f"/v1/reservations/{held['reservation_id']}/payment", {}, token, statuses=(200,))
        self.load.paid[held["reservation_id"]] = held["points"]
        return 1

    async def settle(self, method, path, body, token=None, statuses=(200,)):
        """Asks until it is answered with what happened."""
        self.requests += 1
        key = f"load-{self.number}-{self.requests}"
        while True:
            begun = time.monotonic()
            try:
                status, answer = await asyncio.wait_for(self.ask(method, path, body, token, key), ANSWER_WITHIN_S)
            except (OSError, EOFError, TimeoutError, asyncio.TimeoutError) as error:
                self.hang_up()
                self.note("no answer" if not isinstance(error, ConnectionRefusedError) else "no server")
                await asyncio.sleep(RETRY_AFTER_S)
                continue
            if status in statuses:
                # A refusal rests on what is durable, but is no write.
                if status < 300:
                    now = time.monotonic()
                    self.load.answered.append((now, now - begun, self.connected))
                return status, answer
            if status not in (429, 503):
                raise Failed(f"{method} {path}: {status} {answer}")
            self.note(f"503 {answer.get('type', '').rpartition('/')[2]}")
            await asyncio.sleep(RETRY_AFTER_S)

    def note(self, what):
        self.load.trouble.append((time.monotonic(), what))

    async def ask(self, method, path, body, token, key):
        """One request on this buyer's connection."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.load.host, self.load.port)
            self.connected = time.monotonic()
        reader, writer = self.streams
        content = json.dumps(body)
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: load\r\n{bearer}Idempotency-Key: {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        text = await reader.readexactly(length)
        return int(head[9:12]), json.loads(text) if text else {}

    def hang_up(self):
        if self.streams:
            self.streams[1].close()
        self.streams = None
