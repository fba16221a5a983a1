// The plain path with a timeout on each task that never fires: what carrying one costs.
// fastq and p-limit have no timeout.
import { addAll, createTally, repeat, timed } from '../round.mjs'

const group = concurrency => `concurrency ${concurrency}`

export default {
  title: scale => `${scale.text(100_000)} async handlers that return at once, each with a timeout of 30 s`,
  trials: 5,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
  ],

  plan(scale) {
    return [16, 100].flatMap(concurrency =>
      ['task', 'p-queue'].map(peer => ({
        label: peer,
        peer,
        group: group(concurrency),
        params: { concurrency, count: scale.count(100_000), warmUp: 3, rounds: 5 },
      })),
    )
  },

  async measure({ create }, { concurrency, count, warmUp, rounds }) {
    const tally = createTally()
    const queue = await create({ concurrency })
    const add = i => queue.add(async () => tally.work(i), { timeout: 30_000 })
    const metrics = await repeat({ warmUp, rounds }, () => timed(() => addAll(add, count), { count, tally }))
    await queue.close()
    return metrics
  },

  goals(figures) {
    return [16, 100].map(concurrency => ({
      text: `speed with a timeout in multiples of p-queue's, ${group(concurrency)}`,
      figure: figures.ratio([group(concurrency), 'p-queue'], [group(concurrency), 'task'], 'wallUs'),
      atLeast: 2,
    }))
  },
}
