// What the cases share inside a worker: the tasks, the clocks, and the check of the work.
//
// Every task marks its own place in a tally and gives `answer(i)`. A round in which a task did not run
// exactly once, or gave another result, throws after the clock has stopped: the worker then exits with an
// error and the run fails.
import { setImmediate as nextLoop, setTimeout as sleep } from 'node:timers/promises'
import { getHeapStatistics } from 'node:v8'
import { median } from './statistics.mjs'

/** The result that task `i` has to give. */
export const answer = i => i * 2 + 1

/** Counts how often each task of a round ran. */
export function createTally() {
  let ran = new Uint8Array(0)
  return {
    reset(count) {
      // Filled, so that the pages are there before memory is weighed.
      ran = new Uint8Array(count).fill(1).fill(0)
    },
    /** The body of task `i`. */
    work(i) {
      ran[i]++
      return answer(i)
    },
    /** Throws where a task ran more than once, for runs that leave some. */
    atMostOnce() {
      const twice = ran.findIndex(times => times > 1)
      if (twice >= 0) throw new Error(`task ${twice} ran ${ran[twice]} times`)
    },
    /** Throws unless each task ran exactly once and its result is right. */
    check(results, isRight = (result, i) => result === answer(i)) {
      if (results.length !== ran.length) throw new Error(`${results.length} results of ${ran.length} tasks`)
      for (let i = 0; i < ran.length; i++) {
        if (ran[i] !== 1) throw new Error(`task ${i} ran ${ran[i]} times instead of once`)
        if (!isRight(results[i], i))
          throw new Error(`task ${i} gave a wrong result: ${JSON.stringify(results[i])}`)
      }
    },
  }
}

/** Adds task `i` as a closure, or as the number `i` where the contender has one worker for all its tasks. */
export function adder(queue, tally) {
  return queue.feed ?? (i => queue.add(async () => tally.work(i)))
}

/** Starts both clocks; the returned function gives wall and CPU (user and system) microseconds since. */
export function startClock() {
  const cpu = process.cpuUsage()
  const from = performance.now()
  return () => {
    const wall = (performance.now() - from) * 1000
    const { user, system } = process.cpuUsage(cpu)
    return { wall, cpu: user + system }
  }
}

/** Adds tasks 0 to `count` - 1 by `add(i)` in one go; resolves with every result. */
export function addAll(add, count) {
  const promises = new Array(count)
  for (let i = 0; i < count; i++) promises[i] = add(i)
  return Promise.all(promises)
}

/** Times `submit()`, which resolves with the results of `count` tasks, and checks them. */
export async function timed(submit, { count, tally, isRight }) {
  tally.reset(count)
  collect()
  const stop = startClock()
  const results = await submit()
  const { wall, cpu } = stop()
  tally.check(results, isRight)
  return { wallUs: wall / count, cpuUs: cpu / count }
}

/**
 * Fills the paused `queue` with one task for each place of `promises`, opens it and reads the results. The
 * fill includes one turn of the event loop, so that work which a library puts off to a microtask counts too.
 * `whenFull` is called between the two, off the clock.
 */
export async function fillAndDrain({ queue, promises, add, whenFull }) {
  await queue.pause()
  const stopFill = startClock()
  for (let i = 0; i < promises.length; i++) promises[i] = add(i)
  await nextLoop()
  const fill = stopFill()
  await whenFull?.()
  const stopDrain = startClock()
  await queue.resume()
  const results = await Promise.all(promises)
  const drain = stopDrain()
  return { fill, drain, results }
}

/** Runs `round` for warm-up, then for measure; gives the median of each metric over the measured rounds. */
export async function repeat({ warmUp, rounds }, round) {
  for (let i = 0; i < warmUp; i++) await round()
  const samples = []
  for (let i = 0; i < rounds; i++) {
    await nextLoop()
    samples.push(await round())
  }
  const keys = Object.keys(samples[0])
  return Object.fromEntries(keys.map(key => [key, median(samples.map(sample => sample[key]))]))
}

/** A full collection, so that no round pays for the garbage of the one before. */
export function collect() {
  globalThis.gc()
}

/**
 * Bytes in use after full collections. `heap` are live JavaScript objects; `outside` is resident memory
 * beside the pages of V8's heap: what a native engine allocates, and some book-keeping of V8 that every
 * contender has.
 */
export async function footprint() {
  for (let i = 0; i < 4; i++) {
    collect()
    // V8 gives pages back from other threads; the pause lets it.
    await sleep(50)
  }
  const { rss, heapUsed } = process.memoryUsage()
  return { heap: heapUsed, outside: rss - getHeapStatistics().total_physical_size, resident: rss }
}
