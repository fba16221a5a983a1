// The declarations say the same as the code: each option, each default, each error code.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'

const require = createRequire(import.meta.url)
const { checkDefinition } = require('../lib/definition.js')
const { toMillis } = require('../lib/duration.js')
const { CODES, TaskError } = require('../lib/errors.js')
const options = require('../lib/options.js')
const { scheduleOptions } = require('../lib/options/schedule.js')
const { RetryPolicy } = require('../lib/retry.js')

const { DEFAULTS, closeOptions, enqueueOptions, executorOptions, resultOptions, runOptions, taskFilter } =
  options

const types = ['index', 'lib/options', 'lib/retry', 'lib/errors', 'lib/scheduler']
  .map(name => readFileSync(new URL(`../${name}.d.ts`, import.meta.url), 'utf8'))
  .join('\n')

// The members of an interface, each with its doc comment; Biome's layout of the file is what makes this simple.
function membersOf(name) {
  const [, base, body] = new RegExp(
    `export interface ${name}\\b[^{]*?(?:extends (\\w+) )?\\{\\n(.*?)\\n\\}`,
    's',
  ).exec(types)
  const own = [...body.matchAll(/^ {2}\/\*\*(.*?)\*\/\n {2}(?:readonly )?(\w+)\??:/gms)]
  assert.equal(
    own.length,
    body.match(/^ {2}(?:readonly )?\w+\??:/gm)?.length ?? 0,
    `${name} has an undocumented member`,
  )
  const members = new Map(
    own.map(([, comment, member]) => [member, /@default (.*?)$/m.exec(comment)?.[1].trim()]),
  )
  return base === undefined ? members : new Map([...members, ...membersOf(base)])
}

// The names that the code knows are those it lists when it is given one that resembles none.
function knownTo(read) {
  try {
    read({ qqqqqqqqqq: 1 })
  } catch (error) {
    return /the options are (.*)$/.exec(error.message)[1].split(', ')
  }
  return assert.fail('accepted an unknown option')
}

const interfaces = {
  TaskDefinition: given => checkDefinition({ name: 'a', ...given }),
  ConcurrencyLimits: given => checkDefinition({ name: 'a', concurrency: given }),
  ExecutorOptions: executorOptions,
  QueueOptions: given => executorOptions({ queues: { a: given } }),
  RetentionLimits: given => executorOptions({ retention: { failed: given } }),
  RunOptions: runOptions,
  EnqueueOptions: enqueueOptions,
  DebounceOptions: given => enqueueOptions({ key: 'k', debounce: { wait: 7, ...given } }),
  TaskFilter: taskFilter,
  CloseOptions: closeOptions,
  ResultOptions: resultOptions,
  RetryOptions: given => RetryPolicy.from({ attempts: 2, ...given }),
  ScheduleOptions: scheduleOptions,
  TaskErrorOptions: given => new TaskError('a', given),
}

test('every option is documented, and every documented option exists', () => {
  for (const [name, read] of Object.entries(interfaces)) {
    assert.deepEqual(knownTo(read).sort(), [...membersOf(name).keys()].sort(), name)
  }
  const declared = [...types.matchAll(/export interface (\w+(?:Options|Limits|Filter|Definition))\b/g)].map(
    ([, name]) => name,
  )
  assert.deepEqual(declared.sort(), Object.keys(interfaces).sort())
})

// `@default` is an expression; durations are compared in ms.
function evaluate(text, scope = {}) {
  const names = Object.keys(scope)
  const value = new Function(...names, `return (${text})`)(...Object.values(scope))
  return typeof value === 'string' && /^\d+[a-z]+$/.test(value) ? toMillis(value, 'a default') : value
}

test('the documented defaults of an executor are those in force', () => {
  const documented = [...membersOf('ExecutorOptions')].filter(([, text]) => text !== undefined)
  assert.deepEqual(documented.map(([name]) => name).sort(), Object.keys(DEFAULTS).sort())
  for (const concurrency of [1, 8, 9, 100]) {
    const scope = { availableParallelism, concurrency }
    const actual = executorOptions({ concurrency })
    for (const [name, text] of documented) {
      if (name !== 'concurrency') assert.deepEqual(actual[name], evaluate(text, scope), name)
    }
  }
  assert.equal(
    executorOptions().concurrency,
    evaluate(membersOf('ExecutorOptions').get('concurrency'), { availableParallelism }),
  )
  assert.deepEqual(executorOptions({}), executorOptions())
})

test('the other documented defaults are those in force', () => {
  const { wire } = RetryPolicy.from({ attempts: 2 })
  for (const [name, text] of membersOf('RetryOptions'))
    if (text) assert.equal(wire[name], evaluate(text), name)
  const wait = 7
  const { debounce } = enqueueOptions({ key: 'k', debounce: { wait } })
  assert.equal(debounce.maxWait, evaluate(membersOf('DebounceOptions').get('maxWait'), { wait }))
  assert.equal(new TaskError('a').code, evaluate(membersOf('TaskErrorOptions').get('code')))
  for (const name of ['onConflict', 'onBlockerFailure']) {
    const word = evaluate(membersOf('EnqueueOptions').get(name))
    assert.equal(enqueueOptions({ key: 'k', [name]: word })[name], word)
  }
})

test('the documented error codes are those that exist', () => {
  const [, union] = /export type TaskErrorCode =\n(.*?)\n\n/s.exec(types)
  const documented = [...union.matchAll(/^ {2}\/\*\* .+ \*\/\n {2}\| '(\w+)'$/gm)].map(([, code]) => code)
  assert.deepEqual(documented.sort(), [...CODES.keys()].sort())
})

test('the documentation of retryable names the codes for which it is true', () => {
  const [, comment] = /\/\*\*([^/]*?)\*\/\n {2}readonly retryable: boolean/s.exec(types)
  const documented = [...comment.matchAll(/`(ERR_\w+)`/g)].map(([, code]) => code)
  assert.deepEqual(documented.sort(), [...CODES.keys()].filter(code => CODES.get(code)).sort())
})

test('everything declared has a comment', () => {
  const lines = types.split('\n')
  const declaration =
    /^(export (const|function|type \w|interface|class)| {2}(static |readonly )*[\w[\].]+(<.*)?[(?:])/
  const undocumented = lines.filter((line, at) => {
    // A line that ends in a comma is a parameter, and constructors are described by their class.
    if (!declaration.test(line) || line.endsWith(',') || /^ {2}(private )?constructor/.test(line))
      return false
    return !lines[at - 1].endsWith('*/')
  })
  assert.deepEqual(undocumented, [])
})
