// Workflows on Redis against BullMQ's FlowProducer, in the two shapes that its trees can express.
import { untilDone } from '../durable/load.mjs'
import { newServer } from '../durable/place.mjs'
import { createOrder, SHAPES } from '../durable/shapes.mjs'
import { collect, startClock } from '../round.mjs'

const COUNT = 20_000
const CONCURRENCY = 16
// Without the task that all of the wide shape wait for: a tree has no such thing.
const fanIn = count => ({
  count,
  parents: i => (i < count - 1 ? [] : Array.from({ length: count - 1 }, (_, at) => at)),
})
const TREES = { 'fan-in': fanIn, '100 chains': SHAPES.deep }

export default {
  title: scale => `Workflows of ${scale.text(COUNT)} tasks on Redis, concurrency ${CONCURRENCY}`,
  trials: 3,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
  ],
  notes: ['Each trial has a server of its own, AOF off. A lattice is beyond what trees can express.'],

  plan(scale) {
    const contenders = { task: 'task', bullmq: 'bullmq-flow' }
    return Object.keys(TREES).flatMap(group =>
      Object.entries(contenders).map(([label, peer]) => ({
        label,
        peer,
        group,
        params: { shape: group, count: scale.count(COUNT), concurrency: CONCURRENCY },
      })),
    )
  },

  async measure({ openFlows }, { shape, count, concurrency }) {
    const { place, remove } = await newServer({ aof: 'off' })
    const plan = TREES[shape](count)
    const { all, work, check } = createOrder(plan)
    const flows = await openFlows({ place, concurrency, work })
    try {
      collect()
      const stop = startClock()
      await flows.addFlow(plan)
      await flows.start()
      await all
      await untilDone(flows)
      const { wall, cpu } = stop()
      check()
      return { wallUs: wall / count, cpuUs: cpu / count }
    } finally {
      await flows.close()
      await remove()
    }
  },

  goals(figures) {
    return Object.keys(TREES).map(group => ({
      text: `speed in multiples of FlowProducer's, ${group}`,
      figure: figures.ratio([group, 'bullmq'], [group, 'task'], 'wallUs'),
      atLeast: 5,
    }))
  },
}
