// Closures queued behind a closed gate: what one waiting task costs in memory and time, and whether that
// grows with their number.
//
// Memory is weighed in a queue that has held nothing yet. Time is taken on the same queue afterwards, over a
// million tasks at every depth (100 rounds of 10,000), with no forced collection between rounds: a small
// backlog would otherwise fit into the young generation of V8 and never pay for its garbage.
// Below a million tasks the fixed part of `outside` (pages that V8 takes as its heap grows, some MB) hides
// the rest.
import { adder, collect, createTally, fillAndDrain, footprint } from '../round.mjs'

const CONTENDERS = [
  { label: 'task', peer: 'task' },
  { label: 'p-queue', peer: 'p-queue' },
  { label: 'fastq', peer: 'fastq' },
  { label: 'fastq, data', peer: 'fastq-data' },
]
const SIZES = [10_000, 100_000, 1_000_000]
const TOTAL = 1_000_000
const CONCURRENCY = 16

export default {
  title: () => `closures queued behind a closed gate, then drained at concurrency ${CONCURRENCY}`,
  trials: 3,
  columns: [
    { key: 'heapBytes', label: 'heap B/task', digits: 0 },
    { key: 'outsideBytes', label: 'outside B/task', digits: 0 },
    { key: 'memoryBytes', label: 'heap + outside', digits: 0, compare: true },
    { key: 'residentBytes', label: 'RSS B/task', digits: 0 },
    { key: 'fillMs', label: 'fill ms', digits: 1 },
    { key: 'drainMs', label: 'drain ms', digits: 1 },
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2 },
  ],
  notes: [
    'heap: live JavaScript objects after full collections, the closure and promise of each task included;',
    'outside: growth of resident memory beside the pages of V8 (the native engine, and book-keeping of V8).',
  ],

  plan(scale) {
    return SIZES.flatMap(size =>
      CONTENDERS.map(contender => ({
        ...contender,
        group: scale.text(size),
        params: { count: scale.count(size), rounds: TOTAL / size },
      })),
    )
  },

  async measure({ create }, { count, rounds }) {
    const tally = createTally()
    await loadCode(create, tally)
    const queue = await create({ concurrency: CONCURRENCY, work: tally.work })
    const promises = new Array(count).fill(null)
    const add = adder(queue, tally)
    const round = async whenFull => {
      tally.reset(count)
      const { fill, drain, results } = await fillAndDrain({ queue, promises, add, whenFull })
      tally.check(results)
      promises.fill(null)
      return { fillWall: fill.wall, drainWall: drain.wall, cpu: fill.cpu + drain.cpu }
    }

    tally.reset(count)
    const before = await footprint()
    let after
    await round(async () => {
      after = await footprint()
    })
    const grown = key => (after[key] - before[key]) / count

    collect()
    const sum = { fillWall: 0, drainWall: 0, cpu: 0 }
    for (let i = 0; i < rounds; i++) {
      const part = await round()
      for (const key of Object.keys(sum)) sum[key] += part[key]
    }
    await queue.close()
    return {
      heapBytes: grown('heap'),
      outsideBytes: grown('outside'),
      memoryBytes: grown('heap') + grown('outside'),
      residentBytes: grown('resident'),
      fillMs: sum.fillWall / rounds / 1000,
      drainMs: sum.drainWall / rounds / 1000,
      wallUs: (sum.fillWall + sum.drainWall) / rounds / count,
      cpuUs: sum.cpu / rounds / count,
    }
  },

  goals(figures, scale) {
    const [small, , large] = SIZES.map(scale.text)
    const growth = peer => figures.ratio([large, peer], [small, peer], 'wallUs')
    return [
      {
        text: `memory per task in multiples of fastq's, ${large} queued`,
        figure: figures.ratio([large, 'task'], [large, 'fastq'], 'memoryBytes'),
        atMost: 1.1,
      },
      {
        text: `heap per task with ${large} queued in multiples of that with ${small}`,
        figure: figures.ratio([large, 'task'], [small, 'task'], 'heapBytes'),
        atMost: 1.1,
      },
      {
        text: `time per task with ${large} queued in multiples of that with ${small}`,
        figure: growth('task'),
        atMost: 2,
      },
      { text: "the same growth, fastq's (for comparison)", figure: growth('fastq') },
      { text: "the same growth, p-queue's (for comparison)", figure: growth('p-queue') },
    ]
  },
}

/** Code is compiled at its first use, which would otherwise weigh on the tasks. */
async function loadCode(create, tally) {
  const queue = await create({ concurrency: CONCURRENCY, work: tally.work })
  tally.reset(100)
  const promises = new Array(100).fill(null)
  await fillAndDrain({ queue, promises, add: adder(queue, tally) })
  await queue.close()
}
