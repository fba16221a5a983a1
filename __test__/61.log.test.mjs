// What the engine says while it works: its log, the event loop that is blocked, channels of node:diagnostics_channel,
// the doctor. None of it tells what is in a task.

import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import { defineTask, TaskExecutor } from '../index.js'
import { start } from './support/child.mjs'
import { failure, open, rejection, until } from './support/executors.mjs'
import { runProgram } from './support/programs.mjs'

test('a handler that blocks the loop is named while it does, and told of afterwards', async () => {
  const child = start('block-loop.mjs', [], { env: { TASK_LOG: 'warn' } })
  let said = ''
  let named
  child.stdout.on('data', text => {
    said += text
  })
  child.stderr.on('data', text => {
    // Before the handler has ended: it writes to stdout then.
    named ??= { text, wasOver: said.includes('over') }
  })
  const [code] = await child.ended
  assert.equal(code, 0)
  assert.match(named.text, /^warn task::engine: a task blocks the event loop tasks="hog" blocked_ms="\d+"\n/)
  assert.equal(named.wasOver, false)
  const { blockedFor, names, isIt } = JSON.parse(said.split('\n')[1])
  assert.ok(blockedFor >= 2_990, `${blockedFor} ms`)
  assert.deepEqual([names, isIt], [['hog'], true])
})

test('a loop that turns is never called blocked', async t => {
  const executor = open(t, { concurrency: 2 })
  const stalls = []
  executor.on('loopStalled', event => stalls.push(event))
  await executor.execute(() => new Promise(resolve => setTimeout(resolve, 1_300)))
  assert.deepEqual(stalls, [])
})

test('a logger is told of its executor, and of no other', async t => {
  const records = []
  const other = []
  const one = open(t, { logger: record => records.push(record) })
  const two = open(t, { logger: record => other.push(record) })
  await one.start()
  await until(() => records.length > 0)
  assert.deepEqual(records[0], {
    level: 'info',
    target: 'task::engine',
    message: 'it begins to take tasks from its store',
    fields: {},
  })
  assert.deepEqual(other, [])
  await two.start()
  await until(() => other.length > 0)
  assert.equal(records.length, 1)
})

test('a logger that throws harms nobody', async t => {
  const { code, stdout } = await runProgram(
    t,
    `process.on('uncaughtException', error => console.log(error.message))
     const executor = new TaskExecutor({ logger() { throw new Error('mine') } })
     await executor.start()
     console.log(await executor.execute(async () => 'works'))
     await new Promise(resolve => setTimeout(resolve, 50))
     await executor.close()`,
  )
  assert.equal(code, 0)
  assert.deepEqual([...new Set(stdout.trim().split('\n'))].sort(), ['mine', 'works'])
})

test('TASK_LOG says what is allowed', async t => {
  const source = `try { new TaskExecutor() } catch (error) { console.log(error.code, error.message) }`
  const { stdout } = await runProgram(t, source, { TASK_LOG: 'loud' })
  assert.match(stdout, /^ERR_OPTION .*TASK_LOG.*off, error, warn, info, debug or trace.*"loud"/)
})

test('channels tell of enqueues and runs', async t => {
  const told = []
  const listeners = ['run', 'enqueue'].flatMap(name =>
    ['start', 'asyncEnd', 'error'].map(step => {
      const channel = `tracing:wterminal.task.${name}:${step}`
      const listener = ({ error, result, ...message }) => told.push({ step: `${name} ${step}`, ...message })
      subscribe(channel, listener)
      return () => unsubscribe(channel, listener)
    }),
  )
  t.after(() => {
    for (const end of listeners) end()
  })
  const work = defineTask({
    name: 'work',
    async handler(n) {
      if (n === 2) throw new Error('no')
    },
  })
  const executor = open(t, { tasks: [work], concurrency: 1 })
  const handle = await executor.enqueue(work, 1, { queue: 'elsewhere', metadata: { a: 'b' } })
  await handle.result()
  const run = { name: 'work', queue: 'elsewhere', id: handle.id, attempt: 1, metadata: { a: 'b' } }
  const enqueue = { name: 'work', queue: 'elsewhere', count: 1, carrier: {} }
  assert.deepEqual(
    told.filter(({ step }) => step.startsWith('enqueue')),
    [
      { step: 'enqueue start', ...enqueue },
      { step: 'enqueue asyncEnd', ...enqueue },
    ],
  )
  assert.deepEqual(
    told.filter(({ step }) => step.startsWith('run')),
    [
      { step: 'run start', ...run },
      { step: 'run asyncEnd', ...run },
    ],
  )
  await rejection((await executor.enqueue(work, 2)).result())
  assert.ok(told.some(({ step }) => step === 'run error'))
  told.length = 0
  await executor.execute(work, 3)
  assert.deepEqual(
    told.map(({ step }) => step),
    ['run start', 'run asyncEnd'],
  )
})

