// S1: 1,000 times `reserve 3 places`, one after the other or all at one instant; and the same for a house that is too small.
import http from 'k6/http';
import exec from 'k6/execution';
import { base, held, hold, performances, small, url, user } from './common.js';

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
  // Their connections are open, as browsers keep them; and what k6 and HTTP take by themselves is to be seen.
  for (const name of ['connect', 'nothing']) {
    http.batch(Array.from({ length: TIMES }, () => ({ method: 'GET', url: `${url}/livez`, params: { tags: { name } } })));
  }
  for (const performance of [large, smallHouse]) {
    const name = performance === large ? 'hold' : 'hold in a small house';
    const requests = Array.from({ length: TIMES }, (_, time) => ({
      method: 'POST', url: `${url}/v1/performances/${performance}/reservations`, body: JSON.stringify(WISH),
      params: {
        headers: { Authorization: `Bearer ${asker(time)}`, 'Content-Type': 'application/json' },
        tags: { name }, responseType: 'text', responseCallback: http.expectedStatuses(201, 409),
      },
    }));
    http.batch(requests).forEach(held);
  }
}
