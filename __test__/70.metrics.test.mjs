// Metrics: what is counted is what has happened, the text is what Prometheus reads, and neither grows without bound.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CircuitBreaker, defineTask, RateLimiter } from '../index.js'
import { deferred, failure, never, open, until } from './support/executors.mjs'

const parse = createRequire(import.meta.url)('parse-prometheus-text-format')

const ZERO = {
  enqueued: 0,
  completed: 0,
  failed: 0,
  retried: 0,
  cancelled: 0,
  lost: 0,
  abandoned: 0,
  stale: 0,
}
const countersOf = ({ duration, waitTime, ...counters }) => counters

test('after a hundred thousand mixed tasks the counters are the history', async t => {
  const history = { completed: 0, failed: 0, retried: 0 }
  const mixed = defineTask({
    name: 'mixed',
    retry: { attempts: 2, base: 1, factor: 1, jitter: 'none' },
    async handler(n, ctx) {
      if (n % 10 === 1) {
        history[ctx.attempt === 2 ? 'failed' : 'retried'] += 1
        throw new Error('always')
      }
      if (n % 10 === 2 && ctx.attempt === 1) {
        history.retried += 1
        throw new Error('once')
      }
      history.completed += 1
    },
  })
  const doomed = defineTask({ name: 'doomed', queue: 'other queue', handler: never })
  const executor = open(t, { tasks: [mixed, doomed], concurrency: 100 })
  await executor.pause('other queue')
  const cancelled = 5_000
  await executor.enqueueMany(
    doomed,
    Array.from({ length: cancelled }, (_, n) => n),
  )
  const count = 95_000
  for (let at = 0; at < count; at += 5_000) {
    await executor.enqueueMany(
      mixed,
      Array.from({ length: 5_000 }, (_, n) => n),
    )
  }
  let gone = 0
  while (gone < cancelled) gone += await executor.cancelAll({ name: 'doomed' })
  await executor.onIdle()
  const { totals, perTask, current } = await executor.getMetrics()
  assert.equal(history.completed + history.failed, count)
  assert.deepEqual(totals, { ...ZERO, ...history, enqueued: count + cancelled, cancelled })
  assert.deepEqual(countersOf(perTask.mixed), { ...ZERO, ...history, enqueued: count })
  assert.deepEqual(countersOf(perTask.doomed), { ...ZERO, enqueued: cancelled })
  // Of what ended without a run only the number is known.
  assert.deepEqual(countersOf(perTask.other), { ...ZERO, cancelled })
  assert.equal(current.waiting + current.running + current.scheduled, 0)
})

test('closures count by how they end', async t => {
  const executor = open(t, { concurrency: 4 })
  const aborted = new AbortController()
  const begun = deferred()
  const ends = [
    executor.execute(async () => 1),
    executor.execute(
      async ctx => {
        if (ctx.attempt === 1) throw new Error('once')
      },
      { retry: { attempts: 2, base: 1 } },
    ),
    assert.rejects(
      executor.execute(async () => {
        throw new Error('no')
      }),
    ),
    assert.rejects(executor.execute(never, { timeout: 5 }), failure('ERR_TASK_TIMEOUT')),
    assert.rejects(
      executor.execute(
        async ctx => {
          begun.resolve()
          await new Promise(resolve => ctx.signal.addEventListener('abort', resolve))
        },
        { signal: aborted.signal },
      ),
    ),
  ]
  await begun.promise
  aborted.abort()
  await Promise.all(ends)
  await executor.onIdle()
  const { totals, perTask, live, abandonedNow } = await executor.getMetrics()
  const wanted = { ...ZERO, enqueued: 5, completed: 2, retried: 1, failed: 2, cancelled: 1, abandoned: 1 }
  assert.deepEqual(totals, wanted)
  assert.deepEqual(countersOf(perTask['(closure)']), wanted)
  assert.deepEqual([live, abandonedNow], [0, 1])
})