test('what a subscriber puts into the carrier travels as metadata, and never over what is there', async t => {
  const channel = 'tracing:wterminal.task.enqueue:start'
  const listener = ({ carrier }) => Object.assign(carrier, { mine: 'carried', theirs: 'carried' })
  subscribe(channel, listener)
  t.after(() => unsubscribe(channel, listener))
  const show = defineTask({ name: 'show', handler: (_, ctx) => ctx.metadata })
  const executor = open(t, { tasks: [show] })
  const handle = await executor.enqueue(show, undefined, { metadata: { theirs: 'own' } })
  assert.deepEqual(await handle.result(), { mine: 'carried', theirs: 'own' })
  const [first] = await executor.enqueueMany(show, [undefined])
  assert.deepEqual(await first.result(), { mine: 'carried', theirs: 'carried' })
})

test('the doctor finds what will hurt', async t => {
  const healthy = await open(t).doctor()
  assert.deepEqual(
    [healthy.store, healthy.durability, healthy.storeAnswers, healthy.warnings],
    ['memory', 'none', true, []],
  )
  assert.match(healthy.target, /^(x86_64|aarch64)-(linux|macos|windows)/)
  const ill = open(t, { concurrency: 20_000, stallLimit: 100, gracePeriod: '1m', retention: { failed: {} } })
  const { warnings } = await ill.doctor()
  for (const word of ['stallLimit', 'gracePeriod', 'concurrency', 'retention']) {
    assert.ok(
      warnings.some(warning => warning.includes(word)),
      `${word} is not in ${warnings}`,
    )
  }
})

test('no secret is in a metric, a record of the log, a finding or an error', async t => {
  const secret = 'hunter2-s3cr3t'
  const records = []
  const leaky = defineTask({
    name: 'leaky',
    retry: { attempts: 2, base: 1 },
    async handler() {
      throw new Error(`no ${secret}`)
    },
  })
  const executor = open(t, { tasks: [leaky], metrics: true, logger: record => records.push(record) })
  const given = { id: `id-${secret}`, key: `key-${secret}`, group: `group-${secret}`, metadata: { secret } }
  await rejection((await executor.enqueue(leaky, { secret }, given)).result())
  await (await executor.enqueue(leaky, secret, { delay: '1h' })).cancel(`since ${secret}`)
  await executor.onIdle()
  const address = `redis://user:${secret}@127.0.0.1:1/0`
  const remote = new TaskExecutor({ persistence: address, logger: record => records.push(record) })
  t.after(() => remote.close({ gracePeriod: 0 }))
  const errors = []
  remote.on('error', error => errors.push(error))
  const refused = await rejection(remote.start())
  await assert.rejects(remote.getMetrics(), failure(refused.code))
  const text = await remote.metricsText()
  assert.match(text, /^task_store_up 0$/m)
  const all = [
    await executor.metricsText(),
    await executor.getMetrics(),
    await executor.doctor(),
    text,
    await remote.doctor(),
    records,
    ...[refused, ...errors].map(({ message, stack, cause }) => [message, stack, String(cause)]),
  ]
  assert.ok(records.length > 0)
  assert.equal(JSON.stringify(all).includes(secret), false, JSON.stringify(all))
})
