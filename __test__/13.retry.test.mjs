// `retry`: what follows a failure. `attempts` counts every run, the first included.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask, RetryPolicy, TaskError } from '../index.js'
import { deferred, failure, never, open, rejection } from './support/executors.mjs'

const quick = attempts => RetryPolicy.fixed(attempts, 1)
// The clock of the queue counts whole milliseconds.
const TICK = 1
// The two ways to run: a closure here and now, a task of a queue. Both give the outcome of the whole.
const ways = {
  execute: (executor, work, options) => executor.execute(work, options),
  enqueue: async (executor, work, options) => {
    const task = defineTask({ name: 'work', handler: (_, ctx) => work(ctx), ...options })
    return (await executor.enqueue(task)).result()
  },
}

for (const [way, run] of Object.entries(ways)) {
  test(`${way}: as many runs as attempts, then the last failure`, async t => {
    const executor = open(t)
    for (const attempts of [1, 2, 5]) {
      const seen = []
      const work = ctx => {
        seen.push([ctx.attempt, ctx.maxAttempts])
        throw new RangeError(`failure ${ctx.attempt}`)
      }
      const error = await rejection(run(open(t), work, { retry: quick(attempts) }))
      assert.deepEqual(
        seen,
        Array.from({ length: attempts }, (_, at) => [at + 1, attempts]),
      )
      assert.match(error.message, new RegExp(`failure ${attempts}$`))
    }
    let runs = 0
    await assert.rejects(run(executor, () => Promise.reject(++runs), {}))
    assert.equal(runs, 1)
  })

  test(`${way}: an attempt that succeeds is the last`, async t => {
    const work = async ctx => {
      if (ctx.attempt < 3) throw new Error('not yet')
      return ctx.attempt
    }
    assert.equal(await run(open(t), work, { retry: quick(9) }), 3)
  })

  test(`${way}: no retry starts before its delay, whatever kind of backoff`, async t => {
    const policies = [
      [RetryPolicy.fixed(3, 30), [30, 30]],
      [RetryPolicy.list([40, 10]), [40, 10]],
      [RetryPolicy.exponentialBackoff(3, 20, { jitter: 'none', factor: 2 }), [20, 40]],
      [RetryPolicy.exponentialBackoff(3, 40, { jitter: 'none', factor: 10, max: 50 }), [40, 50]],
      // Equal jitter takes half of the delay at least.
      [RetryPolicy.exponentialBackoff(3, 20), [10, 20]],
      [RetryPolicy.linear(3, 20), [10, 20]],
      [{ attempts: 3, base: 15, jitter: 'none', max: '1h' }, [15, 30]],
      [RetryPolicy.custom(3, (_, attempt) => 10 * attempt), [10, 20]],
    ]
    await Promise.all(
      policies.map(async ([retry, least]) => {
        const ends = []
        const starts = []
        const work = () => {
          starts.push(performance.now())
          ends.push(performance.now())
          throw new Error('again')
        }
        await rejection(run(open(t), work, { retry }))
        assert.equal(starts.length, 3)
        for (const [at, delay] of least.entries()) assert.ok(starts[at + 1] - ends[at] >= delay - TICK)
      }),
    )
  })

  test(`${way}: full jitter and a base of zero may start again at once`, async t => {
    for (const retry of [
      RetryPolicy.exponentialBackoff(4, 2, { jitter: 'full' }),
      { attempts: 4, base: 0 },
    ]) {
      const error = await rejection(
        run(open(t), ctx => Promise.reject(new Error(`${ctx.attempt}`)), { retry }),
      )
      assert.match(error.message, /4$/)
    }
  })

  test(`${way}: retryIf decides, and sees every failure as a TaskError`, async t => {
    const seen = []
    const retry = {
      attempts: 5,
      base: 0,
      retryIf: error => {
        seen.push([error instanceof TaskError, error.code, error.cause?.message])
        return error.cause?.message !== 'stop'
      },
    }
    const work = ctx => {
      throw new Error(ctx.attempt < 3 ? 'go on' : 'stop')
    }
    await assert.rejects(run(open(t), work, { retry }), /stop/)
    const code = 'ERR_TASK_FAILED'
    assert.deepEqual(seen, [
      [true, code, 'go on'],
      [true, code, 'go on'],
      [true, code, 'stop'],
    ])
  })

  test(`${way}: a custom policy gives the delay, or false to give up`, async t => {
    const calls = []
    const retry = RetryPolicy.custom(10, (error, attempt) => {
      calls.push([error.cause.message, attempt])
      return attempt < 3 ? '1ms' : false
    })
    let runs = 0
    await assert.rejects(
      run(open(t), () => Promise.reject(new Error(`n${++runs}`)), { retry }),
      /n3/,
    )
    assert.deepEqual(calls, [
      ['n1', 1],
      ['n2', 2],
      ['n3', 3],
    ])
  })

  test(`${way}: functions are not asked about a failure that has no run left`, async t => {
    const calls = []
    const custom = RetryPolicy.custom(2, (_, attempt) => calls.push(attempt))
    const retryIf = error => calls.push(error.cause.message)
    for (const retry of [custom, { attempts: 2, base: 0, retryIf }]) {
      await assert.rejects(
        run(open(t), () => Promise.reject(new Error('no')), { retry }),
        /no/,
      )
    }
    assert.deepEqual(calls, [1, 'no'])
  })

  test(`${way}: a policy that fails itself ends the task with its own error`, async t => {
    const bad = [
      [{ attempts: 5, retryIf: () => assert.fail('retryIf is broken') }, /retryIf is broken/],
      [RetryPolicy.custom(5, () => assert.fail('next is broken')), /next is broken/],
      [RetryPolicy.custom(5, () => 'soon'), /"delay of RetryPolicy.custom\(\)" must be a duration/],
      [RetryPolicy.custom(5, () => undefined), /must be a duration/],
      [RetryPolicy.custom(5, () => -1), /must be a duration/],
      [RetryPolicy.custom(5, () => Number.NaN), /must be a duration/],
    ]
    for (const [retry, message] of bad) {
      let runs = 0
      const error = await rejection(run(open(t), () => Promise.reject(++runs), { retry }))
      assert.match(error.message, message)
      assert.equal(runs, 1)
    }
  })

  test(`${way}: a fatal error, or one that is not retryable, is the last`, async t => {
    const fatal = [
      () => TaskError.fatal('fatal'),
      () => new TaskError('fatal', { retryable: false }),
      () => new TaskError('fatal', { code: 'ERR_TASK_INPUT' }),
    ]
    for (const make of fatal) {
      let runs = 0
      const work = () => {
        runs += 1
        throw make()
      }
      await assert.rejects(run(open(t), work, { retry: quick(5) }), /fatal/)
      assert.equal(runs, 1)
    }
    let runs = 0
    const stubborn = () => {
      runs += 1
      throw new TaskError('again', { code: 'ERR_TASK_INPUT', retryable: true })
    }
    await assert.rejects(run(open(t), stubborn, { retry: quick(3) }), /again/)
    assert.equal(runs, 3)
  })

  test(`${way}: TaskError.retryAfter replaces the delay of the policy, in both directions`, async t => {
    const starts = []
    const longer = ctx => {
      starts.push(performance.now())
      if (ctx.attempt === 1) throw TaskError.retryAfter(50)
      return 'done'
    }
    assert.equal(await run(open(t), longer, { retry: quick(2) }), 'done')
    assert.ok(starts[1] - starts[0] >= 50 - TICK)
    const shorter = ctx => {
      if (ctx.attempt === 1) throw TaskError.retryAfter(0)
      return 'done'
    }
    assert.equal(await run(open(t), shorter, { retry: RetryPolicy.fixed(2, '1h') }), 'done')
    await assert.rejects(
      run(open(t), () => Promise.reject(TaskError.retryAfter(1, 'no run left')), { retry: quick(2) }),
      /no run left/,
    )
  })

  test(`${way}: maxElapsed ends it when the next start would lie beyond`, async t => {
    let runs = 0
    const work = () => {
      runs += 1
      throw new Error('again')
    }
    const retry = { attempts: 1_000_000, base: '10m', jitter: 'none', maxElapsed: '5m' }
    await assert.rejects(run(open(t), work, { retry }), /again/)
    assert.equal(runs, 1)
    runs = 0
    await assert.rejects(
      run(open(t), work, {
        retry: { attempts: 1_000_000, base: 10, factor: 1, jitter: 'none', maxElapsed: 60 },
      }),
    )
    assert.ok(runs >= 2 && runs <= 7, `${runs} runs of 10 ms in 60 ms`)
  })

  test(`${way}: a timeout is a failure like any other`, async t => {
    const seen = []
    const work = ctx => {
      seen.push(ctx.attempt)
      return ctx.attempt < 3 ? never() : 'third time lucky'
    }
    assert.equal(await run(open(t), work, { timeout: 20, retry: quick(3) }), 'third time lucky')
    assert.deepEqual(seen, [1, 2, 3])
    await assert.rejects(run(open(t), never, { timeout: 10, retry: quick(2) }), failure('ERR_TASK_TIMEOUT'))
  })

  test(`${way}: an attempt that ends after its time does not disturb the one that runs now`, async t => {
    const gates = [deferred(), deferred()]
    const second = deferred()
    const work = ctx => {
      if (ctx.attempt === 2) second.resolve()
      return gates[ctx.attempt - 1].promise
    }
    const outcome = run(open(t, { concurrency: 1 }), work, { timeout: 40, retry: quick(2) })
    await second.promise
    gates[0].resolve('the first, too late')
    await gates[0].promise
    gates[1].resolve('the second')
    assert.equal(await outcome, 'the second')
  })
}

