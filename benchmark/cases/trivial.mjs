// The plain path: async handlers that return at once, added all together, and every result read.
import { addAll, adder, createTally, repeat, timed } from '../round.mjs'

const CONTENDERS = [
  { label: 'task', peer: 'task' },
  { label: 'p-queue', peer: 'p-queue' },
  { label: 'fastq', peer: 'fastq' },
  { label: 'fastq, data', peer: 'fastq-data' },
  { label: 'p-limit', peer: 'p-limit' },
]
const group = concurrency => `concurrency ${concurrency}`

export default {
  title: scale =>
    `${scale.text(100_000)} async handlers that return at once, all added together, results read`,
  trials: 5,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
  ],

  plan(scale) {
    return [1, 16, 100].flatMap(concurrency =>
      CONTENDERS.map(contender => ({
        ...contender,
        group: group(concurrency),
        params: { concurrency, count: scale.count(100_000), warmUp: 3, rounds: 5 },
      })),
    )
  },

  async measure({ create }, { concurrency, count, warmUp, rounds }) {
    const tally = createTally()
    const queue = await create({ concurrency, work: tally.work })
    const add = adder(queue, tally)
    const metrics = await repeat({ warmUp, rounds }, () => timed(() => addAll(add, count), { count, tally }))
    await queue.close()
    return metrics
  },

  goals(figures) {
    const speed = (concurrency, peer, atLeast, aim) => ({
      text: `speed in multiples of ${peer}'s, ${group(concurrency)}`,
      figure: figures.ratio([group(concurrency), peer], [group(concurrency), 'task'], 'wallUs'),
      atLeast,
      aim,
    })
    const cpu = concurrency => ({
      text: `CPU per task in multiples of fastq's, ${group(concurrency)}`,
      figure: figures.ratio([group(concurrency), 'task'], [group(concurrency), 'fastq'], 'cpuUs'),
      atMost: 1,
    })
    return [
      speed(16, 'p-queue', 2.5, 3),
      speed(100, 'p-queue', 2.5, 3),
      speed(1, 'fastq', 0.85),
      speed(16, 'fastq', 1, 1.3),
      speed(100, 'fastq', 1, 1.3),
      cpu(1),
      cpu(16),
      cpu(100),
    ]
  },
}
