// A file in which many tasks wait: how long it takes to open, how fast they are claimed, what they weigh.
//
// The file is filled, closed and opened again; then tasks are run until so many have ended. Depth 0 is a file
// with no task, for the time of opening.
import { setTimeout as sleep } from 'node:timers/promises'
import { fill } from '../durable/load.mjs'
import { newFile } from '../durable/place.mjs'
import { createTally } from '../round.mjs'

const CONCURRENCY = 16
const RUN = 10_000
const LEVEL = 'relaxed'
const CONTENDERS = [
  { label: 'task', peer: 'task' },
  { label: 'plainjob', peer: 'plainjob' },
  { label: 'better-sqlite3, batched', peer: 'better-sqlite3-batch' },
]
const DEPTHS = [0, 10_000, 100_000, 1_000_000]

export default {
  title: scale => `${scale.text(RUN)} tasks run while many wait, NORMAL, concurrency ${CONCURRENCY}`,
  trials: 3,
  columns: [
    { key: 'openMs', label: 'open ms', digits: 1 },
    { key: 'fillUs', label: 'fill us/task', digits: 2 },
    { key: 'diskBytes', label: 'disk B/task', digits: 0 },
    { key: 'wallUs', label: 'run us/task', digits: 2, compare: true },
  ],

  plan(scale) {
    return DEPTHS.flatMap(depth =>
      CONTENDERS.map(contender => ({
        ...contender,
        group: scale.text(depth),
        params: { depth: depth === 0 ? 0 : scale.count(depth), run: scale.count(RUN) },
      })),
    )
  },

  async measure({ open }, { depth, run }) {
    const { place, bytes, remove } = newFile()
    // What is claimed beyond `run` may run too before the queue stops.
    const tally = createTally()
    tally.reset(depth)
    let ran = 0
    let finish
    const enough = new Promise(resolve => {
      finish = resolve
    })
    const work = async ({ id }) => {
      tally.work(id)
      if (++ran === run) finish()
      return { id, sent: true }
    }
    const options = { place, level: LEVEL, concurrency: CONCURRENCY, work, kept: true }
    try {
      const first = await open(options)
      const fillFrom = performance.now()
      await fill(first, depth)
      const fillUs = ((performance.now() - fillFrom) * 1000) / depth
      await first.close()
      const diskBytes = bytes() / depth
      await sleep(100)

      const openFrom = performance.now()
      const queue = await open(options)
      const openMs = performance.now() - openFrom
      if (depth === 0) {
        await queue.close()
        return { openMs }
      }
      const from = performance.now()
      await queue.start()
      await enough
      const wallUs = ((performance.now() - from) * 1000) / run
      await queue.close()
      tally.atMostOnce()
      return { openMs, fillUs, diskBytes, wallUs }
    } finally {
      await remove()
    }
  },

  goals(figures, scale) {
    const [none, small, , large] = DEPTHS.map(scale.text)
    return [
      {
        text: `rate with ${large} waiting in multiples of that with ${small}`,
        figure: figures.ratio([small, 'task'], [large, 'task'], 'wallUs'),
        atLeast: 0.8,
      },
      {
        text: `time to open a file of ${large} in multiples of that of an empty one`,
        figure: figures.ratio([large, 'task'], [none, 'task'], 'openMs'),
        atMost: 3,
      },
    ]
  },
}
