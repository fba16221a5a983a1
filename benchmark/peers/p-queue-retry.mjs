// p-queue with its own rate (so many in each interval), and p-retry for attempts.
import PQueue from 'p-queue'
import pRetry from 'p-retry'

export async function create({ concurrency, rate, attempts }) {
  const queue = new PQueue({ concurrency, intervalCap: rate, interval: 1000 })
  const options = { retries: attempts - 1 }
  return { add: run => queue.add(() => pRetry(run, options)), close: async () => queue.clear() }
}
