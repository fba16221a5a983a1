// What somebody has put on Object.prototype is nobody's option.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RetryPolicy, TaskExecutor } from '../index.js'

const NAMES = [
  'tasks persistence durability lease namespace concurrency maxQueue maxPayload queues stallLimit maxLosses',
  'maxAbandoned gracePeriod cancelGrace retention signal queue priority timeout retry id delay runAt key onConflict',
  'debounce throttle group after onBlockerFailure expiresAt metadata wait maxWait attempts base max maxElapsed factor',
  'jitter retryIf delays state name search createdBefore createdAfter limit cursor handler input description perNode',
  'total perGroup age count bytes code cause retryable retryAfter kind',
]
  .join(' ')
  .split(' ')

async function useEverything() {
  const executor = new TaskExecutor({ concurrency: 2, retry: { attempts: 2, base: 1 } })
  executor.register({ name: 'echo', concurrency: { perGroup: 2 }, handler: async input => input })
  const handle = await executor.enqueue('echo', { a: 1 }, { metadata: { b: 'c' } })
  const bounced = await executor.enqueue('echo', 2, { key: 'k', debounce: 1, retry: RetryPolicy.fixed(1, 1) })
  const results = [
    await handle.result(),
    await bounced.result(),
    await executor.execute(() => 3),
    await executor.execute(() => 4, { retry: RetryPolicy.linear(2, 1) }),
    await executor.execute('echo', 5),
    (await executor.get(handle.id)).state,
    (await executor.counts()).completed,
  ]
  for await (const info of executor.list()) results.push(info.input)
  await executor.cancelAll({})
  await executor.close({ gracePeriod: 10 })
  return JSON.parse(JSON.stringify(results))
}

test('every option name on Object.prototype, one after the other', async () => {
  const wanted = await useEverything()
  for (const name of NAMES) {
    Object.defineProperty(Object.prototype, name, {
      value: 'x',
      configurable: true,
      writable: true,
      enumerable: true,
    })
    let found
    try {
      found = await useEverything()
    } catch (error) {
      found = error.message
    } finally {
      delete Object.prototype[name]
    }
    assert.deepEqual(found, wanted, `Object.prototype.${name}`)
  }
})
