// Calling a closure off: the `signal` of a call, and what the handler sees of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextLoop, setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { defineTask } from '../index.js'
import { blockLoop, deferred, failure, never, occupy, open, rejection, until } from './support/executors.mjs'

test('a signal that has aborted before: nothing is run, and its reason comes back', async t => {
  const executor = open(t)
  const task = defineTask({ name: 'task', handler: () => assert.fail('it was run') })
  for (const reason of [new Error('mine'), 'text', null, 0]) {
    const signal = AbortSignal.abort(reason)
    assert.equal(await rejection(executor.execute(() => assert.fail('it was run'), { signal })), reason)
    assert.equal(await rejection(executor.execute(task, undefined, { signal })), reason)
    assert.equal(await rejection(executor.executeAll([() => assert.fail('it was run')], { signal })), reason)
  }
  const { reason } = AbortSignal.abort()
  assert.equal(
    (await rejection(executor.execute(() => {}, { signal: AbortSignal.abort() }))).name,
    reason.name,
  )
  await executor.onIdle()
})

test('while it waits: it is gone at once, and never run', async t => {
  const executor = open(t, { concurrency: 1 })
  const gate = await occupy(executor)
  const aborts = new AbortController()
  const reason = new Error('changed my mind')
  const waiting = [1, 2, 3].map(priority =>
    executor.execute(() => assert.fail('it was run'), { signal: aborts.signal, priority }),
  )
  const other = executor.execute(() => 'other')
  await nextLoop()
  aborts.abort(reason)
  for (const outcome of await Promise.allSettled(waiting)) assert.equal(outcome.reason, reason)
  await gate.release()
  assert.equal(await other, 'other')
  await executor.onIdle()
})

test('in the tick of the call, and in the tick of the start, it is not run either', async t => {
  const executor = open(t, { concurrency: 2 })
  const [early, mutual] = [new AbortController(), new AbortController()]
  const now = executor.execute(() => assert.fail('it was run'), { signal: early.signal })
  early.abort('at once')
  assert.equal(await rejection(now), 'at once')
  // Both start in the same turn; the first calls the second off before that has begun.
  const first = executor.execute(() => mutual.abort('by the first'))
  const second = executor.execute(() => assert.fail('it was run'), { signal: mutual.signal })
  assert.equal(await rejection(second), 'by the first')
  await first
  assert.deepEqual(await executor.executeAll([() => 1, () => 2, () => 3]), [1, 2, 3])
})

test('while it runs: the caller is free at once, the handler is told, the slot waits for it', async t => {
  const executor = open(t, { concurrency: 1 })
  const aborts = new AbortController()
  const reason = new Error('enough')
  const gate = deferred()
  const seen = []
  const run = executor.execute(
    async ctx => {
      ctx.signal.addEventListener('abort', () => seen.push(ctx.signal.reason, ctx.cancelled))
      seen.push(ctx.cancelled)
      await gate.promise
      seen.push('ended')
      return 'ignored'
    },
    { signal: aborts.signal },
  )
  let next = 'waits'
  const after = executor.execute(() => {
    next = 'started'
  })
  await until(() => seen.length > 0)
  aborts.abort(reason)
  assert.equal(await rejection(run), reason)
  assert.deepEqual(seen, [false, reason, true])
  await sleep(20)
  assert.equal(next, 'waits')
  gate.resolve()
  await after
  assert.equal(seen.at(-1), 'ended')
})

test('a handler that ignores it loses its slot after cancelGrace', async t => {
  const executor = open(t, { concurrency: 1, cancelGrace: 40 })
  const aborts = new AbortController()
  const started = deferred()
  const run = executor.execute(() => [started.resolve(), never()][1], { signal: aborts.signal })
  const next = executor.execute(() => performance.now())
  await started.promise
  const since = performance.now()
  aborts.abort('enough')
  assert.equal(await rejection(run), 'enough')
  assert.ok((await next) - since >= 40)
})

test('a handler that fails after it was called off is ignored', async t => {
  const executor = open(t, { concurrency: 1 })
  const aborts = new AbortController()
  const started = deferred()
  const gate = deferred()
  let runs = 0
  const run = executor.execute(
    () => {
      runs += 1
      started.resolve()
      return gate.promise
    },
    { signal: aborts.signal, retry: { attempts: 5, base: 0 } },
  )
  await started.promise
  aborts.abort('enough')
  gate.reject(new Error('after that'))
  assert.equal(await rejection(run), 'enough')
  await executor.onIdle()
  assert.equal(runs, 1)
})

