// Buys two seats with a client that is generated from schema/openapi.json.  node buy.js http://127.0.0.1:8080
import { randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./onsale.js";

type Problem = components["schemas"]["Problem"];

const baseUrl = process.argv[2];
if (baseUrl === undefined) throw new Error("usage: buy URL");
const api = createClient<paths>({ baseUrl });

/** The answer, or an error with what the problem says. */
function ok<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data !== undefined) return answer.data;
  const problem = answer.error as Problem;
  throw new Error(`${answer.response.status} ${problem.type}: ${problem.detail}`);
}

function equal(found: unknown, wanted: unknown, what: string): void {
  if (found !== wanted) throw new Error(`${what}: ${found} instead of ${wanted}`);
}

const email = `typescript-${Date.now()}@example.com`;
const user = ok(await api.POST("/v1/users", { body: { email, password: "correct horse battery" } }));
api.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${user.session.token}`);
    return request;
  },
});

const charge = { params: { header: { "Idempotency-Key": randomUUID() } }, body: { points: 1_000_000 } };
const charged = ok(await api.POST("/v1/wallet/charges", charge));
const again = await api.POST("/v1/wallet/charges", charge);
equal(ok(again).charge_id, charged.charge_id, "a charge sent twice");
equal(again.response.headers.get("Idempotency-Replayed"), "true", "Idempotency-Replayed");

const concerts = ok(await api.GET("/v1/concerts", { params: { query: { limit: 1 } } }));
const concert = concerts.items[0];
if (concert === undefined) throw new Error("there is no concert");
const ofConcert = { params: { path: { id: concert.concert_id } } };
const performance = ok(await api.GET("/v1/concerts/{id}/performances", ofConcert)).items[0];
if (performance === undefined) throw new Error("there is no performance");
equal(performance.state, "on_sale", "the performance's state");
const ofPerformance = { params: { path: { id: performance.performance_id } } };

const reservation = ok(
  await api.POST("/v1/performances/{id}/reservations", { ...ofPerformance, body: { best_available: { count: 2 } } }),
);
equal(reservation.seats.length, 2, "seats held");
const taken = reservation.seats.map((seat) => seat.seat);
const refused = await api.POST("/v1/performances/{id}/reservations", { ...ofPerformance, body: { seats: taken } });
equal(refused.response.status, 409, "holding the same seats again");
if (refused.error === undefined) throw new Error("a refusal says why");

const ofReservation = { params: { path: { id: reservation.reservation_id } } };
equal(ok(await api.POST("/v1/reservations/{id}/payment", ofReservation)).state, "confirmed", "after the payment");
equal(ok(await api.GET("/v1/reservations/{id}", ofReservation)).state, "confirmed", "read again");
const wallet = ok(await api.GET("/v1/wallet"));
equal(wallet.balance, 1_000_000 - reservation.points, "the balance");

const availability = ok(await api.GET("/v1/performances/{id}/availability", ofPerformance));
if (!("seats" in availability)) throw new Error("without ?since= all of it is shown");
const { booked } = availability.seats;
equal(taken.every((seat) => booked.includes(seat)), true, "the seats are booked");
console.log(`bought ${taken.join(", ")} for ${reservation.points} points`);
