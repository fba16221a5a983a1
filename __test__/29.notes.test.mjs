// What a run notes down while it works: steps that are not repeated, progress, and a log.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask } from '../index.js'
import { collect, deferred, failure, open, rejection, until } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

const numbers = count => Array.from({ length: count }, (_, at) => at)

onEveryStore('a step is run once for all runs of its task', async (_t, on) => {
  const ran = []
  const seen = []
  const charge = defineTask({
    name: 'charge',
    retry: { attempts: 4, base: 1 },
    async handler(_, ctx) {
      const step = key => ctx.step(key, () => ran.push(key) && { key, attempt: ctx.attempt, none: undefined })
      seen.push(await step('first'), await step('__proto__'), await ctx.step('nothing', () => {}))
      if (ctx.attempt < 3) throw new Error('again')
      await step('last')
      if (ctx.attempt < 4) throw new Error('and again')
      return seen.length
    },
  })
  const executor = on({ tasks: [charge] })
  await executor.start()
  const handle = await executor.enqueue(charge)
  assert.equal(await handle.result(), 12)
  assert.deepEqual(ran, ['first', '__proto__', 'last'])
  const [first, proto] = [
    { key: 'first', attempt: 1 },
    { key: '__proto__', attempt: 1 },
  ]
  assert.deepEqual(
    seen,
    numbers(4).flatMap(() => [first, proto, null]),
  )
  await handle.retry()
  await handle.result()
  assert.equal(ran.length, 6, 'a task that has completed begins anew')
})

onEveryStore(
  'a failed step is no step, and what follows a failed task goes on with the others',
  async (_t, on) => {
    const ran = []
    const flaky = defineTask({
      name: 'flaky',
      async handler(_, ctx) {
        await ctx.step('done', () => ran.push('done'))
        await ctx.step('open', () => {
          ran.push('open')
          if (ran.length < 4) throw new TypeError('not now')
        })
      },
    })
    const executor = on({ tasks: [flaky] })
    await executor.start()
    const handle = await executor.enqueue(flaky)
    assert.equal((await rejection(handle.result())).cause.name, 'TypeError')
    await handle.retry()
    await until(async () => (await handle.status()).state === 'failed')
    assert.deepEqual(ran, ['done', 'open', 'open'])
    await handle.retry()
    await until(async () => (await handle.status()).state === 'completed')
  },
)

test('misuse of steps is an error that says what is wrong', async t => {
  const run = defineTask({ name: 'run', handler: ({ body }, ctx) => bodies[body](ctx) })
  const bodies = {
    twice: async ctx => [await ctx.step('a', () => 1), await ctx.step('a', () => 2)],
    both: ctx => Promise.all([ctx.step('a', () => 1), ctx.step('a', () => 2)]),
    large: ctx => ctx.step('a', () => 'x'.repeat(256 * 1024 - 1)),
    fits: ctx => ctx.step('a', () => 'x'.repeat(256 * 1024 - 2)),
    bigint: ctx => ctx.step('a', () => 1n),
    name: ctx => ctx.step('', () => 1),
    none: ctx => ctx.step('a'),
    many: async ctx => {
      for (const n of numbers(1_001)) await ctx.step(`${n}`, () => n)
    },
    progress: ctx => ctx.progress(undefined),
    large_progress: ctx => ctx.progress('x'.repeat(16 * 1024)),
    message: ctx => ctx.log(5),
    level: ctx => ctx.log('a', undefined, 'loud'),
    fields: ctx => ctx.log('a', [1]),
    large_fields: ctx => ctx.log('a', { a: 'x'.repeat(16 * 1024) }),
  }
  const executor = open(t, { tasks: [run] })
  const outcome = async body => rejection((await executor.enqueue(run, { body })).result())
  const wrong = {
    twice: ['ERR_OPTION', /called twice with the key "a" in one run/],
    both: ['ERR_OPTION', /called twice with the key "a" in one run/],
    large: ['ERR_PAYLOAD_SIZE', /the result of step "a" has 262145 bytes of JSON; a step may have 262144/],
    bigint: ['ERR_TASK_SERIALIZE', /the result of step "a" cannot be written as JSON/],
    name: ['ERR_OPTION', /"key of ctx\.step\(\)" must be a name/],
    none: ['ERR_OPTION', /takes a key and a function; got undefined/],
    many: ['ERR_OPTION', /at most 1000 steps/],
    progress: ['ERR_OPTION', /takes what JSON can carry; got undefined/],
    large_progress: ['ERR_PAYLOAD_SIZE', /progress may have 16384/],
    message: ['ERR_OPTION', /must be text; got 5/],
    level: ['ERR_OPTION', /one of debug, info, warn, error; got "loud"/],
    fields: ['ERR_OPTION', /must be an object/],
    large_fields: ['ERR_PAYLOAD_SIZE', /they may have 16384/],
  }
  for (const [body, [code, message]] of Object.entries(wrong)) {
    const error = await outcome(body)
    assert.equal(error.code, code, `${body}: ${error.message}`)
    assert.match(error.message, message)
  }
  assert.equal((await (await executor.enqueue(run, { body: 'fits' })).result()).length, 256 * 1024 - 2)
})

