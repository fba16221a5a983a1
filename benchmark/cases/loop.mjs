// How long the event loop is held while tasks run.
//
// Two figures. `turn` is the longest time that the library's own work held the loop in one go, taken inside
// its shim; no other contender can tell that. `delay` is what a timer of the same process saw, for everybody:
// it includes the caller's own loop of adds, the handlers, and the reading of results, so a burst of handlers
// that never wait shows its whole length, whoever runs it.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as nextLoop, setTimeout as sleep } from 'node:timers/promises'
import { addAll, adder, createTally, fillAndDrain, startClock } from '../round.mjs'
import { enqueueInBatches } from './enqueue.mjs'

const RESOLUTION_MS = 1
const ALL = ['task', 'p-queue', 'fastq', 'p-limit']
const LOADS = {
  burst: {
    text: 'burst of handlers that return at once',
    size: 100_000,
    rounds: 3,
    concurrency: 100,
    peers: ALL,
  },
  yielding: {
    text: 'handlers that await setImmediate',
    size: 20_000,
    rounds: 3,
    concurrency: 16,
    peers: ALL,
  },
  backlog: {
    text: 'backlog, filled and drained',
    size: 1_000_000,
    rounds: 1,
    concurrency: 100,
    peers: ['task', 'fastq'],
  },
  enqueue: {
    text: 'named tasks enqueued in batches',
    size: 100_000,
    rounds: 3,
    concurrency: 100,
    peers: ['task'],
  },
}
const group = (scale, load) => `${scale.text(LOADS[load].size)}: ${LOADS[load].text}`

export default {
  title: () => 'how long the event loop is held in one go',
  trials: 3,
  columns: [
    { key: 'turnMs', label: 'turn max ms', digits: 2 },
    { key: 'delayP99Ms', label: 'delay p99 ms', digits: 1 },
    { key: 'delayMaxMs', label: 'delay max ms', digits: 1, compare: true },
    { key: 'runMs', label: 'run ms', digits: 0 },
  ],
  notes: [
    "turn: the library's own work between two yields, every turn from the first on; only task can be asked.",
    'delay: lateness of a 1 ms timer; it includes the adds, the handlers and the reading of results.',
  ],

  plan(scale) {
    return Object.entries(LOADS).flatMap(([load, { size, rounds, concurrency, peers }]) =>
      peers.map(peer => ({
        label: peer,
        peer,
        group: group(scale, load),
        params: { load, concurrency, count: scale.count(size), rounds },
      })),
    )
  },

  async measure({ create, probe }, { load, concurrency, count, rounds }) {
    const maxTurn = probe?.()
    const tally = createTally()
    const queue = await create({ concurrency })
    const submit = submitter(load, queue, tally, count)
    const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    let runMs = 0
    for (let i = 0; i < rounds; i++) {
      tally.reset(count)
      delay.enable()
      // The first firing of the timer behind the histogram only sets its mark, the last one sees the end of
      // the round.
      await sleep(10)
      const stop = startClock()
      const results = await submit()
      runMs = Math.max(runMs, stop().wall / 1000)
      await sleep(10)
      delay.disable()
      tally.check(results)
    }
    const metrics = {
      delayP99Ms: delay.percentile(99) / 1e6 - RESOLUTION_MS,
      delayMaxMs: delay.max / 1e6 - RESOLUTION_MS,
      runMs,
    }
    if (maxTurn) metrics.turnMs = maxTurn()
    await queue.close()
    return metrics
  },

  goals(figures, scale) {
    return Object.keys(LOADS).map(load => ({
      text: `own work in one go, ms, ${group(scale, load)}`,
      figure: figures.metric([group(scale, load), 'task'], 'turnMs'),
      // "Never" is a promise about the worst trial, not about the middle one.
      judge: 'max',
      atMost: 8,
    }))
  },
}

function submitter(load, queue, tally, count) {
  if (load === 'burst') return () => addAll(adder(queue, tally), count)
  if (load === 'yielding') {
    const add = i =>
      queue.add(async () => {
        await nextLoop()
        return tally.work(i)
      })
    return () => addAll(add, count)
  }
  if (load === 'backlog') {
    const promises = new Array(count).fill(null)
    return async () => (await fillAndDrain({ queue, promises, add: adder(queue, tally) })).results
  }
  const enqueue = queue.define('benchmark.answer', async ({ id }) => tally.work(id))
  return () => enqueueInBatches(enqueue, count, id => ({ id }))
}
