// Bounds on what an executor takes: `maxQueue` for waiting tasks. Beyond it a call is refused and leaves nothing behind.

import assert from 'node:assert/strict'
import { defineTask } from '../index.js'
import { collect, deferred, failure, rejection, until } from './support/executors.mjs'
import { onEveryStore } from './support/stores.mjs'

async function start(on, options = undefined) {
  const executor = on(options)
  await executor.start()
  return executor
}

const echo = defineTask({ name: 'echo', handler: input => input })
const numbers = count => Array.from({ length: count }, (_, at) => at)

onEveryStore('the bound itself is allowed, one more is refused with a way to tell', async (_t, on) => {
  const executor = await start(on, { maxQueue: 3 })
  await executor.pause()
  const handles = []
  for (const n of numbers(3)) handles.push(await executor.enqueue(echo, n))
  const error = await rejection(executor.enqueue(echo, 3))
  assert.equal(error.code, 'ERR_QUEUE_FULL')
  assert.equal(error.retryable, true)
  assert.match(error.message, /3/)
  assert.equal((await collect(executor.list())).length, 3)
  await executor.resume()
  assert.deepEqual(await Promise.all(handles.map(handle => handle.result())), [0, 1, 2])
})

onEveryStore('there is room again as soon as tasks start, end or are called off', async (_t, on) => {
  const executor = await start(on, { maxQueue: 2, concurrency: 1 })
  await executor.pause()
  const [first, second] = await executor.enqueueMany(echo, [1, 2])
  await assert.rejects(executor.enqueue(echo, 3), failure('ERR_QUEUE_FULL'))
  await second.cancel()
  const third = await executor.enqueue(echo, 3)
  await assert.rejects(executor.enqueue(echo, 4), failure('ERR_QUEUE_FULL'))
  await executor.resume()
  assert.deepEqual([await first.result(), await third.result()], [1, 3])
  assert.equal(await (await executor.enqueue(echo, 5)).result(), 5)
})

onEveryStore('delayed and blocked tasks count, running and ended ones do not', async (_t, on) => {
  const executor = await start(on, { maxQueue: 2, concurrency: 5 })
  const gate = deferred()
  const slow = defineTask({ name: 'slow', handler: () => gate.promise })
  for (const n of numbers(5)) {
    await executor.enqueue(slow, n)
    await until(async () => (await executor.counts()).running === n + 1)
  }
  const delayed = await executor.enqueue(echo, 1, { delay: '1h' })
  await executor.enqueue(echo, 2, { after: [delayed] })
  await assert.rejects(executor.enqueue(echo, 3), failure('ERR_QUEUE_FULL'))
  gate.resolve()
  await until(async () => (await executor.counts()).completed === 5)
  await assert.rejects(executor.enqueue(echo, 3), failure('ERR_QUEUE_FULL'))
})

onEveryStore('what needs no room is never refused', async (_t, on) => {
  const executor = await start(on, { maxQueue: 1 })
  await executor.pause()
  await executor.enqueue(echo, 1, { id: 'mine', key: 'k' })
  assert.equal((await executor.enqueue(echo, 1, { id: 'mine' })).created, false)
  assert.equal((await executor.enqueue(echo, 2, { key: 'k' })).created, false)
  assert.equal((await executor.enqueue(echo, 3, { key: 'k', onConflict: 'replace' })).created, true)
  assert.deepEqual(await executor.enqueueMany(echo, []), [])
  const closure = executor.execute(() => 'closures are not bounded by it')
  await executor.resume()
  assert.equal(await closure, 'closures are not bounded by it')
})

onEveryStore(
  'a refused call leaves nothing behind: no id, no key, no blocker, no throttle',
  async (_t, on) => {
    const executor = await start(on, { maxQueue: 2 })
    await executor.pause()
    const [first] = await executor.enqueueMany(echo, [1, 2])
    const options = { id: 'late', key: 'k', group: 'g', after: [first], metadata: { a: 'b' } }
    await assert.rejects(executor.enqueue(echo, 'late', options), failure('ERR_QUEUE_FULL'))
    await assert.rejects(
      executor.enqueue(echo, 'late', { key: 't', throttle: '1h' }),
      failure('ERR_QUEUE_FULL'),
    )
    await assert.rejects(executor.enqueueMany(echo, numbers(50)), failure('ERR_QUEUE_FULL'))
    assert.equal(await executor.get('late'), undefined)
    assert.deepEqual(await executor.counts().then(({ waiting, blocked }) => [waiting, blocked]), [2, 0])
    await executor.resume()
    await executor.onIdle()
    const again = await executor.enqueue(echo, 'another input', { id: 'late', key: 'k' })
    const throttled = await executor.enqueue(echo, 'late', { key: 't', throttle: '1h' })
    assert.deepEqual([again.created, throttled.created], [true, true])
    assert.equal(await again.result(), 'another input')
  },
)

