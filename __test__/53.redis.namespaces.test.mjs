// Namespaces of one Redis server, and who has none.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TaskExecutor } from '../index.js'
import { startRedis } from './support/redis.mjs'

// There is no server for Windows.
const ON_UNIX = { skip: process.platform === 'win32' }

const who = name => ({ name: 'who', handler: input => `${name} for ${input}` })

test('a namespace is a name', () => {
  for (const namespace of ['', 'a\nb', 'x'.repeat(129), '\ud800', 7, null])
    assert.throws(() => new TaskExecutor({ namespace }), { code: 'ERR_OPTION', message: /"namespace"/ })
})

test('a file has no namespaces', () => {
  assert.throws(() => new TaskExecutor({ persistence: 'sqlite:tasks.db', namespace: 'mail' }), {
    code: 'ERR_OPTION',
    message: /namespace is for Redis only: a file has one user; got "mail" with "sqlite:tasks.db"/,
  })
})

test('in memory everybody is alone', async t => {
  const executor = new TaskExecutor({ namespace: 'mail', tasks: [who('memory')] })
  t.after(() => executor.close())
  assert.equal(await (await executor.enqueue('who', 'me')).result(), 'memory for me')
})

test('executors meet only in the same namespace', ON_UNIX, async t => {
  const persistence = await startRedis(t)
  const names = ['a', 'A', '{a}', 'a}:', '%61', 'a b', '\u00e9', 'e\u0301', undefined]
  const executors = names.map(namespace => {
    const tasks = [who(namespace ?? 'default')]
    return new TaskExecutor({ persistence, tasks, ...(namespace && { namespace }) })
  })
  t.after(() => Promise.all(executors.map(executor => executor.close())))
  await Promise.all(executors.map(executor => executor.start()))
  for (const [at, name] of names.entries()) {
    const handles = await Promise.all(Array.from({ length: 5 }, (_, n) => executors[at].enqueue('who', n)))
    const results = await Promise.all(handles.map(handle => handle.result()))
    assert.deepEqual(
      results,
      results.map((_, n) => `${name ?? 'default'} for ${n}`),
    )
    assert.equal((await executors[at].nodes()).length, 1)
  }
  const producer = new TaskExecutor({ persistence, namespace: 'default', queues: [] })
  t.after(() => producer.close())
  const handle = await producer.enqueue('who', 'one who names it')
  assert.equal(await handle.result(), 'default for one who names it')
})
