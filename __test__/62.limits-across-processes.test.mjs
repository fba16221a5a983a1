// A rate that several processes share in a file, one of which is killed while it works.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from './support/executors.mjs'
import { fileFor, openOn, startNode } from './support/sqlite.mjs'

test('over any time no more start than the limit and the burst, and nothing is lost', async t => {
  const file = fileFor(t)
  const limit = 300
  const burst = 30
  const shared = { limit, per: '1s', burst, shared: true, name: 'api' }
  const here = openOn(t, file, { queues: [] })
  const nodes = await Promise.all([1, 2, 3, 4].map(() => startNode(t, file, { rateLimit: shared })))
  const handles = await here.enqueueMany(
    { name: 'double' },
    Array.from({ length: 450 }, (_, n) => n),
  )
  await Promise.all(nodes.map(node => node.call('start')))
  await until(async () => (await here.counts()).completed > 100)
  await nodes[0].kill()
  const outputs = await Promise.all(handles.map(handle => handle.result()))
  assert.deepEqual(
    outputs,
    outputs.map((_, n) => n * 2),
  )
  // On the clock of the file: when they were claimed, the last time where that was more than once.
  const starts = []
  for await (const { startedAt } of here.list({ state: 'completed' })) starts.push(startedAt.getTime())
  assert.equal(starts.length, 450)
  starts.sort((a, b) => a - b)
  for (const [first, from] of starts.entries()) {
    for (let last = first; last < starts.length; last += 1) {
      const allowed = ((starts[last] - from) * limit) / 1_000 + burst
      assert.ok(last - first + 1 <= allowed, `${last - first + 1} starts within ${starts[last] - from} ms`)
    }
  }
})