onEveryStore('enqueueMany fits as a whole or not at all', async (_t, on) => {
  const executor = await start(on, { maxQueue: 10 })
  await executor.pause()
  await executor.enqueueMany(echo, numbers(6))
  await assert.rejects(executor.enqueueMany(echo, numbers(5)), failure('ERR_QUEUE_FULL'))
  assert.equal((await executor.enqueueMany(echo, numbers(4))).length, 4)
  await assert.rejects(executor.enqueueMany(echo, [1]), failure('ERR_QUEUE_FULL'))
})

onEveryStore('many calls in one tick: as many are taken as fit, in order', async (_t, on) => {
  const executor = await start(on, { maxQueue: 100 })
  await executor.pause()
  const outcomes = await Promise.allSettled(numbers(500).map(n => executor.enqueue(echo, n)))
  assert.ok(outcomes.slice(0, 100).every(({ status }) => status === 'fulfilled'))
  assert.ok(outcomes.slice(100).every(({ reason }) => reason?.code === 'ERR_QUEUE_FULL'))
  const inputs = (await collect(executor.list())).map(info => info.input)
  assert.deepEqual(inputs.toReversed(), numbers(100))
})

onEveryStore('a producer that is faster than its tasks can wait for room', async (_t, on) => {
  const executor = await start(on, { maxQueue: 20, concurrency: 2 })
  const seen = []
  const work = defineTask({ name: 'work', handler: async n => void seen.push(n) })
  let most = 0
  for (const n of numbers(300)) {
    for (;;) {
      const error = await executor.enqueue(work, n).then(
        () => undefined,
        reason => reason,
      )
      if (error === undefined) break
      assert.equal(error.code, 'ERR_QUEUE_FULL')
      await new Promise(setImmediate)
    }
    const { waiting } = await executor.counts()
    most = Math.max(most, waiting)
  }
  await executor.onIdle()
  assert.deepEqual(seen, numbers(300))
  assert.ok(most <= 20, `${most} waited`)
})

onEveryStore(
  'a flow that is refused leaves nothing behind, whatever is wrong with one of it',
  async (_t, on) => {
    const later = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: async value => (value === 'good' ? { value } : { issues: [{ message: 'not good' }] }),
      },
    }
    const checked = defineTask({ name: 'checked', input: later, handler: input => input })
    const executor = await start(on, { maxQueue: 4, maxPayload: 100 })
    await executor.pause()
    const holder = await executor.enqueue(echo, 'held', { id: 'holder', key: 'held' })
    const flow = (...entries) => entries.map((entry, n) => ({ ref: `r${n}`, task: echo, ...entry }))
    const key = 'free'
    const after = ['r0']
    const refusals = [
      [flow({ options: { key } }, { input: 'x'.repeat(99), after }), 'ERR_PAYLOAD_SIZE'],
      [flow({ options: { key } }, { input: 2, after }, {}, {}), 'ERR_QUEUE_FULL'],
      [flow({ options: { key } }, { task: checked, input: 'bad', after }), 'ERR_TASK_INPUT'],
      [
        flow({ options: { key } }, { options: { key: 'held', onConflict: 'error' }, after }),
        'ERR_TASK_DUPLICATE',
      ],
      [flow({ options: { key } }, { options: { id: 'holder' }, after }), 'ERR_TASK_DUPLICATE'],
      [flow({ options: { key } }, { options: { after: ['nobody'] }, after }), 'ERR_TASK_NOT_FOUND'],
    ]
    for (const [tasks, code] of refusals) {
      await assert.rejects(executor.enqueueFlow(tasks, { id: 'flow' }), failure(code))
      await assert.rejects(executor.getFlow('flow'), failure('ERR_TASK_NOT_FOUND'))
      assert.deepEqual(
        (await collect(executor.list())).map(info => info.id),
        [holder.id],
        code,
      )
    }
    const whole = flow({ options: { key } }, { task: checked, input: 'good', after }, { after })
    const { handles } = await executor.enqueueFlow(whole, { id: 'flow' })
    assert.ok(Object.values(handles).every(handle => handle.created))
  },
)
