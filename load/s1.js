// S1: 1,000 times `reserve 3 places`, one after the other or all at one instant; and the same for a house that is too small.
import exec from 'k6/execution';
import { askAtOnce, base, held, hold, performances, small, user } from './common.js';

const TIMES = small(1000);
const WISH = { best_available: { count: 3 } };
const [large, smallHouse] = performances;

export const options = Object.assign({}, base, {
  scenarios: {
    reserve: {
      executor: 'shared-iterations', vus: 1, iterations: __ENV.MODE === 'sequential' ? TIMES : 1, maxDuration: '5m',
    },
  },
});

// Nobody may have more than 100 places: who asks changes.
const asker = (time) => user(Math.floor(time / 20)).token;

export default function reserve() {
  if (__ENV.MODE === 'sequential') {
    hold(large, WISH, asker(exec.scenario.iterationInTest));
    return;
  }
  const tokens = Array.from({ length: TIMES }, (_, time) => asker(time));
  // Their connections are open, as browsers keep them; and what clients and HTTP take by themselves is to be seen.
  for (const name of ['connect', 'nothing']) askAtOnce(name, 'GET', '/livez', { tokens });
  for (const performance of [large, smallHouse]) {
    askAtOnce(performance === large ? 'hold' : 'hold in a small house', 'POST', `/v1/performances/${performance}/reservations`, {
      tokens, body: WISH, statuses: [201, 409],
    }).forEach(held);
  }
}
