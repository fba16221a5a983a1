// Events: what happens to each task, for whoever listens. Nobody has to, and a bad listener harms nobody.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setImmediate as nextLoop, setTimeout as sleep } from 'node:timers/promises'
import { defineTask, TaskError } from '../index.js'
import { blockLoop, deferred, failure, never, open, until, within } from './support/executors.mjs'
import { runProgram } from './support/programs.mjs'

const echo = defineTask({ name: 'echo', handler: input => input })
const words = ['waiting', 'running', 'completed', 'failed', 'cancelled', 'lost', 'abandoned']
const numbers = count => Array.from({ length: count }, (_, at) => at)

/** Everything that an executor tells from now on, as `[type, event]`. */
function record(executor) {
  const events = []
  for (const word of words) executor.on(word, event => events.push([word, event]))
  return events
}
const typesOf = (events, id) => events.filter(([, event]) => event.id === id).map(([type]) => type)

test('the life of a stored task', async t => {
  const executor = open(t, { queue: 'q' })
  const events = record(executor)
  const since = Date.now()
  const handle = await executor.enqueue(echo, 5)
  await handle.result()
  await until(() => events.length === 3)
  assert.deepEqual(typesOf(events, handle.id), ['waiting', 'running', 'completed'])
  for (const [, event] of events) {
    assert.deepEqual([event.id, event.name, event.queue, event.attempt], [handle.id, 'echo', 'q', 1])
    assert.ok(event.at >= since - 2 && event.at <= Date.now() + 2)
  }
  const [, completed] = events[2]
  assert.equal(completed.output, 5)
  assert.equal(typeof completed.duration, 'number')
})

test('the life of a closure, and of a definition that is executed', async t => {
  const executor = open(t)
  const events = record(executor)
  await executor.execute(function pour() {
    return 'coffee'
  })
  await executor.execute(echo, 7)
  const seen = events.map(([type, { name, attempt, output }]) => [type, name, attempt, output])
  assert.deepEqual(seen, [
    ['running', 'pour', 1, undefined],
    ['completed', 'pour', 1, 'coffee'],
    ['running', 'echo', 1, undefined],
    ['completed', 'echo', 1, 7],
  ])
  assert.equal(events[0][1].id, events[1][1].id)
  assert.notEqual(events[0][1].id, events[2][1].id)
})

test('failed tells whether another attempt follows, and when', async t => {
  const executor = open(t)
  const events = record(executor)
  const work = () => {
    throw new RangeError('no')
  }
  const retry = { attempts: 2, base: 20, jitter: 'none' }
  await assert.rejects(executor.execute(work, { retry }), RangeError)
  const handle = await executor.enqueue(defineTask({ name: 'fails', handler: work, retry }))
  await assert.rejects(handle.result())
  await until(() => events.filter(([type]) => type === 'failed').length === 4)
  const failures = events.filter(([type]) => type === 'failed').map(([, event]) => event)
  assert.deepEqual(
    failures.map(({ attempt, willRetry }) => [attempt, willRetry]),
    [
      [1, true],
      [2, false],
      [1, true],
      [2, false],
    ],
  )
  assert.ok(failures[0].error instanceof RangeError)
  const [, , first, last] = failures
  for (const { error } of [first, last]) {
    assert.ok(error instanceof TaskError)
    assert.deepEqual(
      [error.code, error.message, error.cause.name, error.taskId],
      ['ERR_TASK_FAILED', 'no', 'RangeError', handle.id],
    )
  }
  assert.ok(first.retryAt instanceof Date && first.retryAt.getTime() >= first.at + 20)
  assert.equal(last.retryAt, undefined)
})

test('cancelled: on its own, with what waits for it, when its place is taken', async t => {
  const executor = open(t)
  const events = record(executor)
  const parent = await executor.enqueue(echo, 1, { delay: '1h' })
  const child = await executor.enqueue(echo, 2, { after: [parent] })
  await parent.cancel()
  const old = await executor.enqueue(echo, 3, { key: 'k', delay: '1h' })
  await executor.enqueue(echo, 4, { key: 'k', onConflict: 'replace' })
  await until(() => events.filter(([type]) => type === 'cancelled').length === 3)
  const ids = events.filter(([type]) => type === 'cancelled').map(([, event]) => event.id)
  assert.deepEqual(ids.toSorted(), [parent.id, child.id, old.id].toSorted())
})

test('abandoned: a handler has outlived its attempt', async t => {
  const executor = open(t)
  const events = record(executor)
  const hang = defineTask({ name: 'hang', timeout: 20, handler: never })
  const handle = await executor.enqueue(hang)
  await assert.rejects(handle.result(), failure('ERR_TASK_TIMEOUT'))
  await until(() => typesOf(events, handle.id).length === 4)
  assert.deepEqual(typesOf(events, handle.id).toSorted(), ['abandoned', 'failed', 'running', 'waiting'])
  const { error } = events.find(([type]) => type === 'failed')[1]
  assert.equal(error.code, 'ERR_TASK_TIMEOUT')
})

