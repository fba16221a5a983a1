// What it costs to be watched: the same work with and without measured times and a listener that has nothing to hear,
// and how long one look takes when there are many kinds.
//
// Only this library: the contenders are its own settings.
import { createRequire } from 'node:module'
import { addAll, createTally, repeat, timed } from '../round.mjs'

const require = createRequire(import.meta.url)

const CONTENDERS = [
  { label: 'unwatched', peer: 'task', watched: false },
  { label: 'watched', peer: 'task', watched: true },
]
const LOADS = ['closures', 'stored tasks']
const KINDS = 'a look at 200 kinds'
const LOOKS = 200

/** The executor to be measured, and what adds one piece of work to it. */
function openWith({ load, watched }, tally) {
  const { TaskExecutor, defineTask } = require('../../index.js')
  const executor = new TaskExecutor({ concurrency: 100, metrics: watched })
  // An idle listener: it hears of a loop that is blocked, and this one is not.
  if (watched) executor.on('loopStalled', () => {})
  const stored = defineTask({ name: 'stored', handler: async i => tally.work(i) })
  const add =
    load === 'closures'
      ? i => executor.execute(async () => tally.work(i))
      : i => executor.enqueue(stored, i).then(handle => handle.result())
  return { executor, add }
}

async function throughput({ load, watched, count, warmUp, rounds }) {
  const tally = createTally()
  const { executor, add } = openWith({ load, watched }, tally)
  const metrics = await repeat({ warmUp, rounds }, () => timed(() => addAll(add, count), { count, tally }))
  await executor.close()
  return metrics
}

async function look({ kinds }) {
  const { TaskExecutor, defineTask } = require('../../index.js')
  const names = Array.from({ length: kinds }, (_, n) => `kind-${n}`)
  const tasks = names.map(name => defineTask({ name, handler: async () => 1 }))
  const executor = new TaskExecutor({ tasks, metrics: true })
  await Promise.all(tasks.map(task => executor.execute(task)))
  const times = []
  for (let n = 0; n < LOOKS; n += 1) {
    const startedAt = performance.now()
    await executor.getMetrics()
    times.push(performance.now() - startedAt)
  }
  await executor.close()
  times.sort((one, other) => one - other)
  return { lookMs: times[LOOKS / 2] }
}

export default {
  title: scale => `${scale.text(100_000)} tasks, watched and unwatched; one look at the metrics`,
  trials: 5,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
    { key: 'lookMs', label: 'ms a look', digits: 3 },
  ],

  plan(scale) {
    const loads = LOADS.flatMap(load =>
      CONTENDERS.map(({ label, peer, watched }) => ({
        label,
        peer,
        group: load,
        params: { load, watched, count: scale.count(100_000), warmUp: 3, rounds: 5 },
      })),
    )
    return [...loads, { label: 'watched', peer: 'task', group: KINDS, params: { kinds: 200 } }]
  },

  measure(_, params) {
    return params.kinds === undefined ? throughput(params) : look(params)
  },

  goals(figures) {
    const speed = load => ({
      text: `speed while watched in multiples of unwatched, ${load}`,
      figure: figures.ratio([load, 'unwatched'], [load, 'watched'], 'wallUs'),
      atLeast: 0.97,
    })
    return [
      ...LOADS.map(speed),
      { text: 'ms a look at 200 kinds', figure: figures.metric([KINDS, 'watched'], 'lookMs'), atMost: 1 },
    ]
  },
}
