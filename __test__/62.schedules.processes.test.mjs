// Schedules over several processes: each slot is one task, whoever is there and whoever is killed.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { run } from './support/child.mjs'
import { collect, open, until } from './support/executors.mjs'
import { hasRedis, startRedis } from './support/redis.mjs'
import { fileFor } from './support/sqlite.mjs'

const FIXTURE = fileURLToPath(new URL('fixtures/schedule-node.mjs', import.meta.url))
const LONG = process.env.SOAK === '1'
const [PROCESSES, SECONDS, KILL_EVERY] = LONG ? [5, 20, 3_000] : [3, 6, 1_500]

async function startNode(t, address) {
  const child = spawn(process.execPath, [FIXTURE, address], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

async function eachSecondOnce(t, address) {
  const nodes = await Promise.all(Array.from({ length: PROCESSES }, () => startNode(t, address)))
  const end = performance.now() + SECONDS * 1_000
  let killed = 0
  while (performance.now() < end) {
    await sleep(KILL_EVERY)
    const at = killed++ % PROCESSES
    nodes[at].kill('SIGKILL')
    nodes[at] = await startNode(t, address)
  }
  const watcher = open(t, { persistence: address, queues: [] })
  const tasks = await until(async () => {
    const all = await collect(watcher.list({ name: 'tick' }))
    // The newest ones may be on their way still.
    const settled = all.filter(({ createdAt }) => Date.now() - createdAt.getTime() > 1_500)
    return settled.every(({ state }) => state === 'completed') && settled
  })
  for (const node of nodes) node.kill('SIGKILL')
  const slots = tasks.map(({ metadata }) => Number(metadata.slot)).sort((a, b) => a - b)
  assert.ok(killed >= 3 && slots.length >= SECONDS - 2, `${slots.length} slots, ${killed} killed`)
  // One task for each second from the first to the last: none twice, and, since all are caught up, none lost.
  assert.deepEqual(
    slots,
    slots.map((_, n) => slots[0] + n * 1_000),
  )
  assert.deepEqual(new Set(tasks.map(task => task.output)), new Set(slots))
}

// Both at once: most of it is waiting for seconds to pass.
test('every second is one task', { concurrency: true }, async t => {
  const stores = [['on a SQLite file', async t => `sqlite:${fileFor(t)}`]]
  if (hasRedis) stores.push(['on Redis', startRedis])
  await Promise.all(
    stores.map(([name, address]) => t.test(name, async t => eachSecondOnce(t, await address(t)))),
  )
})

test('schedules in memory hold their process, until there is none that will fire', async () => {
  const { code, lines, stderr } = await run('schedule-life.mjs')
  assert.deepEqual([code, lines], [0, ['tick 1', 'tick 2', 'tick 3']], stderr)
})

test('unref lets a process with schedules go', async () => {
  const { code, lines, stderr } = await run('schedule-life.mjs', ['unref'])
  assert.deepEqual([code, lines], [0, []], stderr)
})