test('between two attempts it is gone at once', async t => {
  const executor = open(t, { concurrency: 1 })
  const aborts = new AbortController()
  let runs = 0
  const options = { signal: aborts.signal, retry: { attempts: 2, base: '1h' } }
  const run = executor.execute(() => Promise.reject(++runs), options)
  await until(() => runs === 1)
  await nextLoop()
  aborts.abort('enough')
  assert.equal(await rejection(run), 'enough')
  await executor.onIdle()
  assert.equal(runs, 1)
})

test('after the end it changes nothing, and the signal is let go', async t => {
  const executor = open(t)
  const aborts = new AbortController()
  let listeners = 0
  const { signal } = aborts
  for (const name of ['addEventListener', 'removeEventListener']) {
    const original = signal[name]
    signal[name] = (...args) => {
      listeners += name === 'addEventListener' ? 1 : -1
      return original.apply(signal, args)
    }
  }
  assert.equal(await executor.execute(() => 'done', { signal }), 'done')
  await assert.rejects(
    executor.execute(() => Promise.reject(new Error('no')), { signal }),
    /no/,
  )
  await Promise.all(Array.from({ length: 50 }, () => executor.execute(() => {}, { signal })))
  assert.equal(listeners, 0)
  aborts.abort()
})

test('an abort listener may use the executor', async t => {
  const executor = open(t, { concurrency: 1 })
  const aborts = new AbortController()
  const started = deferred()
  const inner = []
  const run = executor.execute(
    ctx => {
      const gate = deferred()
      ctx.signal.addEventListener('abort', () => {
        for (let n = 0; n < 5_000; n += 1)
          inner.push(executor.execute(() => n, n % 2 ? { timeout: '1h' } : undefined))
        gate.resolve()
      })
      started.resolve()
      return gate.promise
    },
    { signal: aborts.signal },
  )
  await started.promise
  aborts.abort('enough')
  assert.equal(await rejection(run), 'enough')
  assert.deepEqual(
    await Promise.all(inner),
    Array.from({ length: 5_000 }, (_, n) => n),
  )
  // The same from a listener that a timeout calls.
  const late = deferred()
  const hung = executor.execute(
    ctx => {
      ctx.signal.addEventListener('abort', () => late.resolve(executor.execute(() => 'from the listener')))
      return never()
    },
    { timeout: 20 },
  )
  await assert.rejects(hung, failure('ERR_TASK_TIMEOUT'))
  assert.equal(await late.promise, 'from the listener')
})

test('cancelled turns true inside a synchronous loop', async t => {
  const executor = open(t)
  // Another thread would be needed to abort a signal of a blocked loop; the time of an attempt needs none.
  let rounds = 0
  const spin = ctx => {
    const end = performance.now() + 20_000
    while (!ctx.cancelled) {
      rounds += 1
      if (performance.now() > end) return 'it never turned true'
    }
    return 'it did'
  }
  let seen
  const closure = ctx => {
    seen = spin(ctx)
  }
  const task = defineTask({
    name: 'spin',
    timeout: 40,
    handler: (_, ctx) => {
      seen = spin(ctx)
    },
  })
  await assert.rejects(executor.execute(closure, { timeout: 40 }), failure('ERR_TASK_TIMEOUT'))
  assert.equal(seen, 'it did')
  seen = undefined
  await assert.rejects((await executor.enqueue(task)).result(), failure('ERR_TASK_TIMEOUT'))
  assert.equal(seen, 'it did')
  seen = undefined
  await assert.rejects(executor.execute(task), failure('ERR_TASK_TIMEOUT'))
  assert.equal(seen, 'it did')
  assert.ok(rounds > 0)
})

test('an abort of an executor signal closes it', async t => {
  const aborts = new AbortController()
  const executor = open(t, { signal: aborts.signal, gracePeriod: 0 })
  const hung = executor.execute(never, { timeout: '1h' })
  await nextLoop()
  aborts.abort()
  await assert.rejects(hung, failure('ERR_EXECUTOR_CLOSED'))
  await assert.rejects(
    executor.execute(() => {}),
    failure('ERR_EXECUTOR_CLOSED'),
  )
  const born = open(t, { signal: AbortSignal.abort() })
  await assert.rejects(
    born.execute(() => {}),
    failure('ERR_EXECUTOR_CLOSED'),
  )
})

test('a signal of another thread of execution works as well', async t => {
  const executor = open(t)
  const worker = new Worker('setTimeout(() => {}, 10)', { eval: true })
  const aborts = new AbortController()
  worker.on('exit', () => aborts.abort('the worker has gone'))
  const run = executor.execute(() => never(), { signal: aborts.signal })
  assert.equal(await rejection(run), 'the worker has gone')
  blockLoop(1)
})
