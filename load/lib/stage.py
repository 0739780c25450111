"""What a scenario needs before it begins: an organizer, concerts with performances, a queue, users with points. All over HTTP,
as organizers and users would do it."""

from concurrent.futures import ThreadPoolExecutor

PRICE_POINTS = 100
CHARGE_POINTS = 1_000_000
CLAIM_TTL_S = 300
ROWS, SEATS_PER_ROW = 50, 40
# Performances of one concert: one page of a list.
PER_CONCERT = 10
MANUAL = {"manual": True}
# Quicker than anybody arrives: it is one's turn at the first poll.
AT_ONCE = {"rate": {"count": 100_000, "interval_s": 1}}


class Stage:
    """`facts` is what the k6 scripts read; `users` are their accounts."""

    def __init__(self, server):
        self.server = server
        made = server.ask("POST", "/v1/organizers", {"name": "Loopback Hall"}, server.operator_key)
        self.key = made["key"]["secret"]
        self.users = []
        self.facts = {
            "url": server.url,
            "organizer_key": self.key,
            "claim_ttl_s": CLAIM_TTL_S,
            "rows": ROWS,
            "seats_per_row": SEATS_PER_ROW,
            "queue": None,
            "concerts": [],
            "performances": [],
        }

    def queue(self, policy):
        """The queue that everybody joins."""
        new = {"name": "Autumn tour", "policy": policy, "claim_ttl_s": CLAIM_TTL_S, "session_ttl_s": 3600}
        self.facts["queue"] = self.server.ask("POST", "/v1/queues", new, self.key)["queue_id"]

    def performances(self, count, gated=False, rows=ROWS, seats_per_row=SEATS_PER_ROW):
        """So many performances of so many seats each, ten to a concert; `gated`: behind the queue."""
        for number in range(count):
            if number % PER_CONCERT == 0:
                concert = {
                    "title": f"Night {number // PER_CONCERT}",
                    "artist": "The Idempotents",
                    "venue": "Loopback Hall",
                }
                self.facts["concerts"].append(self.server.ask("POST", "/v1/concerts", concert, self.key)["concert_id"])
            rows_made = [{"row": str(row), "grade": "R", "seat_count": seats_per_row} for row in range(1, rows + 1)]
            new = {
                "starts_at": "2099-12-31T19:00:00Z",
                "seats_per_user_max": 100,
                "hold_ttl_s": 86_400,
                "lapsed_holds_max": 0,
                "prices": {"R": PRICE_POINTS},
                "chart": {"sections": [{"section": "A", "rows": rows_made}]},
            }
            if gated:
                new["queue_id"] = self.facts["queue"]
            path = f"/v1/concerts/{self.facts['concerts'][-1]}/performances"
            self.facts["performances"].append(self.server.ask("POST", path, new, self.key)["performance_id"])

    def accounts(self, count, first=0):
        """So many users, with points; `first`: how many there were before."""

        def sign_up(number):
            new = {"email": f"user-{number}@example.com", "password": "correct horse battery"}
            user = self.server.ask("POST", "/v1/users", new)
            charge = {"user_id": user["user_id"], "points": CHARGE_POINTS}
            self.charge(f"stage-charge-{number}", charge)
            return {"user_id": user["user_id"], "token": user["session"]["token"]}

        with ThreadPoolExecutor(16) as pool:
            self.users = list(pool.map(sign_up, range(first, first + count)))

    def charge(self, key, body):
        self.server.ask("POST", "/v1/wallet/charges", body, self.key, key=key)
