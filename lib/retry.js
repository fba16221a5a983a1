'use strict'

// Owns what users say about retries: how many runs a task has, and how long it waits between them. The delays
// themselves are computed by the engine from `wire`; only `retryIf` and `next` are called in JavaScript.
// Invariants: a policy never changes once it is made; `attempts` counts every run, the first included; no delay that
// a user spelled out is cut, so `max` is never below `base`.

const {
  callable,
  decimal,
  duration,
  listOf,
  nested,
  oneOf,
  readOptions,
  refuse,
  whole,
} = require('./options/check')
const { optionError } = require('./errors')

const DEFAULTS = Object.freeze({ base: 1_000, factor: 2, max: 3_600_000, jitter: 'equal' })

const attempts = whole(1, 2 ** 31 - 1)
const delay = duration(0)
const delays = listOf(delay, 'durations', 0, 1_000)

const SHAPE = new Map([
  ['max', delay],
  ['maxElapsed', duration(1)],
  ['factor', decimal(1, 1_000)],
  ['jitter', oneOf(['none', 'full', 'equal'])],
  ['retryIf', callable],
])
const readNested = nested(new Map([['attempts', attempts], ['base', delay], ...SHAPE]))

const KEY = Symbol('RetryPolicy')

/**
 * How often a task is run, and how long it waits in between. `attempts` counts every run: 3 means at most three.
 * Jitter is 'equal' where tasks that failed together would come back together (exponential, linear), and 'none'
 * where the user spelled the delays out (fixed, list): there they are taken at their word.
 */
class RetryPolicy {
  #wire
  #retryIf
  #next

  constructor(key, wire, retryIf = undefined, next = undefined) {
    if (key !== KEY) {
      throw optionError('a RetryPolicy is made by its functions, such as RetryPolicy.exponentialBackoff()')
    }
    this.#wire = Object.freeze(wire)
    this.#retryIf = retryIf
    this.#next = next
    Object.freeze(this)
  }

  /** base, base * factor, base * factor^2, ... */
  static exponentialBackoff(count, base, options = undefined) {
    const call = 'RetryPolicy.exponentialBackoff()'
    const given = readOptions(options, SHAPE, call)
    return exponential({ ...given, attempts: attempts(count, 'attempts'), base: delay(base, 'base') }, '')
  }

  /** The same delay each time. */
  static fixed(count, pause) {
    return policy({ attempts: attempts(count, 'attempts'), backoff: 'fixed', base: delay(pause, 'delay') })
  }

  /** base, 2 * base, 3 * base, ... */
  static linear(count, step) {
    const base = delay(step, 'base')
    const { jitter } = DEFAULTS
    return policy({
      attempts: attempts(count, 'attempts'),
      backoff: 'linear',
      base,
      max: longest(base),
      jitter,
    })
  }

  /** One delay after the other: a run more than there are delays. */
  static list(pauses) {
    const wanted = Object.freeze(delays(pauses, 'delays'))
    return policy({
      attempts: wanted.length + 1,
      backoff: 'list',
      max: Math.max(0, ...wanted),
      delays: wanted,
    })
  }

  /** One run. */
  static none() {
    return NONE
  }

  /** `next(error, attempt)` gives the delay after each failure, or false to give up. */
  static custom(count, next) {
    const wire = { attempts: attempts(count, 'attempts'), backoff: 'fixed' }
    return policy(wire, undefined, callable(next, 'next'))
  }

  /** A policy as it is, or one from plain options; `option` names it in errors. Internal. */
  static from(value, option = 'retry', call = 'a retry policy') {
    if (typeof value === 'object' && value !== null && #wire in value) return value
    if (typeof value !== 'object' || value === null) {
      throw refuse(option, 'a RetryPolicy or its options, such as { attempts: 3 }', value)
    }
    const given = readNested(value, option, call)
    if (given.attempts === undefined) attempts(undefined, `${option}.attempts`)
    // A base that nobody wrote must not contradict a `max` that somebody did.
    const base = Math.min(DEFAULTS.base, given.max ?? DEFAULTS.base)
    return exponential({ base, ...given }, `${option}.`)
  }

  /** Runs in all, the first included. */
  get attempts() {
    return this.#wire.attempts
  }

  /** What the engine gets. Internal. */
  get wire() {
    return this.#wire
  }

  /** `(error) => boolean`: whether this failure is worth another run. Internal. */
  get retryIf() {
    return this.#retryIf
  }

  /** `(error, attempt) => delay | false`. Internal. */
  get next() {
    return this.#next
  }
}

function exponential(options, path) {
  const { retryIf, ...rest } = { __proto__: null, ...options }
  const given = { __proto__: null, ...rest }
  const { base, max = longest(base), factor = DEFAULTS.factor, jitter = DEFAULTS.jitter } = given
  if (max < base) throw refuse(`${path}max`, `at least "${path}base", which is ${base} ms`, max)
  return policy({ ...given, backoff: 'exponential', base, factor, max, jitter }, retryIf)
}

function longest(base) {
  return Math.max(DEFAULTS.max, base)
}

function policy(options, retryIf = undefined, next = undefined) {
  const given = { __proto__: null, ...options }
  const { attempts: count, backoff, base = 0, factor = 1, max = base, jitter = 'none' } = given
  const wire = { attempts: count, backoff, base, factor, max, jitter }
  if (given.delays !== undefined) wire.delays = given.delays
  if (given.maxElapsed !== undefined) wire.maxElapsed = given.maxElapsed
  return new RetryPolicy(KEY, wire, retryIf, next)
}

const NONE = RetryPolicy.fixed(1, 0)

module.exports = { RETRY_DEFAULTS: DEFAULTS, RetryPolicy }
