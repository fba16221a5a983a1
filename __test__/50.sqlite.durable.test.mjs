// A file of tasks, used by one process: what outlives an executor, when work begins, what keeps the process.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { defineTask, TaskExecutor } from '../index.js'
import { collect, failure, rejection, until } from './support/executors.mjs'
import { runProgram } from './support/programs.mjs'
import { fileFor, openOn } from './support/sqlite.mjs'

const double = defineTask({ name: 'double', handler: async n => n * 2 })

test('nothing is opened before it is needed, and closures never need it', async t => {
  const file = fileFor(t)
  const executor = openOn(t, file)
  assert.equal(await executor.execute(() => 5), 5)
  assert.equal(existsSync(file), false)
  await executor.close()
  assert.equal(existsSync(file), false)
})

test('what was enqueued outlives its executor, and waits for start()', async t => {
  const file = fileFor(t)
  const first = openOn(t, file)
  const calls = await Promise.all([1, 2, 3].map(n => first.enqueue('double', n, { metadata: { n: `${n}` } })))
  await first.close()
  const second = openOn(t, file, { tasks: [double] })
  assert.equal((await second.counts()).waiting, 3)
  const [{ waitingFor }] = await collect(second.list({ limit: 1 }))
  assert.equal(waitingFor.reason, 'concurrency')
  await second.start()
  await second.start()
  await second.onIdle()
  const info = await second.get(calls[2].id)
  assert.deepEqual([info.state, info.output, info.metadata, info.attempt], ['completed', 6, { n: '3' }, 1])
  await second.close()
  const third = openOn(t, file)
  assert.equal((await third.counts()).completed, 3)
  assert.equal((await third.enqueue('double', 1, { id: calls[0].id })).created, false)
})

test('an enqueue starts nothing by itself', async t => {
  const executor = openOn(t, fileFor(t), { tasks: [double] })
  const handle = await executor.enqueue(double, 1)
  const later = await executor.enqueue(double, 2, { delay: 200 })
  await until(async () => (await later.status()).state === 'waiting')
  assert.equal((await handle.status()).state, 'waiting')
  await executor.start()
  assert.deepEqual(await Promise.all([handle.result(), later.result()]), [2, 4])
})

test('a kind that nobody has registered waits, is seen, and runs once somebody has', async t => {
  const executor = openOn(t, fileFor(t))
  await executor.start()
  const handle = await executor.enqueue('later', { a: 1 })
  const [seen] = await collect(executor.list({ state: 'waiting' }))
  assert.deepEqual([seen.id, seen.name, seen.waitingFor.reason], [handle.id, 'later', 'no-handler'])
  executor.register({ name: 'later', handler: async input => input.a + 1 })
  assert.equal(await handle.result(), 2)
})

test('executing a definition enqueues it and awaits it', async t => {
  const executor = openOn(t, fileFor(t), { tasks: [double] })
  await executor.start()
  assert.equal(await executor.execute(double, 21, { priority: 3 }), 42)
  const [info] = await collect(executor.list())
  assert.deepEqual([info.name, info.priority, info.state], ['double', 3, 'completed'])
  const wrong = executor.execute(double, 1, { retry: { attempts: 2, retryIf: () => true } })
  await assert.rejects(wrong, failure('ERR_OPTION'))
})

test('the signal of an execute cancels its task', async t => {
  const executor = openOn(t, fileFor(t))
  executor.register({
    name: 'hang',
    handler: (_, ctx) => new Promise((_, reject) => ctx.signal.addEventListener('abort', reject)),
  })
  await executor.start()
  const abort = new AbortController()
  const running = rejection(executor.execute('hang', 1, { signal: abort.signal }))
  await until(async () => (await executor.counts()).running === 1)
  abort.abort(new Error('enough'))
  assert.equal((await running).message, 'enough')
  await until(async () => (await executor.counts()).cancelled === 1)
  const before = rejection(executor.execute('hang', 1, { signal: AbortSignal.abort(new Error('never')) }))
  assert.equal((await before).message, 'never')
  assert.equal((await executor.counts()).waiting, 0)
})

test('a producer claims nothing, whatever it has registered', async t => {
  const file = fileFor(t)
  const producer = openOn(t, file, { tasks: [double], queues: [] })
  await producer.start()
  const handle = await producer.enqueue(double, 4)
  const worker = openOn(t, file, { tasks: [double], queues: ['other'] })
  await worker.start()
  const elsewhere = await producer.enqueue(double, 5, { queue: 'other' })
  assert.equal(await elsewhere.result(), 10)
  assert.equal((await handle.status()).state, 'waiting')
})

test('two executors of one process share a file', async t => {
  const file = fileFor(t)
  const one = openOn(t, file)
  const other = openOn(t, file, { tasks: [double], durability: 'relaxed' })
  await other.start()
  const handles = await one.enqueueMany({ name: 'double' }, [1, 2, 3])
  assert.deepEqual(await Promise.all(handles.map(handle => handle.result())), [2, 4, 6])
})

test('the default file is tasks.db in the working directory', async t => {
  const file = fileFor(t)
  const program = `
    process.chdir(${JSON.stringify(file.replace(/tasks\.db$/, ''))})
    const executor = TaskExecutor.withPersistence('sqlite')
    process.chdir('/')
    await executor.enqueue('a', 1)
    await executor.close()`
  assert.deepEqual(await runProgram(t, program), { code: 0, stdout: '', stderr: '' })
  assert.ok(existsSync(file))
})

test('a producer lets its process end, and a result that nobody works on is worth one warning', async t => {
  const file = fileFor(t)
  const program = `
    const executor = new TaskExecutor({ persistence: ${JSON.stringify(`sqlite:${file}`)} })
    process.on('warning', warning => {
      console.log(warning.name)
      setTimeout(() => executor.close(), 4_000)
    })
    const handles = await executor.enqueueMany({ name: 'a' }, [1, 2])
    const timer = setTimeout(() => {}, 60_000)
    for (const handle of handles) handle.result().catch(error => {
      console.log(error.code)
      clearTimeout(timer)
    })`
  const { code, stdout } = await runProgram(t, program)
  assert.deepEqual([code, stdout], [0, 'TaskWarning\nERR_EXECUTOR_CLOSED\nERR_EXECUTOR_CLOSED\n'])
  const short = `
    const executor = new TaskExecutor({ persistence: ${JSON.stringify(`sqlite:${file}`)} })
    await executor.enqueue('a', 1)`
  assert.equal((await runProgram(t, short)).code, 0)
})

test('handlers on a file keep their process until unref()', async t => {
  const program = `
    const executor = new TaskExecutor({ persistence: ${JSON.stringify(`sqlite:${fileFor(t)}`)} })
    executor.register({ name: 'a', handler() {} })
    await executor.start()
    let ticks = 0
    const timer = setInterval(() => {
      ticks += 1
      if (ticks === 20) executor.unref()
    }, 20)
    timer.unref()
    process.on('exit', () => console.log(ticks))`
  const { code, stdout } = await runProgram(t, program)
  assert.equal(code, 0)
  assert.ok(Number(stdout) >= 20, `it ended after ${stdout} ticks`)
})

test('a closed executor refuses, and one that never opened its file closes at once', async t => {
  const executor = new TaskExecutor({ persistence: `sqlite:${fileFor(t)}` })
  await executor.close()
  await assert.rejects(executor.start(), failure('ERR_EXECUTOR_CLOSED'))
  await assert.rejects(executor.enqueue('a', 1), failure('ERR_EXECUTOR_CLOSED'))
})
