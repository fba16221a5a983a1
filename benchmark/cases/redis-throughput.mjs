// From end to end on a Redis server: enqueue, claim, run, complete. CPU is that of the client process alone.
import { END_TO_END_COLUMNS, endToEnd } from '../durable/load.mjs'
import { newServer } from '../durable/place.mjs'
import { CONCURRENCY, CONTENDERS, FEW, FLOOR, MANY } from '../durable/redis-contenders.mjs'

const LOGS = { off: 'AOF off', everysec: 'AOF everysec' }

export default {
  title: scale => `${scale.text(MANY)} tasks from end to end on Redis, concurrency ${CONCURRENCY}`,
  trials: 3,
  columns: END_TO_END_COLUMNS,
  notes: [
    `bullmq, bee-queue and groupmq: ${FEW.toLocaleString('en-US')} tasks. All remove what has completed.`,
    'Each trial has a server of its own; its CPU counts among that of other programs.',
  ],

  plan(scale) {
    return Object.entries(LOGS).flatMap(([aof, group]) =>
      CONTENDERS.map(({ label, peer, size }) => {
        const count = scale.count(size)
        const params = { aof, count, warmUp: Math.ceil(count / 10), concurrency: CONCURRENCY }
        return { label, peer, group, params }
      }),
    )
  },

  async measure({ open }, { aof, ...params }) {
    const { place, remove } = await newServer({ aof })
    try {
      return await endToEnd(open, { ...params, place })
    } finally {
      await remove()
    }
  },

  goals(figures) {
    const times = (aof, peer, atLeast, key = 'wallUs', what = 'speed') => ({
      text: `${what} in multiples of ${peer}'s, ${LOGS[aof]}`,
      figure: figures.ratio([LOGS[aof], peer], [LOGS[aof], 'task'], key),
      atLeast,
    })
    return [
      times('off', 'bullmq', 5),
      times('everysec', 'bullmq', 4),
      times('off', FLOOR, 0.8),
      times('everysec', FLOOR, 0.8),
      times('off', 'bullmq', 8, 'cpuUs', 'tasks per client CPU'),
    ]
  },
}
