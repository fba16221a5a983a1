// What no user can reach and a defect might: the functions of the addon with arguments that they were never meant
// for. Each is an error of JavaScript or without effect, and none of them ends the process.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask, RetryPolicy } from '../index.js'
import { run } from './support/child.mjs'
import { failure, open, within } from './support/executors.mjs'

test('hostile arguments are errors, and other engines work on', async () => {
  const { code, signal, lines, stderr } = await run('hostile-native.mjs')
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr.slice(-2_000))
  const { calls, errors, values } = JSON.parse(lines.at(-1))
  assert.ok(calls > 20_000, `${calls} calls`)
  assert.ok(errors > 10_000, `${errors} errors`)
  assert.deepEqual(values, [1, 2, 3])
})

test('more retry policies and kinds than a number of 16 bits counts', async t => {
  const executor = open(t, { concurrency: 100 })
  let failures = 0
  for (let at = 0; at < 70_000; at += 10_000) {
    const all = Array.from({ length: 10_000 }, (_, offset) =>
      executor.execute(
        async ctx => {
          if (ctx.attempt === 1 && offset % 1_000 === 0) throw new Error('once')
          return at + offset
        },
        { retry: { attempts: 2, base: 0, max: at + offset + 1, jitter: 'none' } },
      ),
    )
    const values = await within(Promise.all(all))
    failures += values.filter((value, offset) => value !== at + offset).length
  }
  assert.equal(failures, 0)
  assert.equal(await within(executor.execute(async () => 'last', { retry: RetryPolicy.fixed(2, 1) })), 'last')
})

test('a defect that is thrown in a turn ends neither the turns to come nor other tasks', async () => {
  const { code, signal, lines, stderr } = await run('defect.mjs')
  assert.deepEqual(
    { code, signal, lines },
    { code: 0, signal: null, lines: ['caught a defect', 'next', 'works'] },
    stderr,
  )
})

test('an input that cannot be sent is refused without harm to the rest', async t => {
  const executor = open(t, { maxPayload: 1_000 })
  const task = defineTask({ name: 'one', handler: async value => value })
  const outcomes = await within(
    Promise.allSettled([
      executor.enqueue(task, 1n),
      executor.enqueue(task, 'x'.repeat(1_001)),
      executor.enqueue(task, 'fits'),
      executor.enqueueMany(task, [1, () => {}]),
    ]),
  )
  assert.deepEqual(
    outcomes.map(outcome => outcome.reason?.code),
    ['ERR_TASK_SERIALIZE', 'ERR_PAYLOAD_SIZE', undefined, 'ERR_TASK_SERIALIZE'],
  )
  assert.equal(await within(outcomes[2].value.result()), 'fits')
  const large = defineTask({
    name: 'large',
    retry: RetryPolicy.fixed(3, 1),
    handler: async () => 'x'.repeat(1_001),
  })
  await assert.rejects(within((await executor.enqueue(large)).result()), failure('ERR_PAYLOAD_SIZE'))
})