test('events of one task keep their order, among thousands', async t => {
  const executor = open(t, { concurrency: 20 })
  const events = record(executor)
  const handles = await executor.enqueueMany(echo, numbers(2_000))
  await Promise.all(handles.map(handle => handle.result()))
  await until(() => events.length >= 6_000)
  const lives = new Map(handles.map(handle => [handle.id, []]))
  for (const [type, event] of events) lives.get(event.id).push(type)
  for (const life of lives.values()) assert.deepEqual(life, ['waiting', 'running', 'completed'])
})

test('idle: when everything is done, for closures and for stored tasks, each time', async t => {
  const executor = open(t)
  let count = 0
  executor.on('idle', () => {
    count += 1
  })
  await executor.executeAll(numbers(10).map(() => () => nextLoop()))
  await until(() => count > 0)
  const before = count
  await (await executor.enqueue(echo, 1)).result()
  await until(() => count > before)
  const gate = deferred()
  const run = executor.execute(() => gate.promise)
  await nextLoop()
  const now = count
  await sleep(30)
  assert.equal(count, now)
  gate.resolve()
  await run
  await until(() => count > now)
})

test('an error without listener crashes nobody', async t => {
  const executor = open(t)
  executor.emit('completed', {})
  const fails = defineTask({ name: 'fails', handler: () => Promise.reject(new Error('no')) })
  await assert.rejects((await executor.enqueue(fails)).result())
  assert.equal(executor.listenerCount('error'), 0)
})

test('a listener that throws is an uncaught error of its own, and no task notices', async t => {
  const { stdout, code } = await runProgram(
    t,
    `
    const caught = []
    process.on('uncaughtException', error => caught.push(error.message))
    const executor = new TaskExecutor()
    for (const word of ['running', 'completed', 'idle']) {
      executor.on(word, () => {
        throw new Error('bad listener of ' + word)
      })
    }
    const echo = defineTask({ name: 'echo', handler: input => input })
    const seen = [await executor.execute(() => 'fine'), await (await executor.enqueue(echo, 'fine too')).result()]
    await executor.onIdle()
    process.on('exit', () => console.log(JSON.stringify([seen, caught.filter(text => !/idle/.test(text)).sort()])))
  `,
  )
  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(stdout), [
    ['fine', 'fine too'],
    ['completed', 'completed', 'running', 'running'].map(word => `bad listener of ${word}`),
  ])
})

test('idle is told before the process ends, and a listener alone keeps none alive', async t => {
  const { stdout, code } = await runProgram(
    t,
    `
    const executor = new TaskExecutor()
    executor.on('idle', () => console.log('idle'))
    await executor.executeAll([() => {}, async () => {}])
  `,
  )
  assert.equal(code, 0)
  assert.match(stdout, /idle/)
})

test('a closure that times out has failed and is abandoned; what it gives later is not told', async t => {
  const executor = open(t)
  const events = record(executor)
  const gate = deferred()
  const ids = new Set()
  const options = { timeout: 20, retry: { attempts: 2, base: 0 } }
  const run = executor.execute(ctx => [ids.add(ctx.id), gate.promise][1], options)
  await assert.rejects(run, failure('ERR_TASK_TIMEOUT'))
  gate.resolve('late')
  await sleep(10)
  assert.deepEqual(
    events.map(([type, { attempt, willRetry }]) => [type, attempt, willRetry]),
    [
      ['running', 1, undefined],
      ['abandoned', 1, undefined],
      ['failed', 1, true],
      ['running', 2, undefined],
      ['abandoned', 2, undefined],
      ['failed', 2, false],
    ],
  )
  assert.deepEqual([...ids], [...new Set(events.map(([, event]) => event.id))])
})

test('a closure that is called off is cancelled, and a fatal error is not retried', async t => {
  const executor = open(t)
  const events = record(executor)
  const aborts = new AbortController()
  const run = executor.execute(() => aborts.abort('enough'), { signal: aborts.signal })
  await assert.rejects(run)
  const fatal = () => Promise.reject(TaskError.fatal('no'))
  await assert.rejects(executor.execute(fatal, { retry: { attempts: 3 } }), /no/)
  assert.deepEqual(
    events.map(([type, { willRetry }]) => [type, willRetry]),
    [
      ['running', undefined],
      ['cancelled', undefined],
      ['running', undefined],
      ['failed', false],
    ],
  )
})

test('a listener may use the executor', async t => {
  const executor = open(t, { concurrency: 1 })
  let depth = 0
  executor.on('completed', () => {
    depth += 1
    if (depth < 50) executor.execute(() => {})
  })
  await executor.execute(() => {})
  await until(() => depth === 50)
  const closed = once(executor, 'running').then(() => executor.close())
  await executor.execute(() => 'the last one')
  await within(closed)
})

test('once, off and prependListener are those of any emitter', async t => {
  const executor = open(t)
  const seen = []
  const listener = () => seen.push('on')
  executor.on('running', listener)
  executor.prependListener('running', () => seen.push('first'))
  executor.once('running', () => seen.push('once'))
  await executor.executeAll([() => {}, () => {}])
  executor.off('running', listener)
  await executor.execute(() => {})
  assert.deepEqual(seen, ['first', 'on', 'once', 'first', 'on', 'first'])
})

test('a loop that is blocked loses no task to its events', async t => {
  const executor = open(t)
  const events = record(executor)
  const handles = await executor.enqueueMany(echo, numbers(50))
  blockLoop(50)
  await Promise.all(handles.map(handle => handle.result()))
  await until(() => events.length === 150)
})
