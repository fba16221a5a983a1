// Schedules over several processes: each slot is one task, whoever is there and whoever is killed.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
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

// Debian's package libfaketime, or where the variable says. The clock of a store by hand is in the tests of the engine.
const FAKETIME = process.env.TASK_FAKETIME ?? '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1'

if (LONG && existsSync(FAKETIME)) {
  for (const store of ['sqlite', 'memory']) {
    test(`a wall clock that is set forward and back by hours, ${store}`, async t => {
      const file = fileFor(t)
      const clock = join(dirname(file), 'clock')
      writeFileSync(clock, '+0')
      const env = {
        LD_PRELOAD: FAKETIME,
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        FAKETIME_NO_CACHE: '1',
        FAKETIME_TIMESTAMP_FILE: clock,
      }
      const persistence = store === 'memory' ? store : `sqlite:${file}`
      const { code, lines, stderr } = await run('clock-steps.mjs', [clock, persistence], { env })
      assert.equal(code, 0, stderr)
      const [forward, back, again, on] = lines.map(line => JSON.parse(line))
      const missed = {
        none: [],
        latest: [[6, 5]],
        all: [1, 2, 3, 4, 5, 6].map(hour => [hour, 0]),
      }
      assert.deepEqual([forward.jumps, forward.runs], [[6], missed])
      assert.deepEqual([back.jumps, back.runs], [[6, -5], missed], 'nothing fires twice')
      assert.deepEqual([again.jumps, again.runs], [[6, -5, 5], missed])
      assert.deepEqual(on.runs.latest, [...missed.latest, [7, 0]])
      assert.deepEqual(on.runs.all, [...missed.all, [7, 0]])
    })
  }
}
