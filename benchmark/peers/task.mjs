// This library, through its public API only.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

export async function create({ concurrency, rate, attempts }) {
  const { TaskExecutor, defineTask } = require('../../index.js')
  const limits = rate === undefined ? {} : { rateLimit: { limit: rate, per: '1s' }, retry: { attempts } }
  const executor = new TaskExecutor({ concurrency, ...limits })
  return {
    add: (run, options) => executor.execute(run, options),
    pause: () => executor.pause(),
    resume: () => executor.resume(),
    close: () => executor.close(),
    /** Only here: a named task on the memory store, input and output in JSON. */
    define(name, handler) {
      const task = defineTask({ name, handler })
      executor.register(task)
      return input => executor.enqueue(task, input)
    },
  }
}

/** A store that outlives the process; `kept`: tasks stay in it when they have completed. */
export async function open({ place, level, concurrency, work, kept }) {
  const { TaskExecutor, defineTask } = require('../../index.js')
  const task = defineTask({ name: 'benchmark.send', handler: work })
  const persistence = /^rediss?:/.test(place) ? place : `sqlite:${place}`
  const retention = { completed: kept ? {} : { count: 0 } }
  const executor = new TaskExecutor({ persistence, durability: level, concurrency, retention, tasks: [task] })
  // Opens the store, which the others do when they are made.
  await executor.counts()
  return {
    add: input => executor.enqueue(task, input),
    addMany: inputs => executor.enqueueMany(task, inputs),
    start: () => executor.start(),
    async isDone() {
      const { scheduled, waiting, blocked, running } = await executor.counts()
      return scheduled + waiting + blocked + running === 0
    },
    close: () => executor.close(),
  }
}

/** A circuit breaker for any code. */
export function breaker() {
  const { CircuitBreaker } = require('../../index.js')
  const circuit = new CircuitBreaker()
  return { call: run => circuit.execute(run), close() {} }
}

/** A rate limiter that keeps a limit for each key. */
export function keyed({ rate }) {
  const { RateLimiter } = require('../../index.js')
  const limiter = new RateLimiter({ limit: rate, per: '1h', by: 'group' })
  return { take: key => limiter.tryAcquire(key) }
}

/** The next runs of an expression. */
export function next(cron, timeZone, runs, from) {
  const { TaskScheduler } = require('../../index.js')
  return TaskScheduler.preview({ cron, timeZone }, runs, from)
}

/** Workflows: a shape says who waits for whom. What has completed is kept until all has. */
export async function openFlows({ place, concurrency, work }) {
  const { TaskExecutor, defineTask } = require('../../index.js')
  const task = defineTask({ name: 'benchmark.node', handler: work })
  const persistence = place === 'memory' || /^rediss?:/.test(place) ? place : `sqlite:${place}`
  const durability = 'relaxed'
  const executor = new TaskExecutor({ persistence, durability, concurrency, retention: { completed: {} } })
  // What is enqueued in memory would begin at once, and elsewhere not before `start`.
  await executor.pause()
  return {
    addFlat: count =>
      executor.enqueueMany(
        task,
        Array.from({ length: count }, (_, id) => ({ id })),
      ),
    addFlow: ({ count, parents }) =>
      executor.enqueueFlow(
        Array.from({ length: count }, (_, id) => ({
          ref: String(id),
          task,
          input: { id },
          after: parents(id).map(String),
        })),
      ),
    async start() {
      await executor.start()
      await executor.resume()
    },
    async isDone() {
      const { scheduled, waiting, blocked, running } = await executor.counts()
      return scheduled + waiting + blocked + running === 0
    },
    close: () => executor.close(),
  }
}

/** Not public: times the shim from the first turn until the loop is let go. To be called before `create`. */
export function probe() {
  const { enable, maxTurn } = require('../../lib/probe.js')
  enable()
  return maxTurn
}
