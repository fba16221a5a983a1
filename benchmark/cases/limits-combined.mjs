// Concurrency, a rate and retries in front of handlers that return at once, none of which ever limits anything: what
// carrying all three costs.
import { addAll, adder, createTally, repeat, timed } from '../round.mjs'

const CONTENDERS = [
  { label: 'task', peer: 'task' },
  { label: 'p-limit + p-throttle + p-retry', peer: 'p-limit-throttle-retry' },
  { label: 'p-queue + p-retry', peer: 'p-queue-retry' },
  // So slow that a full round would last for minutes.
  { label: 'bottleneck', peer: 'bottleneck', part: 50 },
]
const RATE = 100_000_000
const group = concurrency => `concurrency ${concurrency}`

export default {
  title: scale =>
    `${scale.text(100_000)} async handlers that return at once, behind concurrency, a rate and a retry policy (bottleneck: a fiftieth of them)`,
  trials: 5,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
  ],

  plan(scale) {
    return [16, 100].flatMap(concurrency =>
      CONTENDERS.map(({ part = 1, ...contender }) => ({
        ...contender,
        group: group(concurrency),
        params: { concurrency, count: scale.count(100_000 / part), warmUp: 2, rounds: 5 },
      })),
    )
  },

  async measure({ create }, { concurrency, count, warmUp, rounds }) {
    const tally = createTally()
    const queue = await create({ concurrency, rate: RATE, attempts: 3 })
    const add = adder(queue, tally)
    const metrics = await repeat({ warmUp, rounds }, () => timed(() => addAll(add, count), { count, tally }))
    await queue.close()
    return metrics
  },

  goals(figures) {
    const speed = (peer, atLeast) => ({
      text: `speed in multiples of that of ${peer}, ${group(16)}`,
      figure: figures.ratio([group(16), peer], [group(16), 'task'], 'wallUs'),
      atLeast,
    })
    return [speed('p-limit + p-throttle + p-retry', 1), speed('p-queue + p-retry', 2)]
  },
}
