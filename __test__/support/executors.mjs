// Executors for tests, and the few ways to wait that the tests share. Nothing here sleeps to be lucky: a test either
// waits for something to happen, or proves that something has not happened before its time.

import { setTimeout as sleep } from 'node:timers/promises'
import { TaskExecutor } from '../../index.js'

// So long a test waits for what has to happen: far beyond what a busy machine needs.
const PATIENCE = 20_000

/** A new executor, closed when the test ends. */
export function open(test, options = undefined) {
  const executor = new TaskExecutor(options)
  test.after(() => executor.close({ gracePeriod: 0 }))
  return executor
}

/** A promise and its two ends. */
export function deferred() {
  let ends
  const promise = new Promise((resolve, reject) => {
    ends = { resolve, reject }
  })
  return { promise, ...ends }
}

/** A promise that never settles. */
export function never() {
  return new Promise(() => {})
}

/** Keeps the event loop busy for so many milliseconds. */
export function blockLoop(ms) {
  const until = performance.now() + ms
  while (performance.now() < until);
}

/** Waits until `check` is truthy, and gives what it was. */
export async function until(check, what = String(check)) {
  const end = performance.now() + PATIENCE
  for (;;) {
    const value = await check()
    if (value) return value
    if (performance.now() > end) throw new Error(`it did not happen in ${PATIENCE} ms: ${what}`)
    await sleep(2)
  }
}

/** `promise`, or an error when it is still pending after `ms`. */
export async function within(promise, ms = PATIENCE, what = 'the promise') {
  const timer = new AbortController()
  const late = sleep(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what} is still pending after ${ms} ms`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
    late.catch(() => {})
  }
}

/** What `promise` is rejected with; an error where it is not. */
export async function rejection(promise) {
  let value
  try {
    value = await promise
  } catch (reason) {
    return reason
  }
  throw new Error('nothing was thrown', { cause: value })
}

/** Rejected with a TaskError of this code: for `assert.rejects`. */
export function failure(code) {
  return { name: 'TaskError', code }
}

/** A whole async iterable as an array. */
export async function collect(iterable) {
  const all = []
  for await (const item of iterable) all.push(item)
  return all
}

/** Occupies every slot of an executor until `release` is called. */
export async function occupy(executor, slots = 1) {
  const { promise, resolve } = deferred()
  const started = Array.from({ length: slots }, () => deferred())
  const ends = started.map(start =>
    executor.execute(() => {
      start.resolve()
      return promise
    }),
  )
  await Promise.all(started.map(start => start.promise))
  return {
    release() {
      resolve()
      return Promise.all(ends)
    },
  }
}
