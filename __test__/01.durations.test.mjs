// Durations: a number is milliseconds, text has a unit. Fractions are rounded up, nothing is guessed.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { refusal } from './support/refusal.mjs'

const require = createRequire(import.meta.url)
const { LONGEST, toMillis } = require('../lib/duration.js')

test('a number is milliseconds, and text has one of five units', () => {
  const table = [
    [0, 0],
    [250, 250],
    ['0s', 0],
    ['250ms', 250],
    ['30s', 30_000],
    ['2m', 120_000],
    ['1.5h', 5_400_000],
    ['.5d', 43_200_000],
    ['5.s', 5_000],
    ['007ms', 7],
    ['1e3ms', 1_000],
    ['25e-1s', 2_500],
    [LONGEST, LONGEST],
    ['36525d', LONGEST],
  ]
  for (const [given, millis] of table) assert.equal(toMillis(given, 'wait'), millis, String(given))
})

test('a fraction of a millisecond counts as one more', () => {
  assert.equal(toMillis(0.5, 'wait'), 1)
  assert.equal(toMillis(2.000001, 'wait'), 3)
  assert.equal(toMillis('0.5ms', 'wait'), 1)
  assert.equal(toMillis('1.0001s', 'wait'), 1_001)
  assert.equal(toMillis('1e-9d', 'wait'), 1)
  assert.equal(toMillis(Number.MIN_VALUE, 'wait'), 1)
})

test('text means its digits, not the nearest binary fraction', () => {
  // 0.07 * 1000 and 1.1 * 3600000 are a little more than they should be in floating point.
  assert.equal(toMillis('0.07s', 'wait'), 70)
  assert.equal(toMillis('1.1h', 'wait'), 3_960_000)
  for (let hundredths = 0; hundredths <= 20_000; hundredths += 1) {
    assert.equal(toMillis(`${(hundredths / 100).toFixed(2)}s`, 'wait'), hundredths * 10)
  }
})

test('every number means the same with and without its unit', () => {
  let state = 20_260_115
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  for (let round = 0; round < 20_000; round += 1) {
    const millis = random() * 10 ** Math.floor(random() * 22 - 9)
    assert.equal(toMillis(`${millis}ms`, 'wait'), toMillis(millis, 'wait'), `${millis} in round ${round}`)
    assert.equal(toMillis(millis, 'wait'), Math.ceil(millis))
  }
})

test('zero has no sign', () => {
  assert.ok(Object.is(toMillis(-0, 'wait'), 0))
  assert.throws(() => toMillis(-0.5, 'wait'), refusal('-0.5'))
  assert.throws(() => toMillis(-Number.MIN_VALUE, 'wait'), refusal('wait'))
})

test('what is no duration is refused with the name of the option, what was given and what is allowed', () => {
  const hostile = {
    valueOf: () => assert.fail('user code was run'),
    toString: () => assert.fail('user code was run'),
  }
  const values = [
    NaN,
    -1,
    Infinity,
    -Infinity,
    2 ** 53,
    '',
    ' ',
    '5',
    's',
    '-1s',
    '+1s',
    '1 s',
    '1S',
    '1w',
    '1us',
    '0x10ms',
  ]
  values.push(
    '1.2.3s',
    '1e9999s',
    '.s',
    '.',
    '1s\n',
    '1e400ms',
    `${'9'.repeat(63)}s`,
    'x'.repeat(1_000_000),
    null,
    undefined,
  )
  values.push(true, 5n, Symbol('5'), [], [5], {}, () => 5, new Date(), hostile, Object(5))
  for (const value of values) {
    assert.throws(() => toMillis(value, 'gracePeriod'), refusal('"gracePeriod"', 'ms, s, m, h, d', 'got '))
  }
})

test('the range is part of the rule', () => {
  const range = { min: 10, max: 20 }
  assert.equal(toMillis(10, 'wait', range), 10)
  assert.equal(toMillis('20ms', 'wait', range), 20)
  assert.equal(toMillis(9.5, 'wait', range), 10)
  for (const value of [9, 20.5, 21, '1s']) {
    assert.throws(() => toMillis(value, 'wait', range), refusal('from 10 ms to 20 ms'))
  }
})

test('a near miss gets a suggestion', () => {
  const table = [
    ['5 minutes', '"5m"'],
    ['5 Min', '"5m"'],
    ['30 sec', '"30s"'],
    ['1.5 hours', '"1.5h"'],
    ['2 days', '"2d"'],
    ['100 milliseconds', '"100ms"'],
    ['250', '250 or "250ms"'],
  ]
  for (const [given, meant] of table) {
    assert.throws(() => toMillis(given, 'wait'), refusal(`did you mean ${meant}?`))
  }
  for (const given of ['5 months', '3 weeks', 'soon', '']) {
    assert.throws(
      () => toMillis(given, 'wait'),
      error => !error.message.includes('did you mean'),
    )
  }
})
