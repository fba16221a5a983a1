// The short examples: each runs by itself and prints exactly this.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const folder = new URL('../examples/', import.meta.url)

const PRINTED = {
  'queue.mjs': [
    'order: login, mail 1, mail 2, report',
    'flaky: page, at attempt 3 of 3',
    'broken: disk full at attempt 3',
    'wrong: no such user, 1 call',
  ],
  'definitions.mjs': [
    'failed: image.resize, will retry: true',
    'result: flaky.png at 640 px',
    'status: completed',
    'by name: hello, Ada',
    'batch: a.png at 64 px, b.png at 64 px, c.png at 64 px',
    'same task: true, created: true, false',
    'later: hello, Grace',
    'completed: 6, waiting: 0',
  ],
  'schedule.mjs': [
    'on the hour: true',
    'now: /tmp is clean, for Hourly Cleanup',
    'paused: true null',
    'apart: 100 100',
    'daily at 2:30: 03-07T07:30, 03-08T07:00, 03-09T06:30',
    'ERR_SCHEDULE hour field of the cron expression, column 3: 25 is outside of 0 to 23',
  ],
  'cancel.mjs': [
    'timeout: ERR_TASK_TIMEOUT',
    'signal: user left',
    'loop: ERR_TASK_TIMEOUT',
    'cancelled: true',
    'state: cancelled',
    'result: ERR_TASK_CANCELLED',
    'close: finished',
    'closed: ERR_EXECUTOR_CLOSED',
  ],
}

test('every example is listed here', () => {
  const found = readdirSync(folder).filter(name => name.endsWith('.mjs'))
  assert.deepEqual(found.sort(), Object.keys(PRINTED).sort())
})

for (const [name, lines] of Object.entries(PRINTED)) {
  test(`examples/${name}`, () => {
    const path = fileURLToPath(new URL(name, folder))
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [path], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    assert.equal(stderr, '')
    assert.deepEqual(stdout.split('\n'), [...lines, ''])
    assert.deepEqual([status, signal], [0, null])
  })
}
