// What all scenarios share: the stage that load/run has set up, shapes, and every request they make, each under a name that
// the report knows. A request that is not answered as it must be is counted by k6 as failed.
import exec from 'k6/execution';
import { sleep } from 'k6';
import { SharedArray } from 'k6/data';
import { Counter } from 'k6/metrics';
import onsale from 'k6/x/onsale';

const stage = new SharedArray('stage', () => [JSON.parse(open(__ENV.STAGE))])[0];
const users = new SharedArray('users', () => JSON.parse(open(__ENV.USERS)));
const SHORT = __ENV.SHORT ? Number(__ENV.SHORT) : 1;

export const url = stage.url;
onsale.connectTo(url);
export const queue = stage.queue;
export const concerts = stage.concerts;
export const performances = stage.performances;
export const organizerKey = stage.organizer_key;
export const claimTtlS = stage.claim_ttl_s;
// Seats that somebody else took while one looked at the map: an answer like any other, not a failure.
const taken = new Counter('seats_taken');
// Answers of another status than they must have.
const unexpected = new Counter('unexpected');

// Only what the report groups by: each further tag costs k6 processor time.
export const base = { systemTags: ['name'] };

// Stages of a published shape: [[seconds, target], …]. A short run is the same shape, smaller by SHORT in both.
export function shape(stages) {
  return stages.map(([seconds, target]) => ({ duration: `${Math.max(0.2, seconds / SHORT)}s`, target: small(target) }));
}

// A rate or a number of people; in a short run fewer.
export function small(number) {
  return number === 0 ? 0 : Math.max(1, Math.round(number / SHORT));
}

export function arrivals(startRate, stages, vus) {
  const many = small(vus);
  return {
    executor: 'ramping-arrival-rate', startRate: small(startRate), timeUnit: '1s', stages: shape(stages),
    preAllocatedVUs: many, maxVUs: many, gracefulStop: '10s',
  };
}

export function people(stages, startVUs = 0) {
  return {
    executor: 'ramping-vus', startVUs: small(startVUs), stages: shape(stages), gracefulRampDown: '15s', gracefulStop: '15s',
  };
}

// People take a second between two steps; in a short run less.
export function think() {
  sleep(1 / Math.min(SHORT, 10));
}

// The account of this virtual user.
export function me() {
  return users[(exec.vu.idInTest - 1) % users.length];
}

export function user(number) {
  return users[number % users.length];
}

// One request that must be answered with one of `statuses`.
export function ask(name, method, path, { token = '', body, key = '', statuses = [200], read = true } = {}) {
  const reply = onsale.ask(name, method, path, token, key, body === undefined ? '' : JSON.stringify(body), statuses, read);
  expect(name, reply, statuses);
  return reply;
}

// The same for each of `tokens`, all at one instant.
export function askAtOnce(name, method, path, { tokens, body, statuses = [200] }) {
  const replies = onsale.burst(name, method, path, tokens, body === undefined ? '' : JSON.stringify(body), statuses);
  replies.forEach((reply) => expect(name, reply, statuses));
  return replies;
}

function expect(name, reply, statuses) {
  if (statuses.includes(reply.status)) return;
  unexpected.add(1, { name });
  console.error(`${name}: ${reply.status} ${reply.error || reply.body}`);
}

const parsed = (reply) => (reply.body ? JSON.parse(reply.body) : {});

// Joins as somebody new, whom the queue knows by the waiting token alone; or as a user.
export function join({ token, read = true } = {}) {
  const reply = ask('join', 'POST', `/v1/queues/${queue}/entries`, { token, statuses: [201, 200], read });
  const { location } = reply;
  if (location) onsale.note('joined', location.slice(location.lastIndexOf('/') + 1), 0);
  return read && location ? parsed(reply) : null;
}

export const status = (entry) =>
  parsed(ask('status', 'GET', `/v1/queues/${queue}/entries/${entry.entry_id}`, { token: entry.waiting_token }));

export const claim = (entry) =>
  ask('claim', 'POST', `/v1/queues/${queue}/entries/${entry.entry_id}/claim`, { token: entry.waiting_token, read: false });

// Polls until it is one's turn, at most `times`; whether it is.
export function pollUntilAdmitted(entry, times) {
  for (let poll = 0; poll < times; poll += 1) {
    if (['admitted', 'active'].includes(status(entry).state)) return true;
    think();
  }
  return false;
}

export const listConcerts = () => parsed(ask('concerts', 'GET', '/v1/concerts')).items || [];

export const listPerformances = (concert) =>
  parsed(ask('performances', 'GET', `/v1/concerts/${concert}/performances`)).items || [];

// As text: see pickSeat.
export const availability = (performance) =>
  ask('availability', 'GET', `/v1/performances/${performance}/availability`).body || '';

// The chart's places in order. All charts of the stage are alike: `rows` rows of `seats`.
const SEATS = stage.rows * stage.seats_per_row;
const label = (index) => `A-${Math.floor(index / stage.seats_per_row) + 1}-${(index % stage.seats_per_row) + 1}`;

// A free seat of an availability, or one of the first `among` in the chart's order; null when nothing is left. Any is looked for
// in the text: a list of all 50,000 takes k6 longer than all the rest, and then its own slowness is what it measures.
export function pickSeat(map, among = Infinity) {
  if (!map.includes('"seats"')) return null;
  for (let attempt = 0; among === Infinity && attempt < 20; attempt += 1) {
    const seat = label(Math.floor(Math.random() * SEATS));
    if (!map.includes(`"${seat}"`)) return seat;
  }
  const { seats } = JSON.parse(map);
  const gone = new Set([...seats.held, ...seats.booked, ...seats.blocked]);
  const free = [];
  for (let index = 0; index < SEATS && free.length < among; index += 1) {
    if (!gone.has(label(index))) free.push(label(index));
  }
  return free.length ? any(free) : null;
}

export const any = (list) => list[Math.floor(Math.random() * list.length)];

// Holds what `wish` asks for; the reservation, or null when somebody else was quicker.
export function hold(performance, wish, token) {
  const reply = ask('hold', 'POST', `/v1/performances/${performance}/reservations`, {
    token, body: wish, statuses: [201, 409],
  });
  return held(reply);
}

export function held(reply) {
  if (reply.status === 409) taken.add(1);
  if (reply.status !== 201) return null;
  const reservation = parsed(reply);
  onsale.note('held', reservation.reservation_id, reservation.points);
  return reservation;
}

export function charge(userId, points) {
  ask('charge', 'POST', '/v1/wallet/charges', {
    token: organizerKey, key: `charge-${userId}-${Date.now()}-${Math.random()}`, statuses: [201], read: false,
    body: { user_id: userId, points },
  });
}

export function pay(reservation, token) {
  const reply = ask('pay', 'POST', `/v1/reservations/${reservation.reservation_id}/payment`, { token, read: false });
  if (reply.status === 200) onsale.note('paid', reservation.reservation_id, reservation.points);
}
