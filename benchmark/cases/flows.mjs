// Workflows of 100,000 tasks from end to end, against the same number of tasks that wait for nobody: what edges cost.
import { untilDone } from '../durable/load.mjs'
import { newFile, newServer } from '../durable/place.mjs'
import { createOrder, SHAPES } from '../durable/shapes.mjs'
import { collect, startClock } from '../round.mjs'

const COUNT = 100_000
const CONCURRENCY = 16
const PLACES = {
  memory: async () => ({ place: 'memory', remove: async () => {} }),
  sqlite: async () => newFile(),
  redis: () => newServer({ aof: 'off' }),
}
const FLAT = 'flat'
const groupOf = store => `${store}, concurrency ${CONCURRENCY}`

export default {
  title: scale => `Workflows of ${scale.text(COUNT)} tasks from end to end, against tasks without edges`,
  trials: 3,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
    { key: 'pushUs', label: 'push us/task', digits: 2 },
  ],
  notes: [
    'wide: 1 - many - 1; deep: 100 chains; lattice: layers of 100, each task waits for two. Outputs are not read.',
    'SQLite in the level relaxed. Each trial on Redis has a server of its own.',
  ],

  plan(scale) {
    return Object.keys(PLACES).flatMap(store =>
      [FLAT, ...Object.keys(SHAPES)].map(shape => ({
        label: shape,
        peer: 'task',
        group: groupOf(store),
        params: { store, shape, count: scale.count(COUNT), concurrency: CONCURRENCY },
      })),
    )
  },

  async measure({ openFlows }, { store, shape, count, concurrency }) {
    const { place, remove } = await PLACES[store]()
    const plan = shape === FLAT ? { count, parents: () => [] } : SHAPES[shape](count)
    const { all, work, check } = createOrder(plan)
    const flows = await openFlows({ place, concurrency, work })
    try {
      collect()
      const stop = startClock()
      await (shape === FLAT ? flows.addFlat(count) : flows.addFlow(plan))
      const pushed = stop()
      await flows.start()
      await all
      await untilDone(flows)
      const { wall, cpu } = stop()
      check()
      return { wallUs: wall / count, cpuUs: cpu / count, pushUs: pushed.wall / count }
    } finally {
      await flows.close()
      await remove()
    }
  },

  goals(figures) {
    return Object.keys(PLACES).flatMap(store =>
      Object.keys(SHAPES).map(shape => ({
        text: `speed of ${shape} in multiples of flat's, ${store}`,
        figure: figures.ratio([groupOf(store), FLAT], [groupOf(store), shape], 'wallUs'),
        atLeast: 0.5,
      })),
    )
  },
}
