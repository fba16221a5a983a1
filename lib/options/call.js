'use strict'

// Owns the options of the calls on a running executor and on its tasks.
// Invariants: `runOptions` allocates nothing but its result, since it is called for every closure; the others read
// by table. Only what was given comes out.

const check = require('./check')
const { describe, optionError } = require('../errors')
const { checkName } = require('../names')
const { RetryPolicy } = require('../retry')

const EMPTY = Object.freeze({ __proto__: null })
const STATES = ['scheduled', 'waiting', 'blocked', 'running', 'completed', 'failed', 'cancelled']
const RUN_OPTIONS = ['priority', 'timeout', 'retry', 'signal']

const state = check.oneOf(STATES)
const states = check.listOf(state, 'states', 1, 100)
const words = check.text(1, 1_024)

const SELECTION = [
  [
    'state',
    (value, option, call) =>
      typeof value === 'string' ? [state(value, option)] : statesOf(value, option, call),
  ],
  ['queue', checkName],
  ['name', checkName],
  ['search', words],
  ['createdBefore', check.date],
  ['createdAfter', check.date],
  ['group', checkName],
  ['flow', checkName],
]
const CHANGED = new Map(SELECTION)
const READ = new Map([...SELECTION, ['limit', check.whole(1, check.I32 - 1)], ['cursor', checkName]])
const CLOSE = new Map([['gracePeriod', check.duration(0)]])
const RESULT = new Map([['signal', check.signal]])

function statesOf(value, option, call) {
  return [...new Set(states(value, option, call))]
}

/** The options of `execute` and `executeAll`. */
function runOptions(value, call = 'execute()') {
  if (value === undefined) return EMPTY
  try {
    check.requirePlain(value, call)
    return readRun(value, call)
  } catch (error) {
    throw check.asOptionError(error, call)
  }
}

function readRun(value, call) {
  const result = { __proto__: null }
  for (const name in value) {
    // What somebody put on Object.prototype is nobody's option.
    if (!Object.hasOwn(value, name)) continue
    const given = value[name]
    switch (name) {
      case 'priority':
        if (given !== undefined) result.priority = check.priority(given, name)
        break
      case 'timeout':
        if (given !== undefined) result.timeout = check.timeout(given, name)
        break
      case 'retry':
        if (given !== undefined) result.retry = RetryPolicy.from(given, name, call)
        break
      case 'signal':
        if (given !== undefined) result.signal = check.signal(given, name)
        break
      default:
        throw check.unknownOption(name, RUN_OPTIONS, call)
    }
  }
  return result
}

/**
 * Which tasks are meant; `state` comes out as an array. A call that changes tasks passes `changes`: it has to be given
 * a filter, so that a variable that happens to be undefined does not stand for all of them, and one without a limit.
 */
function taskFilter(value, call = 'list()', changes = false) {
  if (value === undefined && changes) throw optionError(`${call} needs a filter; {} stands for every task`)
  return check.readOptions(value, changes ? CHANGED : READ, call)
}

/** The options of `close`. */
function closeOptions(value) {
  return check.readOptions(value, CLOSE, 'close()')
}

/** The options of `result` and of `events`. */
function resultOptions(value, call = 'result()') {
  return check.readOptions(value, RESULT, call)
}

/** What `executeAll` is given, as an array. */
function closures(tasks) {
  if (typeof tasks?.[Symbol.iterator] !== 'function') {
    throw optionError(`executeAll() takes an iterable of functions; got ${describe(tasks)}`)
  }
  const all = Array.from(tasks)
  const at = all.findIndex(task => typeof task !== 'function')
  if (at !== -1) throw optionError(`executeAll() takes functions; number ${at} is ${describe(all[at])}`)
  return all
}

module.exports = { closeOptions, closures, resultOptions, runOptions, taskFilter }
