// S4: from nothing to a seat: sign up, token, poll until active, performances, seats, hold, charge and pay.
import {
  any, ask, availability, base, charge, claim, concerts, hold, join, listPerformances, pay, people, pickSeat,
  pollUntilAdmitted, think,
} from './common.js';

const SHAPES = {
  load: people([[15, 150], [15, 150], [15, 0]]),
  endurance: people([[10, 150], [240, 150], [10, 0]]),
  stress: people([[20, 150], [20, 300], [20, 450], [20, 600], [20, 0]]),
  peak: people([[10, 600], [20, 600], [10, 30], [20, 30], [10, 600], [20, 600], [10, 0]], 30),
  // 60 % of the endurance run, for SOAK_S seconds.
  soak: people([[10, 90], [Number(__ENV.SOAK_S || 3600), 90], [10, 0]]),
};
export const options = Object.assign({}, base, { scenarios: { buy: SHAPES[__ENV.MODE] } });

let count = 0;

export default function buy() {
  count += 1;
  const account = ask('sign up', 'POST', '/v1/users', {
    body: { email: `${__VU}-${count}-${Math.random()}@example.com`, password: 'correct horse battery' }, statuses: [201],
  });
  think();
  if (account.status !== 201) return;
  const { user_id: userId, session: { token } } = JSON.parse(account.body);
  const entry = join({ token });
  think();
  if (!entry || !pollUntilAdmitted(entry, 100)) return;
  claim(entry);
  think();
  const open = listPerformances(any(concerts)).filter(({ available }) => available > 0);
  think();
  if (!open.length) return;
  const performance = any(open).performance_id;
  const reservation = select(performance, token);
  think();
  if (!reservation) return;
  charge(userId, reservation.points);
  pay(reservation, token);
  think();
}

// A random free seat; another one if somebody was quicker.
function select(performance, token) {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const seat = pickSeat(availability(performance));
    think();
    const reservation = seat && hold(performance, { seats: [seat] }, token);
    if (reservation) return reservation;
  }
  return null;
}
