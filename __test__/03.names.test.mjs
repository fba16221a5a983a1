// Names of tasks, queues, groups, keys and ids: 1 to 128 bytes of UTF-8, no control characters. Nothing else is
// forbidden, and nothing is changed, so two different names never mean one thing.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { refusal } from './support/refusal.mjs'

const require = createRequire(import.meta.url)
const { checkName } = require('../lib/names.js')
const { checkDefinition } = require('../lib/definition.js')
const { enqueueOptions, executorOptions, taskFilter } = require('../lib/options.js')

const good = [
  'a',
  'email.send',
  ' ',
  '  spaces  ',
  '..',
  '/',
  'a/b',
  ':',
  '{}',
  '{x}',
  '*',
  "'; DROP TABLE",
  '"',
  ']]',
  '%s',
  '\\',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '\u00e9',
  'e\u0301',
  '\u{1f680}',
  '\u0645\u0647\u0645\u0629',
  '\u200b',
  '\u{10ffff}',
  'x'.repeat(128),
  '\u00e9'.repeat(64),
  '\u4efb'.repeat(42),
  '\u{1f680}'.repeat(32),
]

const bad = [
  ['', 'it is empty'],
  ['x'.repeat(129), 'more than 128 bytes'],
  ['x'.repeat(255), 'more than 128 bytes'],
  ['x'.repeat(256), 'more than 128 bytes'],
  ['x'.repeat(1 << 20), 'more than 128 bytes'],
  ['\u00e9'.repeat(65), 'it has 130 bytes'],
  ['\u4efb'.repeat(43), 'it has 129 bytes'],
  ['\u{1f680}'.repeat(33), 'it has 132 bytes'],
  ['\u0000', 'U+0000 at position 0'],
  ['a\u0000b', 'U+0000 at position 1'],
  ['a\nb', 'U+000A at position 1'],
  ['tab\t', 'U+0009 at position 3'],
  ['\u001b[31m', 'U+001B'],
  ['\u007f', 'U+007F'],
  ['\u0085', 'U+0085'],
  ['\u009f', 'U+009F'],
  ['ab\u2028', 'U+2028 at position 2'],
  ['\u2029', 'U+2029'],
  ['\ud800', 'surrogate'],
  ['\udc00', 'surrogate'],
  ['a\udfffb', 'surrogate'],
  ['\udc00\ud800', 'surrogate'],
]

const noText = [
  undefined,
  null,
  5,
  NaN,
  true,
  5n,
  Symbol('a'),
  [],
  ['a'],
  {},
  () => 'a',
  Object('a'),
  new Date(),
]

test('a good name comes back as it was given', () => {
  for (const name of good) assert.equal(checkName(name, 'queue'), name)
  assert.equal(new Set(good.map(name => checkName(name, 'queue'))).size, good.length)
})

test('a bad name is refused with the part of the rule it breaks', () => {
  for (const [name, why] of bad) {
    assert.throws(() => checkName(name, 'queue'), refusal('"queue"', '1 to 128 bytes', why))
  }
})

test('a name is text', () => {
  for (const value of noText)
    assert.throws(() => checkName(value, 'key'), refusal('"key"', 'it is not a string'))
})

test('the error can be printed: short, and without control characters', () => {
  for (const [name] of bad) {
    const { message } = capture(() => checkName(name, 'queue'))
    assert.ok(message.length < 300)
    assert.ok(message.isWellFormed())
    assert.doesNotMatch(message, /[\0-\x1f\x7f-\x9f\u2028\u2029]/)
  }
})

function capture(run) {
  try {
    run()
  } catch (error) {
    return error
  }
  return assert.fail('nothing was thrown')
}

test('every UTF-16 unit is judged as the rule says', () => {
  for (let unit = 0; unit <= 0xffff; unit += 1) {
    const control = unit < 0x20 || (unit >= 0x7f && unit <= 0x9f) || unit === 0x2028 || unit === 0x2029
    const name = String.fromCharCode(unit)
    if (control || (unit >= 0xd800 && unit <= 0xdfff))
      assert.throws(() => checkName(name, 'queue'), refusal())
    else assert.equal(checkName(name, 'queue'), name)
  }
})

test('the rule holds wherever a name is given', () => {
  const places = [
    name => checkDefinition({ name }).name,
    name => checkDefinition({ name: 'a', queue: name }).queue,
    name => executorOptions({ queue: name }).queue,
    name => executorOptions({ queues: [name] }).queues[0].name,
    name => executorOptions({ queues: JSON.parse(`{${JSON.stringify(name)}:{}}`) }).queues[0].name,
    name => enqueueOptions({ queue: name }).queue,
    name => enqueueOptions({ id: name }).id,
    name => enqueueOptions({ key: name }).key,
    name => enqueueOptions({ group: name }).group,
    name => enqueueOptions({ after: [name] }).after[0],
    name => enqueueOptions({ after: [{ id: name }] }).after[0],
    name => taskFilter({ queue: name }).queue,
    name => taskFilter({ name }).name,
    name => taskFilter({ group: name }).group,
  ]
  for (const place of places) {
    for (const name of good) assert.equal(place(name), name)
    for (const [name, why] of bad) assert.throws(() => place(name), refusal(why))
  }
})
