'use strict'

// Owns the public circuit breaker: one circuit, wherever the object is used in this process, by executors and by any
// code run through `execute`.
// Invariants: every permit goes back once, with a verdict; the state is that of the engine, which decides alone.

const binding = require('./binding')
const check = require('./options/check')
const { checkName } = require('./names')
const { TaskError, describe, describeFailure, isTaskError } = require('./errors')

const CALL = 'CircuitBreaker()'
const POLICY = [
  ['window', check.whole(1, 1_000)],
  ['minCalls', check.whole(1, 1_000)],
  ['failureRate', check.decimal(0.001, 1)],
  ['slowCall', check.duration(1)],
  ['openFor', check.duration(1)],
  ['maxOpenFor', check.duration(1)],
  ['probes', check.whole(1, 1_000)],
]
const SHAPE = new Map([
  ...POLICY,
  ['whenOpen', check.oneOf(['wait', 'fail'])],
  ['shared', check.flag],
  ['name', checkName],
  ['isFailure', check.callable],
])
const DEFAULTS = Object.freeze({ window: 20, minCalls: 10, openFor: 30_000, maxOpenFor: 300_000 })

const SUCCEEDED = 0
const FAILED = 1
const UNKNOWN = 2
/** They are about limits or the end, and not about what was called. */
const NEUTRAL = new Set(['ERR_RATE_LIMITED', 'ERR_CIRCUIT_OPEN', 'ERR_TASK_CANCELLED', 'ERR_EXECUTOR_CLOSED'])

/** The number by which an executor names a breaker to the engine. */
let numberOf

class CircuitBreaker {
  #native
  #options
  // Calls of this turn of the closed breaker that have succeeded, and of which the engine has yet to hear: it does
  // before anything else of this object.
  #turn = -1
  #succeeded = 0

  static {
    numberOf = breaker => breaker.#native.number
  }

  constructor(options = undefined) {
    this.#options = consistent(check.readOptions(options, SHAPE, CALL))
    this.#native = binding.breaker(JSON.stringify(wireOf(this.#options)))
  }

  /** A breaker as it is, or one from plain options; `option` names it in errors. Internal. */
  static from(value, option = 'circuitBreaker', call = 'a circuit breaker') {
    if (typeof value === 'object' && value !== null && #native in value) return value
    if (typeof value !== 'object' || value === null) {
      throw check.refuse(option, 'a CircuitBreaker or its options, such as { openFor: "10s" }', value)
    }
    return new CircuitBreaker({ ...check.readOptions(value, SHAPE, call, `${option}.`) })
  }

  get state() {
    this.#pass()
    return this.#native.word()
  }

  open(duration = undefined) {
    this.#native.open(duration === undefined ? undefined : check.duration(1)(duration, 'duration'))
  }

  close() {
    this.#native.close()
  }

  execute(run) {
    if (typeof run !== 'function') {
      return Promise.reject(check.refuse('run', 'a function', run))
    }
    const turn = this.#pass()
    if (turn >= 0 && this.#options.slowCall === undefined) return this.#runClosed(run, turn)
    const permit = this.#native.enter()
    return permit >= 0 ? this.#run(run, permit) : Promise.reject(this.#refusal(permit))
  }

  /** Tells of what has succeeded; gives the turn of the closed breaker, or -1. */
  #pass() {
    const { pass } = this.#native
    const turn = pass(Math.max(this.#turn, 0), this.#succeeded)
    this.#succeeded = 0
    this.#turn = turn
    return turn
  }

  async #runClosed(run, turn) {
    try {
      const value = await run()
      if (turn === this.#turn) this.#succeeded += 1
      return value
    } catch (error) {
      const blames = this.judge(error)
      this.#pass()
      this.#native.leave(turn, blames ? FAILED : UNKNOWN, 0)
      throw error
    }
  }

  async #run(run, permit) {
    const since = this.#options.slowCall === undefined ? 0 : performance.now()
    let verdict = UNKNOWN
    try {
      const value = await run()
      verdict = SUCCEEDED
      return value
    } catch (error) {
      verdict = this.judge(error) ? FAILED : UNKNOWN
      throw error
    } finally {
      this.#native.leave(permit, verdict, since === 0 ? 0 : performance.now() - since)
    }
  }

  /** Whether a failure speaks against what was called. Internal. */
  judge(error) {
    const { isFailure } = this.#options
    const known = isTaskError(error)
    if (isFailure !== undefined) return isFailure(known ? error : wrap(error)) === true
    if (known) return error.retryable && !NEUTRAL.has(error.code)
    return !isAbort(error)
  }

  #refusal(permit) {
    const { name } = this.#options
    const subject = name === undefined ? 'a circuit breaker' : `the circuit breaker ${describe(name)}`
    if (permit === -1) return new TaskError(`${subject} is open`, { code: 'ERR_CIRCUIT_OPEN' })
    const retryAfter = -2 - permit
    const message = `${subject} is open; it may be asked again in ${retryAfter} ms`
    return new TaskError(message, { code: 'ERR_CIRCUIT_OPEN', retryAfter })
  }
}

function isAbort(error) {
  try {
    return typeof error === 'object' && error !== null && error.name === 'AbortError'
  } catch {
    return false
  }
}

function wrap(error) {
  return new TaskError(describeFailure(error).message, { cause: error })
}

// A number that nobody wrote must not contradict one that somebody did.
function consistent(given) {
  const { window = Math.max(DEFAULTS.window, given.minCalls ?? 0) } = given
  const { minCalls = Math.min(DEFAULTS.minCalls, window) } = given
  const { openFor = Math.min(DEFAULTS.openFor, given.maxOpenFor ?? DEFAULTS.openFor) } = given
  const { maxOpenFor = Math.max(DEFAULTS.maxOpenFor, openFor) } = given
  if (minCalls > window) throw check.refuse('minCalls', `at most "window", which is ${window}`, minCalls)
  if (given.shared === true && given.name === undefined) {
    throw check.refuse('name', 'given where "shared" is true', undefined)
  }
  if (maxOpenFor < openFor) {
    throw check.refuse('maxOpenFor', `at least "openFor", which is ${openFor} ms`, maxOpenFor)
  }
  return { ...given, window, minCalls, openFor, maxOpenFor }
}

function wireOf({ name, shared, whenOpen, ...options }) {
  const policy = {}
  for (const [option] of POLICY) if (options[option] !== undefined) policy[option] = options[option]
  return { policy, name, shared, fails: whenOpen === 'fail' }
}

module.exports = { CircuitBreaker, numberOf: breaker => numberOf(breaker) }
