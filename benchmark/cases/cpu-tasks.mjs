// Work that would block the event loop: long tasks, which show what the threads gain, and tasks far shorter than the
// way to a thread and back, which show what that costs.
import { median } from '../statistics.mjs'

const filename = new URL('../cpu/fib.mjs', import.meta.url)
const THREADS = 2
const CONTENDERS = [
  { label: 'task', peer: 'task-threads' },
  { label: 'piscina', peer: 'piscina' },
  { label: 'inline', peer: 'inline' },
]
const LONG = `fib(27) in ${THREADS} threads`
const SHORT = `fib(10) in ${THREADS} threads`

export default {
  title: () => 'CPU-bound handlers in worker threads, all added together, results read',
  trials: 5,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 1, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 1, compare: true },
  ],

  plan(scale) {
    const entries = (group, params) => CONTENDERS.map(contender => ({ ...contender, group, params }))
    return [
      ...entries(LONG, { n: 27, count: scale.count(300), rounds: 3 }),
      ...entries(SHORT, { n: 10, count: scale.count(20_000), rounds: 5 }),
    ]
  },

  async measure({ open }, { n, count, rounds }) {
    const { default: fib } = await import(filename.href)
    const wanted = fib(n)
    const pool = await open({ filename, threads: THREADS })
    const walls = []
    const cpus = []
    // The first round starts the threads and warms them up.
    for (let round = 0; round <= rounds; round += 1) {
      const cpu = process.cpuUsage()
      const from = performance.now()
      const results = await Promise.all(Array.from({ length: count }, () => pool.run(n)))
      const wall = performance.now() - from
      const { user, system } = process.cpuUsage(cpu)
      if (results.some(result => result !== wanted)) throw new Error(`a task did not give ${wanted}`)
      if (round === 0) continue
      walls.push((wall * 1_000) / count)
      cpus.push((user + system) / count)
    }
    await pool.close()
    return { wallUs: median(walls), cpuUs: median(cpus) }
  },

  goals(figures) {
    return [
      {
        text: 'speed of long tasks in multiples of one thread',
        figure: figures.ratio([LONG, 'inline'], [LONG, 'task'], 'wallUs'),
        atLeast: 1.8,
      },
      {
        text: "time of a short task in parts of piscina's",
        figure: figures.ratio([SHORT, 'task'], [SHORT, 'piscina'], 'wallUs'),
        atMost: 1 / 3,
      },
    ]
  },
}
