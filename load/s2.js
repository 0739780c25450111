// S2: a whole visit with a second between two steps: token, poll at most three times, schedule, seats, confirm.
import {
  any, availability, base, concerts, hold, join, listPerformances, me, pay, pickSeat, pollUntilAdmitted, shape, small, think,
} from './common.js';

export const options = Object.assign({}, base, {
  scenarios: {
    visit: {
      executor: 'constant-vus', vus: small(Number(__ENV.MODE)), duration: shape([[300, 0]])[0].duration, gracefulStop: '20s',
    },
  },
});

export default function visit() {
  const { token } = me();
  const entry = join({ token });
  think();
  if (!entry || !pollUntilAdmitted(entry, 3)) return;
  const open = listPerformances(any(concerts)).filter(({ available }) => available > 0);
  think();
  if (!open.length) return;
  const performance = any(open).performance_id;
  const seat = pickSeat(availability(performance));
  think();
  const reservation = seat && hold(performance, { seats: [seat] }, token);
  if (reservation) pay(reservation, token);
  think();
}
