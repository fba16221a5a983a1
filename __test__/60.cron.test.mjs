// The dialect of cron expressions as users meet it: the cases of the sample, refusals, and the pure functions.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { TaskScheduler } from '../index.js'

const sample = JSON.parse(readFileSync(new URL('../tests/cron/sample.json', import.meta.url), 'utf8'))
const isos = dates => dates.map(date => date.toISOString().replace('.000Z', 'Z'))

for (const kind of ['valid', 'dst']) {
  test(`the cases of the sample: ${kind}`, () => {
    assert.ok(sample[kind].length >= 8)
    for (const { expr, tz, from, next, prev = [] } of sample[kind]) {
      const when = { cron: expr, timeZone: tz }
      const start = new Date(from)
      assert.deepEqual(isos(TaskScheduler.preview(when, 5, start)), next, expr)
      let at = start
      for (const slot of prev) {
        at = TaskScheduler.previous(when, at)
        assert.deepEqual(isos([at]), [slot], `${expr}, before`)
      }
      assert.deepEqual(TaskScheduler.next(when, start), next.length === 0 ? null : new Date(next[0]), expr)
    }
  })
}

test('the cases of the sample: invalid', () => {
  assert.ok(sample.invalid.length >= 8)
  for (const { expr } of sample.invalid) {
    assert.throws(() => TaskScheduler.preview(expr), { name: 'TaskError', code: 'ERR_SCHEDULE' }, expr)
  }
})

test('what is wrong with an expression is said with its field and its column', () => {
  const said = when => {
    try {
      TaskScheduler.preview(when)
    } catch (error) {
      return `${error.code} ${error.message}`
    }
    return 'nothing'
  }
  for (const [expression, start] of [
    ['61 * * * *', 'minute field of the cron expression, column 1: '],
    ['0 24 * * *', 'hour field of the cron expression, column 3: '],
    ['0 0 1,,2 * *', 'day-of-month field of the cron expression, column '],
    ['0 0 MON * *', 'day-of-month field of the cron expression, column 5: '],
    ['0 0 30 2 *', 'the cron expression can never fire: "0 0 30 2 *" in UTC'],
    ['', 'the cron expression is empty'],
    ['* * *', 'the cron expression has 3 fields'],
    ['@hourlyy', '"@hourlyy" at column 1 is not a cron expression'],
    ['* * * * \u00fc', 'the cron expression has a character at column 9 that is not ASCII'],
    ['* * * * \ud800', 'the cron expression has a character at column 9 that is not ASCII'],
    ['*'.repeat(257), 'the cron expression has 257 bytes, at most 256 are allowed'],
    [{ cron: '@daily', timeZone: 'Mars/Olympus' }, '"Mars/Olympus" is not a time zone'],
  ]) {
    assert.ok(said(expression).startsWith(`ERR_SCHEDULE ${start}`), said(expression))
  }
  for (const [when, text] of [
    [{}, 'a schedule has either "cron" or "every"; neither is given'],
    [{ cron: '@daily', every: 1000 }, 'a schedule has either "cron" or "every"; both are given'],
    [{ every: 9 }, '"every" must be a duration from 10 ms'],
    [{ every: 1000, timeZone: 'UTC' }, '"timeZone" is the zone of "cron"'],
    [{ cron: '@daily', catchUp: 'all' }, '"catchUp" must be "none" or "latest"'],
    [{ cron: '@daily', overlap: 'wait' }, '"overlap" must be one of "skip", "queue", "allow", "cancel"'],
    [{ cron: '@daily', limit: 0 }, '"limit" must be a whole number from 1'],
    [{ cron: '@daily', startAt: '2030-01-01' }, '"startAt" must be a valid Date'],
    [{ cron: '@daily', key: 'k'.repeat(101) }, '"key" must have at most 100 bytes; got 101'],
    [{ crom: '@daily' }, '"crom" is not an option of a schedule; did you mean "cron"?'],
    [5, '"schedule" must be a cron expression or an object of options; got 5'],
    [null, '"schedule" must be a cron expression or an object of options; got null'],
  ]) {
    assert.ok(said(when).startsWith(`ERR_OPTION ${text}`), said(when))
  }
})

test('text that is made to take long is answered at once', () => {
  const hostile = [
    `${'0-59,'.repeat(50)}0 * * * *`,
    '0 0 29 2 MON#5 ',
    '59 59 23 31 12 ? 2199',
    '0 0 0 29 2 * 1970-2199/4',
  ]
  const began = performance.now()
  for (let round = 0; round < 100; round += 1) {
    for (const expression of hostile) {
      try {
        TaskScheduler.preview(expression, 5)
      } catch (error) {
        assert.equal(error.code, 'ERR_SCHEDULE')
      }
    }
  }
  // A few hundred answers, each of which some implementations take 20 ms for.
  assert.ok(performance.now() - began < 4_000)
})

test('a preview is pure, bounded, and begins after its start', () => {
  const from = new Date('2026-01-01T00:00:00Z')
  assert.deepEqual(isos(TaskScheduler.preview('0 * * * *', 2, from)), [
    '2026-01-01T01:00:00Z',
    '2026-01-01T02:00:00Z',
  ])
  assert.equal(TaskScheduler.preview('* * * * * *').length, 10)
  assert.equal(TaskScheduler.preview('* * * * * *', 1_000, from).at(-1).getTime() - from.getTime(), 1_000_000)
  const bounded = { cron: '0 * * * *', startAt: new Date('2026-01-01T05:00:00Z'), limit: 2 }
  assert.deepEqual(isos(TaskScheduler.preview(bounded, 9, from)), [
    '2026-01-01T05:00:00Z',
    '2026-01-01T06:00:00Z',
  ])
  const ended = { cron: '0 * * * *', endAt: new Date('2026-01-01T01:00:00Z') }
  assert.equal(TaskScheduler.preview(ended, 9, from).length, 1)
  assert.equal(TaskScheduler.next(ended, ended.endAt), null)
  assert.equal(TaskScheduler.previous({ cron: '0 0 0 1 1 * 2030' }, from), null)
  const every = { every: '90m', startAt: from }
  assert.deepEqual(isos(TaskScheduler.preview(every, 2, from)), [
    '2026-01-01T01:30:00Z',
    '2026-01-01T03:00:00Z',
  ])
  for (const count of [0, 1.5, -1, 100_001, '5']) {
    assert.throws(() => TaskScheduler.preview('@daily', count), { code: 'ERR_OPTION' })
  }
  assert.throws(() => TaskScheduler.preview('@daily', 1, 'now'), { code: 'ERR_OPTION' })
})

test('the version of the time zones is a year and a letter', () => {
  assert.match(TaskScheduler.timeZoneData, /^20\d\d[a-z]$/)
})
