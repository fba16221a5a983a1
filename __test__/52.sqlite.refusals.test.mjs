// A file of tasks that cannot be one: each call says why, at once, and works when the reason has gone.

import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { deferred, rejection, until } from './support/executors.mjs'
import { fileFor, openOn } from './support/sqlite.mjs'

// No call may spend its patience on what cannot pass by itself.
const AT_ONCE = 5_000

async function refusals(executor) {
  const began = performance.now()
  const calls = [executor.start(), executor.enqueue('a', 1), executor.get('a'), executor.counts()]
  const errors = await Promise.all(calls.map(rejection))
  assert.ok(performance.now() - began < AT_ONCE)
  const [{ code, message }] = errors
  for (const error of errors)
    assert.deepEqual([error.name, error.code, error.message], ['TaskError', code, message])
  return { code, message }
}

test('a folder that is missing, until it is there', async t => {
  const file = join(dirname(fileFor(t)), 'missing', 'tasks.db')
  const executor = openOn(t, file)
  const { code, message } = await refusals(executor)
  assert.equal(code, 'ERR_STORE')
  assert.match(message, /folder .*missing.* cannot be used/)
  mkdirSync(dirname(file))
  await executor.start()
  assert.equal((await executor.counts()).waiting, 0)
})

test('a file that is no database', async t => {
  const file = fileFor(t)
  writeFileSync(file, 'These are notes about something else. '.repeat(200))
  assert.equal((await refusals(openOn(t, file))).code, 'ERR_STORE_CORRUPT')
})

test('a folder, and a link, in the place of the file', async t => {
  const file = fileFor(t)
  mkdirSync(file)
  assert.match((await refusals(openOn(t, file))).message, /is a folder/)
  const link = join(dirname(file), 'link.db')
  symlinkSync('tasks2.db', link)
  assert.match((await refusals(openOn(t, link))).message, /not a plain file/)
})

test('a place where nothing may be written', async t => {
  // Permissions do not bind an administrator; what the kernel makes itself takes no files from anybody.
  let file = '/proc/tasks.db'
  if (process.platform !== 'linux') {
    file = fileFor(t)
    chmodSync(dirname(file), 0o500)
    t.after(() => chmodSync(dirname(file), 0o700))
  }
  assert.equal((await refusals(openOn(t, file))).code, 'ERR_STORE')
})

test('a store that cannot be opened keeps nobody from closing', async t => {
  const executor = openOn(t, join(dirname(fileFor(t)), 'missing', 'tasks.db'))
  const began = performance.now()
  const pending = rejection(executor.enqueue('a', 1))
  await executor.close({ gracePeriod: 100 })
  assert.match((await pending).code, /^ERR_(STORE|EXECUTOR_CLOSED)$/)
  assert.ok(performance.now() - began < 2_100 + AT_ONCE)
})

test('a file that goes away for a while is told, and work goes on when it is back', async t => {
  const folder = join(dirname(fileFor(t)), 'here')
  mkdirSync(folder)
  const executor = openOn(t, join(folder, 'tasks.db'))
  const gate = deferred()
  executor.register({ name: 'wait', handler: () => gate.promise })
  const told = []
  executor.on('error', error => told.push([error.name, error.code, performance.now()]))
  await executor.start()
  const handle = await executor.enqueue('wait', 1)
  await until(async () => (await executor.counts()).running === 1)
  renameSync(folder, `${folder}-away`)
  await until(() => told.length > 1, 'the trouble is told twice')
  const [[name, code, first], [, , second]] = told
  assert.deepEqual([name, code.startsWith('ERR_STORE')], ['TaskError', true])
  assert.ok(second - first > 900, `told again after ${second - first} ms`)
  renameSync(`${folder}-away`, folder)
  gate.resolve('done')
  assert.equal(await handle.result(), 'done')
})
