// S0: everybody joins a queue. A: a burst. B: how many joins a second. C: who joined waits on a stream and is let in.
import onsale from 'k6/x/onsale';
import { arrivals, ask, base, claimTtlS, join, organizerKey, queue, shape, small, url } from './common.js';

const waiting = (startRate, stages) => ({
  scenarios: {
    join: Object.assign(arrivals(startRate, stages, 300), { exec: 'joinAndWatch' }),
    admit: Object.assign(admissions(stages), { exec: 'admit' }),
  },
  teardownTimeout: '60s',
});

// Once a second, from the tenth second on, until the last person has joined.
function admissions(stages) {
  const durations = shape(stages).map(({ duration }) => parseFloat(duration));
  const seconds = durations.reduce((sum, duration) => sum + duration, 0);
  const from = small(10);
  return {
    executor: 'constant-arrival-rate', rate: 1, timeUnit: '1s', preAllocatedVUs: 2, startTime: `${from}s`,
    duration: `${Math.max(1, Math.round(seconds - from))}s`,
  };
}

const SHAPES = {
  burst: { scenarios: { join: arrivals(300, [[10, 300], [15, 150], [15, 100], [60, 50], [50, 30], [30, 0]], 300) } },
  capacity: {
    scenarios: {
      join: arrivals(100, [[5, 10], [30, 50], [10, 100], [5, 200], [5, 300], [30, 1000], [60, 2000]], 3000),
    },
  },
  push: waiting(300, [[10, 300], [40, 180], [60, 50], [20, 0]]),
  heavy: waiting(300, [[20, 400], [40, 250], [60, 50], [20, 0]]),
};
export const options = Object.assign({}, base, SHAPES[__ENV.MODE]);

export default function joinOnly() {
  join({ read: false });
}

export function joinAndWatch() {
  const entry = join();
  if (entry) {
    onsale.watch(`${url}/v1/queues/${queue}/entries/${entry.entry_id}/events`, entry.waiting_token, claimTtlS * 1000);
  }
}

export function admit() {
  ask('admit', 'POST', `/v1/queues/${queue}/admissions`, { token: organizerKey, body: { count: small(100) }, read: false });
}

export function teardown() {
  if (__ENV.MODE === 'push' || __ENV.MODE === 'heavy') onsale.closeStreams(3000);
}
