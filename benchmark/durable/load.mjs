// What the durable cases share: the tasks, their check, and a run from end to end.
//
// The handler checks its input and marks its task; a run is over when every task has run and the store knows
// of none that is not completed. A task that ran twice or never, or another input, fails the run.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { collect, createTally, startClock } from '../round.mjs'

const BATCH = 1000
const RESOLUTION_MS = 1

/** About 100 bytes of JSON. */
export const inputOf = id => ({
  id,
  to: `user-${id}@example.com`,
  subject: 'Your order is on its way',
  tries: [1, 2, 3],
})

export function checkInput(input) {
  const { id, to, subject, tries } = input
  if (to !== `user-${id}@example.com` || subject.length !== 24 || tries.length !== 3)
    throw new Error(`a task has a wrong input: ${JSON.stringify(input)}`)
}

/** The handler of `count` tasks; `all` resolves when each has begun once, `check` throws unless it was once. */
export function createWork(count) {
  const tally = createTally()
  tally.reset(count)
  let ran = 0
  let finish
  let problem
  const all = new Promise(resolve => {
    finish = resolve
  })
  return {
    all,
    async work(input) {
      try {
        checkInput(input)
      } catch (error) {
        problem ??= error
      }
      tally.work(input.id)
      if (++ran === count) finish()
      return { id: input.id, sent: true }
    },
    check() {
      if (problem) throw problem
      tally.check(new Array(count), () => true)
    },
  }
}

/** Adds tasks `from` to `to` - 1, at most a thousand not acknowledged. */
export async function addInBatches(queue, from, to) {
  for (let at = from; at < to; at += BATCH) {
    const size = Math.min(BATCH, to - at)
    await Promise.all(Array.from({ length: size }, (_, i) => queue.add(inputOf(at + i))))
  }
}

/** The same as fast as the contender can, for a backlog. */
export async function fill(queue, count) {
  for (let at = 0; at < count; at += BATCH) {
    await queue.addMany(Array.from({ length: Math.min(BATCH, count - at) }, (_, i) => inputOf(at + i)))
  }
}

export async function untilDone(queue) {
  while (!(await queue.isDone())) await sleep(1)
}

/** Enqueue, claim, run, complete, all in one process; `warmUp` tasks go before, off the clock. */
export async function endToEnd(open, { count, warmUp, ...options }) {
  const { all, work, check } = createWork(warmUp + count)
  const queue = await open({ ...options, work })
  await queue.start()
  await addInBatches(queue, 0, warmUp)
  await untilDone(queue)
  collect()
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  // The first firing of the timer behind the histogram only sets its mark, the last one sees the end.
  await sleep(10)
  const stop = startClock()
  await addInBatches(queue, warmUp, warmUp + count)
  await all
  await untilDone(queue)
  const { wall, cpu } = stop()
  await sleep(10)
  delay.disable()
  await queue.close()
  check()
  return {
    wallUs: wall / count,
    cpuUs: cpu / count,
    delayP99Ms: delay.percentile(99) / 1e6 - RESOLUTION_MS,
    delayMaxMs: delay.max / 1e6 - RESOLUTION_MS,
  }
}

export const END_TO_END_COLUMNS = [
  { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
  { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
  { key: 'delayP99Ms', label: 'delay p99 ms', digits: 1 },
  { key: 'delayMaxMs', label: 'delay max ms', digits: 1 },
]

/** The value below which the share `part` of the samples lies. */
export function quantile(samples, part) {
  const sorted = Float64Array.from(samples).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]
}