test('times are measured from when that is asked for', async t => {
  const nap = defineTask({ name: 'nap', handler: async ms => void (await sleep(ms)) })
  const executor = open(t, { tasks: [nap], concurrency: 1 })
  await executor.execute(nap, 5)
  assert.equal((await executor.getMetrics()).enabled, false)
  assert.equal((await executor.getMetrics()).duration.count, 0)
  await executor.enableMetrics()
  const handles = await executor.enqueueMany(nap, [20, 20])
  await Promise.all(handles.map(handle => handle.result()))
  await executor.execute(() => sleep(20))
  const found = await until(async () => {
    const metrics = await executor.getMetrics()
    return metrics.performance.loopDelay.count > 0 && metrics
  })
  assert.equal(found.enabled, true)
  // Two timers of 20 ms; a timer of Node may come 1 ms early.
  assert.equal(found.perTask.nap.duration.count, 2)
  assert.ok(found.perTask.nap.duration.min >= 0.018, `${found.perTask.nap.duration.min} s`)
  // The second waits for the first.
  assert.ok(found.perTask.nap.waitTime.max >= 0.018, `${found.perTask.nap.waitTime.max} s`)
  assert.equal(found.duration.count, 3)
  const { duration, performance: cost } = found
  assert.ok(duration.min <= duration.p50 && duration.p50 <= duration.p99 && duration.p99 <= duration.max)
  assert.ok(cost.commits > 0 && cost.commitTime.count > 0 && cost.tasksPerCommit > 0)
  assert.ok(cost.cpuSeconds > 0 && cost.rssBytes > 1_000_000 && cost.engineThreads > 0)
  assert.ok(found.throughput.last1m > 0 && found.uptime > 0)
})

test('a kind may have any name', async t => {
  const executor = open(t, { metrics: true })
  for (const name of ['__proto__', 'constructor', 'a "quoted" one']) {
    const task = defineTask({ name, handler: async () => 1 })
    await executor.execute(task)
    const { perTask } = await executor.getMetrics()
    assert.ok(Object.hasOwn(perTask, name), name)
    const { completed, duration, waitTime } = perTask[name]
    assert.deepEqual([completed, duration.count, waitTime.count], [1, 1, 1])
    assert.ok(duration.min <= duration.p50 && duration.p999 <= duration.max && duration.mean > 0)
  }
})

test('gates say what they hold back', async t => {
  const gate = deferred()
  const one = defineTask({ name: 'one', concurrency: 1, handler: () => gate.promise })
  const executor = open(t, {
    tasks: [one],
    concurrency: 8,
    queues: { default: { concurrency: 4 }, slow: {} },
  })
  const runs = [executor.execute(one), executor.execute(one)]
  await executor.pause('slow')
  const { gates, live } = await executor.getMetrics()
  assert.deepEqual(gates['task one'], { kind: 'concurrency', state: 'closed', waiting: 1 })
  assert.deepEqual(gates['queue default'], { kind: 'concurrency', state: 'open', waiting: 1 })
  assert.deepEqual(gates.executor, { kind: 'concurrency', state: 'open', waiting: 1 })
  assert.equal(gates.pause.state, 'open')
  assert.deepEqual(gates['pause slow'], { kind: 'pause', state: 'closed', waiting: 0 })
  assert.equal(live, 2)
  gate.resolve()
  await Promise.all(runs)
})

