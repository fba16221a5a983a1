// Names through the API: whatever a task, queue, group, key or id is called, it is that and nothing else. What a name may
// be is told in 03.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask } from '../index.js'
import { collect, open, rejection } from './support/executors.mjs'

const names = [
  'a',
  ' ',
  ' a',
  'a ',
  'A',
  '..',
  '/',
  'a/b',
  ':',
  'a:b',
  '{}',
  '*',
  '?',
  "'; DROP TABLE tasks; --",
  '"',
  '\\',
  '\\n',
  ']]',
  '%s',
  '%',
  '_',
  '$1',
  '0',
  '-1',
  'null',
  'undefined',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'default',
  '\u00e9',
  'e\u0301',
  '\u{1f680}',
  '\u0645\u0647\u0645\u0629',
  '\u202e',
  '\u200b',
  '\ufeff',
  '\ufffd',
  'x'.repeat(127),
  'x'.repeat(128),
  '\u00e9'.repeat(64),
]
const bad = [
  '',
  'x'.repeat(129),
  '\u00e9'.repeat(65),
  'a\u0000',
  'a\nb',
  '\u007f',
  '\u2028',
  '\ud800',
  5,
  null,
  {},
]

test('kinds: each name has its own handler', async t => {
  const tasks = names.map((name, at) => defineTask({ name, handler: (_, ctx) => [at, ctx.name] }))
  const executor = open(t, { tasks })
  for (const [at, name] of names.entries()) {
    assert.deepEqual(await executor.execute(name), [at, name])
    assert.deepEqual(await (await executor.enqueue(name)).result(), [at, name])
    const [info] = await collect(executor.list({ name }))
    assert.equal(info.name, name)
  }
  assert.equal((await collect(executor.list())).length, names.length)
})

test('a name that nobody registered is nobody, also where objects have such a property', async t => {
  const executor = open(t)
  for (const name of ['__proto__', 'constructor', 'toString', 'valueOf', 'name']) {
    assert.equal((await rejection(executor.execute(name))).code, 'ERR_TASK_UNKNOWN')
    assert.equal(await executor.get(name), undefined)
  }
})

test('queues: each has its own pause, counts and list', async t => {
  const executor = open(t)
  const task = defineTask({ name: 'task', handler: input => input })
  for (const queue of names) await executor.pause(queue)
  for (const [at, queue] of names.entries()) {
    for (let n = 0; n <= at % 3; n += 1) await executor.enqueue(task, at, { queue })
  }
  for (const [at, queue] of names.entries()) {
    assert.equal((await executor.counts(queue)).waiting, (at % 3) + 1)
    const infos = await collect(executor.list({ queue }))
    assert.ok(infos.length === (at % 3) + 1 && infos.every(info => info.queue === queue && info.input === at))
  }
  await executor.resume('__proto__')
  const [info] = await collect(executor.list({ queue: '__proto__' }))
  assert.equal(await (await executor.enqueue(task, 5, { queue: '__proto__' })).result(), 5)
  assert.notEqual((await executor.get(info.id)).state, 'waiting')
  assert.equal((await executor.counts('constructor')).completed, 0)
})

test('limits of queues hold for those names alone', async t => {
  const limits = Object.fromEntries(names.map(name => [name, { concurrency: 1 }]))
  assert.equal(Object.keys(limits).length, names.length)
  const executor = open(t, { concurrency: 100, queues: limits })
  const running = new Map()
  let most = 0
  const task = defineTask({
    name: 'task',
    handler: async queue => {
      running.set(queue, (running.get(queue) ?? 0) + 1)
      most = Math.max(most, running.get(queue))
      await new Promise(setImmediate)
      running.set(queue, running.get(queue) - 1)
    },
  })
  const calls = names.flatMap(queue => [1, 2].map(() => executor.enqueue(task, queue, { queue })))
  await Promise.all((await Promise.all(calls)).map(handle => handle.result()))
  assert.equal(most, 1)
  assert.equal(running.size, names.length)
})

