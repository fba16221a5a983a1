// Producers only: tasks enqueued a thousand at a time, each with its own call, and acknowledged by the server.
import { addInBatches, createWork } from '../durable/load.mjs'
import { newServer } from '../durable/place.mjs'
import { CONTENDERS, MANY } from '../durable/redis-contenders.mjs'
import { collect, startClock } from '../round.mjs'

const GROUP = 'AOF off'

export default {
  title: scale => `${scale.text(MANY)} tasks enqueued on Redis, a thousand calls at a time`,
  trials: 3,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
  ],

  plan(scale) {
    return CONTENDERS.map(({ label, peer, size }) => ({
      label,
      peer,
      group: GROUP,
      params: { count: scale.count(size) },
    }))
  },

  async measure({ open }, { count }) {
    const { place, remove } = await newServer({ aof: 'off' })
    try {
      const warmUp = Math.ceil(count / 10)
      const { all, work, check } = createWork(warmUp + count)
      const queue = await open({ place, concurrency: 16, work })
      await addInBatches(queue, 0, warmUp)
      collect()
      const stop = startClock()
      await addInBatches(queue, warmUp, warmUp + count)
      const { wall, cpu } = stop()
      // Off the clock: all of them are there.
      await queue.start()
      await all
      await queue.close()
      check()
      return { wallUs: wall / count, cpuUs: cpu / count }
    } finally {
      await remove()
    }
  },

  goals: figures => [
    {
      text: "concurrent enqueue in multiples of bullmq's",
      figure: figures.ratio([GROUP, 'bullmq'], [GROUP, 'task'], 'wallUs'),
      atLeast: 4,
    },
  ],
}
