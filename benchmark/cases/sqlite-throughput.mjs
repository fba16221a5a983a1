// From end to end on a file: enqueue, claim, run, complete, with the event loop's delay meanwhile.
//
// A contender that needs a transaction for each step gets fewer tasks, since its rate does not depend on their
// number and a run would take minutes.
import { END_TO_END_COLUMNS, endToEnd } from '../durable/load.mjs'
import { newFile } from '../durable/place.mjs'

const MANY = 100_000
const FEW = 20_000
const CONTENDERS = [
  { label: 'task', peer: 'task', size: MANY },
  { label: 'plainjob', peer: 'plainjob', size: FEW },
  { label: 'better-sqlite3, single', peer: 'better-sqlite3-single', size: FEW },
  { label: 'better-sqlite3, batched', peer: 'better-sqlite3-batch', size: MANY },
  { label: 'node:sqlite, single', peer: 'node-sqlite-single', size: FEW },
  { label: 'node:sqlite, batched', peer: 'node-sqlite-batch', size: MANY },
]
const LEVELS = { relaxed: 'NORMAL', strict: 'FULL' }
const CONCURRENCIES = [16, 100]
const group = (level, concurrency) => `${LEVELS[level]}, concurrency ${concurrency}`
const GROUPS = Object.keys(LEVELS).flatMap(level =>
  CONCURRENCIES.map(concurrency => ({ level, concurrency, group: group(level, concurrency) })),
)
const BATCHED = ['better-sqlite3, batched', 'node:sqlite, batched']

export default {
  title: scale => `${scale.text(MANY)} tasks from end to end on a SQLite file`,
  trials: 3,
  columns: [...END_TO_END_COLUMNS, { key: 'diskBytes', label: 'disk B/task', digits: 0 }],
  notes: [
    'NORMAL and FULL are levels of `synchronous`: our durability relaxed (synced twice a second) and strict.',
    `plainjob and the queues of single statements: ${FEW.toLocaleString('en-US')} tasks.`,
    'Nobody removes completed tasks. The hand-written queues have no priorities, retries, delays or leases.',
    'liteque 0.8.0 is missing: it cannot take a job with this better-sqlite3. bunqueue needs Bun.',
  ],

  plan(scale) {
    return GROUPS.flatMap(({ group, ...options }) =>
      CONTENDERS.map(({ label, peer, size }) => {
        const count = scale.count(size)
        return { label, peer, group, params: { ...options, count, warmUp: Math.ceil(count / 10) } }
      }),
    )
  },

  async measure({ open }, params) {
    const { place, bytes, remove } = newFile()
    try {
      const metrics = await endToEnd(open, { ...params, place, kept: true })
      return { ...metrics, diskBytes: bytes() / (params.count + params.warmUp) }
    } finally {
      await remove()
    }
  },

  goals(figures) {
    return GROUPS.flatMap(({ level, group }) => {
      const times = (peer, atLeast) => ({
        text: `speed in multiples of ${peer}'s, ${group}`,
        figure: figures.ratio([group, peer], [group, 'task'], 'wallUs'),
        atLeast,
      })
      const delay = (key, text, atMost) => ({
        text: `event loop delay, ${text}, ms, ${group}`,
        figure: figures.metric([group, 'task'], key),
        judge: 'max',
        atMost,
      })
      return [
        times('plainjob', level === 'strict' ? 25 : 12),
        ...BATCHED.map(peer => times(peer, 0.9)),
        delay('delayP99Ms', 'p99', 5),
        delay('delayMaxMs', 'maximum', 20),
      ]
    })
  },
}
