"""Buys two seats with a client that is generated from schema/openapi.json.  python buy.py http://127.0.0.1:8080"""

import sys
import time
import uuid

from onsale_client import AuthenticatedClient, Client
from onsale_client.api.concerts import list_concerts
from onsale_client.api.performances import list_performances, read_availability
from onsale_client.api.reservations import hold, pay, read_reservation
from onsale_client.api.users import sign_up
from onsale_client.api.wallet import charge, read_wallet
from onsale_client.models import Best, Charge, Hold, Problem, SignUp
from onsale_client.types import Response


def ok(answer: Response):
    """What was answered, or an error with what the problem says."""
    if isinstance(answer.parsed, Problem) or answer.parsed is None:
        detail = f"{answer.parsed.type_}: {answer.parsed.detail}" if answer.parsed else answer.content.decode()
        raise SystemExit(f"{answer.status_code} {detail}")
    return answer.parsed


def equal(found, wanted, what: str) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: {found} instead of {wanted}")


url = sys.argv[1]
email = f"python-{time.time_ns()}@example.com"
body = SignUp(email=email, password="correct horse battery")
user = ok(sign_up.sync_detailed(client=Client(base_url=url), body=body))
client = AuthenticatedClient(base_url=url, token=user.session.token)

key = str(uuid.uuid4())
charged = ok(charge.sync_detailed(client=client, body=Charge(points=1_000_000), idempotency_key=key))
again = charge.sync_detailed(client=client, body=Charge(points=1_000_000), idempotency_key=key)
equal(ok(again).charge_id, charged.charge_id, "a charge sent twice")
equal(again.headers["Idempotency-Replayed"], "true", "Idempotency-Replayed")

concert = ok(list_concerts.sync_detailed(client=client, limit=1)).items[0]
performance = ok(list_performances.sync_detailed(concert.concert_id, client=client)).items[0]
equal(performance.state.value, "on_sale", "the performance's state")

wish = Hold(best_available=Best(count=2))
reservation = ok(hold.sync_detailed(performance.performance_id, client=client, body=wish))
taken = [seat.seat for seat in reservation.seats]
equal(len(taken), 2, "seats held")
refused = hold.sync_detailed(performance.performance_id, client=client, body=Hold(seats=taken))
equal(refused.status_code, 409, "holding the same seats again")
equal(isinstance(refused.parsed, Problem), True, "a refusal says why")

paid = ok(pay.sync_detailed(reservation.reservation_id, client=client))
equal(paid.state.value, "confirmed", "after the payment")
shown = ok(read_reservation.sync_detailed(reservation.reservation_id, client=client))
equal(shown.state.value, "confirmed", "read again")
equal(ok(read_wallet.sync_detailed(client=client)).balance, 1_000_000 - reservation.points, "the balance")

availability = ok(read_availability.sync_detailed(performance.performance_id, client=client))
equal(set(taken) <= set(availability.seats.booked), True, "the seats are booked")
print(f"bought {', '.join(taken)} for {reservation.points} points")
