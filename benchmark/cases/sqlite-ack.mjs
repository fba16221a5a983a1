// How long a producer waits until its task is on the disk, alone and among a hundred.
//
// `one statement` is a bare commit: the hand-written queue's insert, on the JavaScript thread.
import { createWork, inputOf, quantile } from '../durable/load.mjs'
import { newFile } from '../durable/place.mjs'
import { startClock } from '../round.mjs'

const LEVELS = { relaxed: 'NORMAL', strict: 'FULL' }
const BARE = 'one statement'
const CONTENDERS = [
  { label: 'task', peer: 'task' },
  { label: 'plainjob', peer: 'plainjob' },
  { label: BARE, peer: 'better-sqlite3-single' },
  { label: 'better-sqlite3, batched', peer: 'better-sqlite3-batch' },
]
const PRODUCERS = [1, 100]
const SIZE = 5_000
const group = (level, producers) =>
  `${LEVELS[level]}, ${producers === 1 ? '1 producer' : `${producers} producers`}`

export default {
  title: scale => `${scale.text(SIZE)} tasks, each producer awaits each acknowledgement`,
  trials: 3,
  columns: [
    { key: 'p50Us', label: 'p50 us', digits: 0, compare: true },
    { key: 'p99Us', label: 'p99 us', digits: 0 },
    { key: 'wallUs', label: 'wall us/task', digits: 1, compare: true },
  ],
  notes: [
    'p50, p99: from the call to the acknowledgement. All but task hold the event loop for the whole commit.',
  ],

  plan(scale) {
    return Object.keys(LEVELS).flatMap(level =>
      PRODUCERS.flatMap(producers =>
        CONTENDERS.map(contender => ({
          ...contender,
          group: group(level, producers),
          params: { level, producers, count: scale.count(SIZE) },
        })),
      ),
    )
  },

  async measure({ open }, { level, producers, count }) {
    const { place, remove } = newFile()
    try {
      const { work } = createWork(count)
      const queue = await open({ place, level, concurrency: 1, work, kept: true })
      for (let i = 0; i < Math.ceil(count / 10); i++) await queue.add(inputOf(i))
      const waits = []
      let next = 0
      const produce = async () => {
        while (next < count) {
          const from = performance.now()
          await queue.add(inputOf(next++))
          waits.push((performance.now() - from) * 1000)
        }
      }
      const stop = startClock()
      await Promise.all(Array.from({ length: producers }, produce))
      const { wall } = stop()
      await queue.close()
      if (waits.length !== count) throw new Error(`${waits.length} acknowledgements of ${count}`)
      return { p50Us: quantile(waits, 0.5), p99Us: quantile(waits, 0.99), wallUs: wall / count }
    } finally {
      await remove()
    }
  },

  goals(figures) {
    const [alone, many] = PRODUCERS.map(producers => group('strict', producers))
    return [
      {
        text: `p50 in multiples of a bare commit's, ${alone}`,
        figure: figures.ratio([alone, 'task'], [alone, BARE], 'p50Us'),
        atMost: 2,
      },
      {
        text: `rate of ${many} in multiples of one producer's`,
        figure: figures.ratio([alone, 'task'], [many, 'task'], 'wallUs'),
        atLeast: 20,
      },
    ]
  },
}