test('keys: each is held on its own, in each queue', async t => {
  const executor = open(t)
  await executor.pause()
  const task = defineTask({ name: 'task', handler: () => {} })
  const enqueue = (key, queue) => executor.enqueue(task, 1, { key, queue })
  const made = []
  for (const name of names) made.push(await enqueue(name, 'q'), await enqueue('k', name))
  assert.ok(made.every(handle => handle.created))
  assert.equal(new Set(made.map(handle => handle.id)).size, made.length)
  for (const name of names) assert.equal((await enqueue(name, 'q')).created, false)
  // Queue and key are two things: no way of gluing them together makes one of another.
  for (const [key, queue] of [
    ['b:c', 'a'],
    ['c', 'a:b'],
    ['b/c', 'a'],
    ['c', 'a/b'],
    ['a', 'a'],
    ['aa', 'b'],
  ]) {
    assert.equal((await enqueue(key, `${queue}!`)).created, true)
  }
})

test('ids: each is a task of its own', async t => {
  const executor = open(t)
  const task = defineTask({ name: 'task', handler: input => input })
  const handles = []
  for (const [at, id] of names.entries()) {
    const handle = await executor.enqueue(task, at, { id })
    assert.deepEqual([handle.id, handle.created], [id, true])
    handles.push(handle)
  }
  for (const [at, handle] of handles.entries()) {
    assert.equal(await handle.result(), at)
    const info = await executor.get(names[at])
    assert.deepEqual([info.id, info.output], [names[at], at])
    assert.equal((await executor.enqueue(task, at, { id: names[at] })).created, false)
  }
  const all = await executor.enqueue(task, 'last', { after: names.filter(name => name !== names[0]) })
  assert.equal(await all.result(), 'last')
})

test('groups, metadata and reasons come back as they were given', async t => {
  const executor = open(t)
  const task = defineTask({ name: 'task', handler: (_, ctx) => ctx.metadata })
  for (const name of names) {
    const metadata = Object.fromEntries([[name, name]])
    const handle = await executor.enqueue(task, 1, { group: name, metadata, delay: '1h' })
    assert.equal((await handle.status()).group, name)
    assert.equal((await collect(executor.list({ group: name }))).length, 1)
    await handle.promote()
    const seen = await handle.result()
    assert.deepEqual(Object.entries(seen), [[name, name]])
    const cancelled = await executor.enqueue(task, 1, { delay: '1h' })
    await cancelled.cancel(name)
    assert.ok((await rejection(cancelled.result())).message.endsWith(`: ${name}`))
  }
})

test('a bad name is refused wherever one is given, and leaves nothing behind', async t => {
  const executor = open(t)
  const task = defineTask({ name: 'task', handler: () => {} })
  const handle = await executor.enqueue(task, 1, { delay: '1h' })
  const places = {
    'a kind': name => defineTask({ name, handler: () => {} }),
    'execute by name': name => typeof name === 'string' && executor.execute(name),
    'enqueue by name': name => typeof name === 'string' && executor.enqueue(name),
    queue: queue => executor.enqueue(task, 1, { queue }),
    id: id => executor.enqueue(task, 1, { id }),
    key: key => executor.enqueue(task, 1, { key }),
    group: group => executor.enqueue(task, 1, { group }),
    after: id => executor.enqueue(task, 1, { after: [id] }),
    'queues of an executor': name => open(t, { queues: [name] }),
    'queue of an executor': queue => open(t, { queue }),
    pause: name => executor.pause(name),
    resume: name => executor.resume(name),
    counts: name => executor.counts(name),
    get: id => executor.get(id),
    'filter queue': queue => collect(executor.list({ queue })),
    'filter name': name => executor.cancelAll({ name }),
    'filter group': group => executor.retryAll({ group }),
    reason: reason => handle.cancel(reason),
  }
  for (const [place, give] of Object.entries(places)) {
    for (const name of bad) {
      if (place.endsWith('by name') && typeof name !== 'string') continue
      const error = await rejection((async () => give(name))())
      assert.equal(error.code, 'ERR_OPTION', `${place}: ${String(name).slice(0, 20)}`)
    }
  }
  assert.equal((await handle.status()).state, 'scheduled')
  assert.deepEqual(await executor.counts().then(({ waiting, completed }) => [waiting, completed]), [0, 0])
})
