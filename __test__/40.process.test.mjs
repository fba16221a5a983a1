// When a process lives and when it ends. An idle executor never holds it, pending work does, and nothing that is in
// flight changes how it ends.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './support/child.mjs'

// A program that is held by mistake is held for an hour, and killed long before.
const ends = (name, expected) => async () => {
  const { code, signal, lines, stderr } = await run('life.mjs', [name])
  assert.deepEqual({ signal, code, lines }, { signal: null, code: 0, lines: [], ...expected }, stderr)
}

test('an idle executor lets the process end', ends('idle', { lines: ['idle'] }))
test('neither an old timeout nor a hung closure holds it', ends('idleWithTimersBehind', { lines: ['ran'] }))
test('a retry backoff holds it', ends('backoff', { lines: ['ran 3', 'done'] }))
test('a running timeout holds it', ends('timeout', { lines: ['ERR_TASK_TIMEOUT'] }))
test('a delayed task holds it', ends('delayed', { lines: ['ran'] }))
test('an enqueue that is not acknowledged holds it', ends('acknowledgement', { lines: ['created true'] }))
test('a question that is not answered holds it', ends('request', { lines: ['found undefined'] }))
test('a task whose handler comes later holds it once it can run', ends('lateHandler', { lines: ['ran'] }))
test('resuming an executor holds it until its tasks have run', ends('resumed', { lines: ['ran'] }))
test('resuming a queue holds it until its tasks have run', ends('resumedQueue', { lines: ['ran'] }))
test('a paused executor does not hold it', ends('paused', { lines: ['held'] }))
test('unref lets it go with work pending', ends('unref'))
test('ref holds it again', ends('refAgain', { lines: ['ran'] }))
test('close holds it until it has closed', ends('closeHolds', { lines: ['ERR_EXECUTOR_CLOSED', 'closed'] }))
test('process.exit keeps its code with closures in flight', ends('exitLocal', { code: 7 }))
test('process.exit keeps its code with stored tasks in flight', ends('exitStored', { code: 8 }))
test('process.exit inside a handler keeps its code', ends('exitAtOnce', { code: 9 }))
test(
  'a listener that throws is an uncaught exception, and the engine goes on',
  ends('throwsInListener', { lines: ['caught listener', 'still works'] }),
)

test('a rejection that nobody handles ends the process as that of any promise', async () => {
  const { code, signal, lines, stderr } = await run('life.mjs', ['unhandled'])
  assert.deepEqual({ code, signal, lines }, { code: 1, signal: null, lines: [] })
  assert.match(stderr, /RangeError: nobody listens/)
})

test('the failure of a stored task is unhandled only where somebody has asked for the result', async () => {
  const { code, signal, lines, stderr } = await run('life.mjs', ['unhandledStored'])
  assert.deepEqual({ code, signal, lines }, { code: 1, signal: null, lines: ['failed'] })
  assert.match(stderr, /only stored/)
})

test('top-level await of a closure that never settles ends as with a bare promise', async () => {
  const bare = await run('top-level-await.mjs', ['bare'])
  const closure = await run('top-level-await.mjs')
  assert.equal(bare.code, 13)
  assert.deepEqual([closure.code, closure.signal, closure.lines], [bare.code, bare.signal, bare.lines])
})