onEveryStore('progress is seen while the task runs, and its last value in any case', async (_t, on) => {
  const gate = deferred()
  const count = defineTask({
    name: 'count',
    async handler(_, ctx) {
      ctx.progress(0)
      await gate.promise
      for (const n of numbers(1_000)) ctx.progress({ done: n })
    },
  })
  const executor = on({ tasks: [count] })
  await executor.start()
  const handle = await executor.enqueue(count)
  const values = handle.progress()
  assert.deepEqual(await values.next(), { value: 0, done: false })
  assert.equal((await handle.status()).progress, 0)
  gate.resolve()
  const rest = await collect(values)
  assert.deepEqual(rest.at(-1), { done: 999 })
  assert.ok(rest.length <= 3, `${rest.length} of a thousand values were sent`)
  assert.deepEqual(await collect(handle.progress()), [{ done: 999 }], 'also for who comes late')
  for await (const task of executor.list()) assert.deepEqual(task.progress, { done: 999 })
})

onEveryStore('a failed run has the last word too', async (_t, on) => {
  const fail = defineTask({
    name: 'fail',
    async handler(_, ctx) {
      ctx.progress(1)
      ctx.progress(2)
      ctx.log('before the end')
      throw new Error('the end')
    },
  })
  const executor = on({ tasks: [fail] })
  await executor.start()
  const handle = await executor.enqueue(fail)
  await rejection(handle.result())
  assert.equal((await handle.status()).progress, 2)
  assert.deepEqual(
    (await handle.logs()).map(line => line.message),
    ['before the end'],
  )
})

onEveryStore('a log has its lines in order, with levels, bounded', async (_t, on) => {
  const talk = defineTask({
    name: 'talk',
    retry: { attempts: 2, base: 1 },
    handler(input, ctx) {
      ctx.log(`hello\n"${input}"`, { n: ctx.attempt, nested: { a: [1] } })
      ctx.log('x'.repeat(5_000), undefined, 'debug')
      ctx.log('half \ud800 of a pair', {}, 'error')
      if (ctx.attempt === 1) throw new Error('again')
      for (const n of numbers(1_500)) ctx.log(`${n}`, undefined, 'warn')
    },
  })
  const executor = on({ tasks: [talk] })
  await executor.start()
  const handle = await executor.enqueue(talk, 'you')
  const lines = async () =>
    (await handle.logs()).map(({ attempt, level, message, fields }) => [attempt, level, message, fields])
  await handle.result()
  const all = await lines()
  assert.equal(all.length, 1_000)
  assert.deepEqual(all.at(-1), [2, 'warn', '1499', undefined])
  assert.deepEqual(all[0], [2, 'warn', '500', undefined])
  assert.ok((await handle.logs())[0].at instanceof Date)
  const few = await executor.enqueue(
    defineTask({
      ...talk,
      name: 'few',
      handler: (input, ctx) => {
        if (ctx.attempt === 1) return talk.handler(input, ctx)
      },
    }),
    'you',
  )
  await few.result()
  const first = await few.logs()
  assert.deepEqual(first[0].fields, { n: 1, nested: { a: [1] } })
  assert.deepEqual(
    first.map(line => line.message.length),
    [11, 4_096, 16],
  )
  assert.deepEqual(
    first.map(line => line.level),
    ['info', 'debug', 'error'],
  )
})

onEveryStore('another executor sees what a run notes down', async (_t, on, shared) => {
  if (!shared) return
  const gate = deferred()
  const work = defineTask({
    name: 'work',
    async handler(_, ctx) {
      ctx.progress('half')
      ctx.log('working')
      await gate.promise
      ctx.progress('whole')
      return ctx.step('only', () => 1)
    },
  })
  const worker = on({ tasks: [work] })
  await worker.start()
  const producer = on({ queues: [] })
  const handle = await producer.enqueue('work')
  const values = handle.progress()
  assert.equal((await values.next()).value, 'half')
  const [line] = await until(async () => (await handle.logs()).length > 0 && handle.logs())
  assert.equal(line.message, 'working')
  gate.resolve()
  assert.deepEqual(await collect(values), ['whole'])
  assert.equal(await handle.result(), 1)
})

test('a run that was abandoned notes nothing more', async t => {
  const gates = [deferred(), deferred()]
  const ends = []
  const hang = defineTask({
    name: 'hang',
    timeout: 20,
    retry: { attempts: 2, base: 1 },
    async handler(_, ctx) {
      if (ctx.attempt === 2) return 'done'
      await gates[0].promise
      ctx.progress('late')
      ends.push(await rejection(ctx.step('late', () => 1)))
      gates[1].resolve()
    },
  })
  const executor = open(t, { tasks: [hang] })
  const handle = await executor.enqueue(hang)
  assert.equal(await handle.result(), 'done')
  gates[0].resolve()
  await gates[1].promise
  assert.equal(ends[0].code, 'ERR_TASK_LOST')
  assert.equal((await handle.status()).progress, undefined)
})

test('an iterator of a task that is gone says so, and a closed executor ends it', async t => {
  const slow = defineTask({ name: 'slow', handler: (_, ctx) => ctx.progress(1) })
  const executor = open(t, { tasks: [slow] })
  const gone = await executor.enqueue(slow)
  await gone.result()
  await executor.prune({})
  await assert.rejects(gone.progress().next(), failure('ERR_TASK_NOT_FOUND'))
  assert.deepEqual(await gone.logs(), [])
  const waiting = await executor.enqueue(slow, undefined, { delay: '1h' })
  const values = waiting.progress().next()
  await executor.close()
  await assert.rejects(values, failure('ERR_EXECUTOR_CLOSED'))
})
