// `events()`: all events about tasks as a stream that a loop can read, bounded, and ended by a signal or a close.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask } from '../index.js'
import { open, within } from './support/executors.mjs'

const echo = defineTask({ name: 'echo', handler: input => input })
const numbers = count => Array.from({ length: count }, (_, at) => at)

test('events() gives them as a stream, until its signal aborts', async t => {
  const executor = open(t)
  const aborts = new AbortController()
  const stream = executor.events({ signal: aborts.signal })
  const handle = await executor.enqueue(echo, 5)
  const seen = []
  for await (const event of stream) {
    seen.push([event.type, event.id, event.output])
    if (event.type === 'completed') aborts.abort()
  }
  assert.deepEqual(seen, [
    ['waiting', handle.id, undefined],
    ['running', handle.id, undefined],
    ['completed', handle.id, 5],
  ])
  for await (const _ of executor.events({ signal: AbortSignal.abort() })) assert.fail('it gave one')
})

test('a loop over events() can be left, and a waiting one is woken by an abort or a close', async t => {
  const executor = open(t)
  await executor.execute(() => {})
  const left = executor.events()
  executor.execute(() => {})
  for await (const event of left) {
    assert.equal(event.type, 'running')
    break
  }
  assert.deepEqual(await left.next(), { done: true, value: undefined })
  const aborts = new AbortController()
  const waiting = executor.events({ signal: aborts.signal }).next()
  aborts.abort()
  assert.equal((await within(waiting)).done, true)
  const open2 = executor.events()
  await executor.execute(() => {})
  const rest = (async () => {
    const types = []
    for await (const event of open2) types.push(event.type)
    return types
  })()
  await executor.close()
  assert.deepEqual(await within(rest), ['running', 'completed'])
})

test('two who wait for the next event both get one', async t => {
  const executor = open(t)
  const stream = executor.events()
  const both = [stream.next(), stream.next()]
  await executor.execute(() => {})
  assert.deepEqual(
    (await within(Promise.all(both))).map(({ value }) => value.type),
    ['running', 'completed'],
  )
  await stream.return()
})

test('a stream that is not read loses the oldest, never memory', async t => {
  const executor = open(t, { concurrency: 100 })
  const stream = executor.events()
  await executor.executeAll(numbers(8_000).map(n => () => n))
  await stream.return
  let [count, first] = [0, undefined]
  for await (const event of stream) {
    first ??= event
    count += 1
    if (event.output === 7_999) break
  }
  assert.equal(count, 10_000)
  assert.notEqual(first.output, 0)
})
