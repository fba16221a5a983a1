// What people combine: p-limit for concurrency, p-throttle for the rate, p-retry for attempts.
import pLimit from 'p-limit'
import pRetry from 'p-retry'
import pThrottle from 'p-throttle'

export async function create({ concurrency, rate, attempts }) {
  const limit = pLimit(concurrency)
  const throttled = pThrottle({ limit: rate, interval: 1000 })(run => run())
  const options = { retries: attempts - 1 }
  return {
    add: run => limit(() => pRetry(() => throttled(run), options)),
    close: async () => limit.clearQueue(),
  }
}
