// S3: three kinds of requests by many people (L) and by as many arrivals as the shape says (P).
import {
  any, arrivals, ask, availability, base, hold, join, listConcerts, listPerformances, me, pay, people, pickSeat, status, think,
} from './common.js';

const [kind, load] = __ENV.MODE.split('-');
// People come by hundreds and stay; between two requests they take a second. (The published 415 requests/s of 750 people on
// average, each answered after 810 ms, come to that.)
const L = people([[5, 200], [5, 400], [5, 600], [5, 800], [5, 1000], [10, 1000], [10, 1000], [10, 1000], [5, 0]]);
const P = arrivals(10, [[10, 1000], [20, 2000], [30, 1000], [10, 4000]], 2000);
// Everybody wants the first rows.
const WANTED_SEATS = 20;

export const options = Object.assign({}, base, { scenarios: { load: load === 'L' ? L : P } });

const pause = load === 'L' ? think : () => {};

const KINDS = {
  balance() {
    ask('balance', 'GET', '/v1/wallet', { token: me().token, read: false });
    pause();
  },
  queue() {
    const entry = join();
    pause();
    if (entry) status(entry);
    pause();
  },
  buy() {
    const { token } = me();
    const concert = any(listConcerts());
    pause();
    const performance = any(concert ? listPerformances(concert.concert_id) : []);
    pause();
    const seat = performance && pickSeat(availability(performance.performance_id), WANTED_SEATS);
    pause();
    const reservation = seat && hold(performance.performance_id, { seats: [seat] }, token);
    pause();
    if (reservation) pay(reservation, token);
    pause();
  },
};
export default KINDS[kind];