test('a retry that maxElapsed forbids is told as none', async t => {
  const executor = open(t, { concurrency: 1 })
  const told = []
  executor.on('failed', event => told.push(event.willRetry))
  const retry = { attempts: 5, base: 300, factor: 1, jitter: 'none', maxElapsed: 400 }
  const fail = () => Promise.reject(new Error('no'))
  await assert.rejects(executor.execute(fail, { retry }), /no/)
  assert.deepEqual(told, [true, false])
})

test('a retry policy given with a task is the only one that decides about it', async t => {
  const executor = open(t)
  let asked = 0
  const runs = []
  executor.register({
    name: 'asks',
    retry: {
      attempts: 5,
      base: 1,
      retryIf: () => {
        asked += 1
        return false
      },
    },
    handler: (_, ctx) => {
      runs.push(ctx.attempt)
      throw new Error('no')
    },
  })
  const own = await executor.enqueue('asks', 1, { retry: { attempts: 3, base: 1 } })
  await assert.rejects(own.result())
  assert.deepEqual([runs.splice(0), asked], [[1, 2, 3], 0])
  const ofKind = await executor.enqueue('asks', 1)
  await assert.rejects(ofKind.result())
  assert.deepEqual([runs, asked], [[1], 1])
})

test('retryIf and custom decide about the timeout of an enqueued task', async t => {
  const executor = open(t, { concurrency: 2, maxAbandoned: 10 })
  const seen = []
  const hang = () => new Promise(() => {})
  const give = RetryPolicy.exponentialBackoff(5, 1, {
    retryIf: error => {
      seen.push([error.code, error.attempt])
      return false
    },
  })
  const once = await executor.enqueue({ name: 'once', timeout: 10, retry: give, handler: hang })
  await assert.rejects(once.result(), { code: 'ERR_TASK_TIMEOUT' })
  const next = (error, attempt) => {
    seen.push([error.code, attempt])
    return attempt < 2 ? 1 : false
  }
  const custom = { name: 'custom', timeout: 10, retry: RetryPolicy.custom(5, next), handler: hang }
  const twice = await executor.enqueue(custom)
  await assert.rejects(twice.result(), { code: 'ERR_TASK_TIMEOUT' })
  assert.deepEqual(seen, [
    ['ERR_TASK_TIMEOUT', 1],
    ['ERR_TASK_TIMEOUT', 1],
    ['ERR_TASK_TIMEOUT', 2],
  ])
  const { attempt, errors } = await twice.status()
  assert.deepEqual(
    [attempt, errors.map(error => [error.code, error.stack])],
    [2, Array(2).fill(['ERR_TASK_TIMEOUT', undefined])],
  )
})

test('the code of a foreign error is kept with its task', async t => {
  const executor = open(t)
  const refused = () => Promise.reject(Object.assign(new RangeError('no route'), { code: 'ECONNREFUSED' }))
  const handle = await executor.enqueue({ name: 'refused', handler: refused })
  const error = await handle.result().catch(error => error)
  assert.deepEqual([error.code, error.retryable], ['ERR_TASK_FAILED', true])
  assert.deepEqual(
    [error.cause.name, error.cause.message, error.cause.code],
    ['RangeError', 'no route', 'ECONNREFUSED'],
  )
  assert.match(error.cause.stack, /13\.retry/)
  const [attempt] = (await handle.status()).errors
  assert.deepEqual([attempt.code, attempt.causeCode], ['ERR_TASK_FAILED', 'ECONNREFUSED'])
})
