// Tests that hold on every store: in memory, on a SQLite file, on a redis-server where the system has one.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { ensureRedis } from '../../scripts/redis.mjs'
import { open } from './executors.mjs'
import { fileFor } from './sqlite.mjs'

let server
let databases = 0

/** The address of a redis-server of this process. */
export function redisServer(program) {
  server ??= startRedis(program)
  return server
}

async function startRedis(program) {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  const args = [
    '--port',
    port,
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--databases',
    1_000,
  ]
  const child = spawn(program, args.map(String), { stdio: ['ignore', 'pipe', 'ignore'] })
  process.once('exit', () => child.kill('SIGKILL'))
  let isUp = false
  for await (const text of child.stdout) {
    isUp = text.toString().includes('Ready to accept')
    if (isUp) break
  }
  // Another test may have taken the port since it was looked for.
  if (!isUp) return startRedis(program)
  child.unref()
  return `redis://127.0.0.1:${port}`
}

const redis = ensureRedis()

/** What makes an address for a test, by the name of the store. */
export const STORES = Object.entries({
  memory: () => 'memory',
  sqlite: t => `sqlite:${fileFor(t)}`,
  ...(redis === undefined ? {} : { redis: async () => `${await redisServer(redis)}/${databases++}` }),
})

/** A test case for each store; `run` gets the test and what opens executors on one and the same place. */
export function onEveryStore(name, run) {
  for (const [store, addressFor] of STORES) {
    test(`${name} (${store})`, async t => {
      const persistence = await addressFor(t)
      const opened = []
      const on = options => {
        const executor = open(t, { persistence, ...options })
        opened.push(executor)
        return executor
      }
      try {
        await run(t, on, persistence !== 'memory')
      } finally {
        // Before its file is removed: what it has to settle still would keep it waiting.
        await Promise.all(opened.map(executor => executor.close({ gracePeriod: 0 })))
      }
    })
  }
}
