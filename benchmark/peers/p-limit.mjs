// p-limit: a bare limit, without pause, priority or timeout.
import pLimit from 'p-limit'

export async function create({ concurrency }) {
  const limit = pLimit(concurrency)
  return { add: run => limit(run), close: async () => limit.clearQueue() }
}
