// The example of producers and workers: several of each on one store, one of them killed.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ensureRedis } from '../scripts/redis.mjs'
import { fileFor } from './support/sqlite.mjs'

const COUNT = 300
const TOTAL = Array.from({ length: COUNT }, (_, number) => number + 3).reduce((sum, one) => sum + one, 0)

function start(t, program, ...args) {
  const path = fileURLToPath(new URL(`../examples/two-processes/${program}.mjs`, import.meta.url))
  const child = spawn(process.execPath, [path, ...args.map(String)], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const run = { child, stdout: '', stderr: '', ended: once(child, 'close') }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', text => {
      run[name] += text
    })
  }
  return run
}

async function startWorker(t, address) {
  const worker = start(t, 'worker', address)
  while (!worker.stdout.includes('ready\n')) {
    const [text] = await Promise.race([once(worker.child.stdout, 'data'), worker.ended])
    assert.equal(typeof text, 'string', worker.stderr)
  }
  return worker
}

async function producersAndWorkers(t, address) {
  const doomed = await startWorker(t, address)
  const producers = ['one', 'other'].map(name => start(t, 'producer', address, COUNT, name))
  doomed.child.kill('SIGKILL')
  const workers = [await startWorker(t, address), await startWorker(t, address)]
  for (const { ended, stderr, stdout } of await all(producers)) {
    assert.deepEqual([ended, stderr], [[0, null], ''])
    assert.equal(stdout, `${COUNT} invoices, total ${TOTAL}, 0 were there before\n`)
  }
  // A producer that comes again gets the results that are there, and nothing is run.
  const [again] = await all([start(t, 'producer', address, COUNT, 'one')])
  assert.equal(again.stdout, `${COUNT} invoices, total ${TOTAL}, ${COUNT} were there before\n`)
  if (process.platform === 'win32') return
  for (const { child } of workers) child.kill('SIGTERM')
  let ran = 0
  for (const { ended, stderr, stdout } of await all(workers)) {
    assert.deepEqual([ended, stderr], [[0, null], ''])
    ran += Number(/^ran (\d+)$/m.exec(stdout)[1])
  }
  assert.ok(ran <= 2 * COUNT, `${ran} runs of ${2 * COUNT} tasks`)
}

/** The runs when all of them have ended, `ended` as `[code, signal]`. */
async function all(runs) {
  const ends = await Promise.all(runs.map(({ ended }) => ended))
  return runs.map(({ stdout, stderr }, at) => ({ ended: ends[at], stdout, stderr }))
}

test('producers and workers on a SQLite file', async t => {
  await producersAndWorkers(t, `sqlite:${fileFor(t)}`)
})

// Where there is no server for the system, this says so.
const redis = ensureRedis()
if (redis !== undefined) {
  test('producers and workers on Redis', async t => {
    const port = await freePort()
    const args = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    const server = spawn(redis, args.map(String), { stdio: ['ignore', 'pipe', 'ignore'] })
    t.after(() => server.kill('SIGKILL'))
    for await (const text of server.stdout) if (text.toString().includes('Ready to accept')) break
    await producersAndWorkers(t, `redis://127.0.0.1:${port}`)
  })
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}