test('rates and breakers are gates too, by their names or by what they were given to', async t => {
  const circuitBreaker = new CircuitBreaker({ name: 'upstream', minCalls: 1, window: 1 })
  const call = defineTask({ name: 'call', circuitBreaker, handler: () => Promise.reject(new Error('down')) })
  const slow = defineTask({ name: 'slow', rateLimit: { limit: 1, per: '1h' }, handler: () => {} })
  const rateLimit = new RateLimiter({ limit: 5, per: '1s', name: 'api' })
  const executor = open(t, { tasks: [call, slow], queues: { default: {}, mail: { rateLimit } } })
  await assert.rejects(executor.execute(call))
  await executor.execute(slow)
  const waits = executor.execute(slow)
  waits.catch(() => {})
  const { gates } = await executor.getMetrics()
  assert.deepEqual(gates['breaker upstream'], {
    kind: 'breaker',
    state: 'closed',
    circuit: 'open',
    waiting: 0,
  })
  assert.deepEqual(gates['rate task slow'], { kind: 'rate', state: 'closed', waiting: 1 })
  assert.deepEqual(gates['rate api'], { kind: 'rate', state: 'open', waiting: 0 })
  assert.match(await executor.metricsText(), /task_gate_open\{.*gate="breaker upstream".*\} 0/)
})

test('the text is what Prometheus reads', async t => {
  const strange = defineTask({ name: 'a "b"\\c', queue: 'q', handler: async () => 1 })
  const executor = open(t, { tasks: [strange], metrics: true })
  const handles = await executor.enqueueMany(strange, [1, 2, 3])
  await Promise.all(handles.map(handle => handle.result()))
  const text = await executor.metricsText()
  assert.ok(text.endsWith('\n'))
  const families = new Map(parse(text).map(family => [family.name, family]))
  for (const { name, type, help } of families.values()) {
    assert.match(name, /^task_[a-z_\d]+$/)
    assert.notEqual(help, '')
    assert.equal(type === 'COUNTER', name.endsWith('_total'), name)
  }
  const completed = families.get('task_completed_total').metrics
  assert.deepEqual(
    completed.find(({ labels }) => labels.task === strange.name),
    {
      value: '3',
      labels: { queue: 'q', task: strange.name },
    },
  )
  assert.equal(families.get('task_run_seconds').type, 'HISTOGRAM')
  // The parser puts all rows of a histogram together: as samples without a type they stay apart.
  const samples = new Map(parse(text.replace(/^#.*\n/gm, '')).map(({ name, metrics }) => [name, metrics]))
  const row = name =>
    samples.get(`task_run_seconds_${name}`).filter(({ labels }) => labels.task === strange.name)
  assert.equal(row('count')[0].value, '3')
  assert.ok(Number(row('sum')[0].value) >= 0)
  const buckets = row('bucket').map(({ labels, value }) => [labels.le, Number(value)])
  assert.deepEqual(buckets.at(-1), ['+Inf', 3])
  const bounds = buckets.map(([le]) => (le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le)))
  const grows = (value, at, all) => at === 0 || all[at - 1] <= value
  assert.ok(bounds.every(grows) && buckets.map(([, n]) => n).every(grows))
  assert.equal(families.get('task_store_up').metrics[0].value, '1')
  const states = families.get('task_queue_tasks').metrics.filter(({ labels }) => labels.queue === 'q')
  assert.equal(states.find(({ labels }) => labels.state === 'completed').value, '3')
})

test('ten thousand names make no more than two hundred series', async t => {
  const executor = open(t, { metrics: true })
  await executor.pause()
  const names = Array.from({ length: 10_000 }, (_, n) => `kind-${n}`)
  await Promise.all(names.map(name => executor.enqueue(name)))
  const { perTask, totals } = await executor.getMetrics()
  assert.ok(Object.keys(perTask).length <= 200)
  assert.equal(totals.enqueued, 10_000)
  assert.ok(perTask.other.enqueued >= 9_800)
  for (const { name, metrics } of parse(await executor.metricsText())) {
    assert.ok(metrics.length <= 200, `${name} has ${metrics.length}`)
  }
})

test('a closed executor says so', async t => {
  const executor = open(t)
  await executor.close()
  for (const call of ['enableMetrics', 'getMetrics', 'metricsText', 'doctor']) {
    await assert.rejects(executor[call](), failure('ERR_EXECUTOR_CLOSED'), call)
  }
})
