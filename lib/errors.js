'use strict'

// Owns the one error class of the public API, and the two ways to put a foreign value into words: `describe` for
// messages about options, `describeFailure` for what a handler threw.
// Invariants: neither of the two ever throws, and what they return is well-formed and bounded, whatever they are
// given. `describe` runs no user code at all; `describeFailure` has to read properties, so it expects each to throw.

const { types } = require('node:util')

// Each code, and whether another run of the task that failed with it may end better: the default of `retryable`.
// A refusal that time alone can lift (a full queue, a busy store, an executor that closes under a handler) may;
// one that the same call would meet again may not.
const CODES = new Map([
  ['ERR_TASK_FAILED', true],
  ['ERR_TASK_TIMEOUT', true],
  ['ERR_TASK_CANCELLED', false],
  ['ERR_TASK_DUPLICATE', false],
  ['ERR_TASK_NOT_REPEATABLE', false],
  ['ERR_TASK_NOT_FOUND', false],
  ['ERR_TASK_UNKNOWN', false],
  ['ERR_TASK_INPUT', false],
  ['ERR_TASK_SERIALIZE', false],
  ['ERR_TASK_EXPIRED', false],
  ['ERR_TASK_LOST', true],
  ['ERR_RATE_LIMITED', true],
  ['ERR_CIRCUIT_OPEN', true],
  ['ERR_QUEUE_FULL', true],
  ['ERR_PAYLOAD_SIZE', false],
  ['ERR_EXECUTOR_CLOSED', true],
  ['ERR_STORE', true],
  ['ERR_STORE_FULL', true],
  ['ERR_STORE_BUSY', true],
  ['ERR_STORE_CORRUPT', false],
  ['ERR_STORE_VERSION', false],
  ['ERR_SCHEDULE', false],
  ['ERR_OPTION', false],
  ['ERR_STUCK', false],
  ['ERR_ENGINE', false],
])

const NOTHING = Object.freeze({ __proto__: null })

/** Says without running user code whether `value` was made by this class; `instanceof` would ask a Proxy. */
let isTaskError

/** Every error of this package. What a handler threw is its `cause`. */
class TaskError extends Error {
  #made = true

  static {
    isTaskError = value => typeof value === 'object' && value !== null && #made in value
  }

  /** `options`: `{ code, cause, retryable, retryAfter }`. */
  constructor(message = '', options = undefined) {
    const given = options === undefined ? NOTHING : readErrorOptions(options, 'TaskError()')
    super(typeof message === 'string' ? message : describe(message), given)
    const { code = 'ERR_TASK_FAILED', retryable = CODES.get(code), retryAfter } = given
    this.code = code
    this.retryable = retryable
    if (retryAfter !== undefined) this.retryAfter = retryAfter
  }

  /** Thrown by a handler: do not try again. */
  static fatal(message, options = undefined) {
    const { cause } = readErrorOptions(options, 'TaskError.fatal()')
    return new TaskError(message, { cause, retryable: false })
  }

  /** Thrown by a handler: the next attempt comes after `delay`, whatever the retry policy says. */
  static retryAfter(delay, message = undefined) {
    const { LONGEST, toMillis } = require('./duration')
    const wait = toMillis(delay, 'delay', { max: LONGEST })
    const text = message ?? `the handler asked for another attempt after ${wait} ms`
    return new TaskError(text, { retryable: true, retryAfter: wait })
  }

  /** From what the engine stored: `{ code, name, message, stack, attempt, taskId }`. */
  static from({ code: given = 'ERR_TASK_FAILED', name, message, stack, attempt, taskId, retryAfter }) {
    const error = new TaskError(message)
    const code = CODES.has(given) ? given : 'ERR_TASK_FAILED'
    error.code = code
    error.retryable = CODES.get(code)
    if (retryAfter !== undefined) error.retryAfter = retryAfter
    if (taskId !== undefined) error.taskId = taskId
    if (attempt !== undefined) error.attempt = attempt
    if (name === 'TaskError') {
      if (stack) error.stack = stack
    } else if (name || stack) {
      define(error, 'cause', causeOf(name, message, stack))
      if (code !== given) error.cause.code = given
    }
    return error
  }
}

define(TaskError.prototype, 'name', 'TaskError')

// The rest of the package is built on this file, so the checks of options can only be loaded when they are needed.
function readErrorOptions(options, call) {
  const { duration, flag, oneOf, readOptions } = require('./options/check')
  readErrorOptions.readers ??= {
    'TaskError()': new Map([
      ['code', oneOf([...CODES.keys()])],
      ['cause', cause => cause],
      ['retryable', flag],
      ['retryAfter', duration(0)],
    ]),
    'TaskError.fatal()': new Map([['cause', cause => cause]]),
  }
  return readOptions(options, readErrorOptions.readers[call], call)
}

function causeOf(name, message, stack) {
  const cause = new Error(message)
  if (name) define(cause, 'name', name)
  // This stack would show where the record was read, not where the handler failed.
  cause.stack = stack || `${name}: ${message}`
  return cause
}

// As JavaScript itself does it for the properties of errors: not enumerable.
function define(object, name, value) {
  Object.defineProperty(object, name, { value, writable: true, configurable: true, enumerable: false })
}

/** The error for an option that cannot be what it is. */
function optionError(message, cause = undefined) {
  return new TaskError(message, { code: 'ERR_OPTION', cause })
}

const WIDTH = 80
// What JSON leaves as it is but a terminal or a log does not: DEL, C1, line separators, marks that turn the text.
const UNSAFE = /[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** Puts any value into at most 80 printable characters for a message. */
function describe(value) {
  switch (typeof value) {
    case 'string':
      return printable(value, '"')
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return BigInt.asIntN(64, value) === value ? `${value}n` : 'a bigint of more than 64 bits'
    case 'symbol':
      return printable(String(value), '')
    case 'function':
      return types.isProxy(value) ? 'a Proxy' : printable(`function ${ownText(value, 'name')}`.trimEnd(), '')
    case 'object':
      return value === null ? 'null' : describeObject(value)
    default:
      return String(value)
  }
}

function describeObject(value) {
  if (types.isProxy(value)) return 'a Proxy'
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (types.isDate(value)) {
    const time = Date.prototype.getTime.call(value)
    return Number.isNaN(time) ? 'an invalid Date' : `the Date ${Date.prototype.toISOString.call(value)}`
  }
  const prototype = Object.getPrototypeOf(value)
  if (prototype === null || types.isProxy(prototype)) return 'an object'
  const maker = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value
  const name = typeof maker === 'function' && !types.isProxy(maker) ? ownText(maker, 'name') : ''
  return name === '' || name === 'Object' ? 'an object' : printable(`an instance of ${name}`, '')
}

function ownText(object, name) {
  const text = Object.getOwnPropertyDescriptor(object, name)?.value
  return typeof text === 'string' ? text : ''
}

function printable(text, quote) {
  let out = quote
  // As many characters as there is room for are enough, and no more of a long text is touched.
  for (const char of text.slice(0, WIDTH)) {
    const part = JSON.stringify(char).slice(1, -1).replace(UNSAFE, escaped)
    if (out.length + part.length > WIDTH - 4) return `${out}...${quote}`
    out += part
  }
  return out + quote
}

function escaped(char) {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

const NAME_LIMIT = 128
const CAUSES = 3

/**
 * Turns whatever a handler threw into `{ name, message, stack, code }`: strings of well-formed Unicode, the message
 * and the stack of at most `limit` bytes of UTF-8 each. The stack tells the causes too. `code` is one of ours.
 */
function describeFailure(thrown, limit = 16_384) {
  if (typeof thrown === 'string') return failure('Error', clip(thrown, limit))
  if (thrown === null || (typeof thrown !== 'object' && typeof thrown !== 'function')) {
    return failure('Error', `the handler threw ${describe(thrown)}`)
  }
  const message = textOf(thrown, 'message')
  const code = textOf(thrown, 'code')
  return failure(
    clip(textOf(thrown, 'name') || 'Error', NAME_LIMIT),
    message === undefined ? `the handler threw ${describe(thrown)}` : clip(message || code || '', limit),
    clip(stackOf(thrown, message, limit), limit),
    code,
  )
}

function failure(name, message, stack = '', given = undefined) {
  if (given === undefined || given === '') return { name, message, stack, code: 'ERR_TASK_FAILED' }
  if (CODES.has(given)) return { name, message, stack, code: given }
  return { name, message, stack, code: 'ERR_TASK_FAILED', foreign: clip(given, NAME_LIMIT) }
}

function read(object, name) {
  try {
    return object[name]
  } catch {
    return undefined
  }
}

function textOf(object, name) {
  const text = read(object, name)
  return typeof text === 'string' ? text : undefined
}

function stackOf(thrown, message, limit) {
  let stack = shortened(textOf(thrown, 'stack') ?? '', message ?? '', limit)
  let cause = thrown
  for (let depth = 0; depth < CAUSES; depth += 1) {
    cause = read(cause, 'cause')
    if (typeof cause !== 'object' || cause === null) break
    const inner = textOf(cause, 'stack') || textOf(cause, 'message')
    if (inner) stack += `\n[cause]: ${shortened(inner, textOf(cause, 'message') ?? '', limit)}`
  }
  return stack
}

// A stack begins with the message, and a long one must not push the frames out.
function shortened(stack, message, limit) {
  const room = limit >> 2
  if (message.length <= room) return stack.slice(0, limit)
  const at = stack.indexOf(message.slice(0, room))
  const frames = at === -1 ? '' : stack.slice(at + message.length)
  if (!frames.startsWith('\n')) return stack.slice(0, limit)
  return stack.slice(0, Math.min(at, NAME_LIMIT)) + clip(message, room) + frames.slice(0, limit)
}

const utf8 = new TextEncoder()

function clip(text, limit) {
  const part = text.slice(0, limit).toWellFormed()
  if (text.length <= limit && Buffer.byteLength(part) <= limit) return part
  // encodeInto stops before a character that does not fit as a whole.
  const { read: fits } = utf8.encodeInto(part, new Uint8Array(Math.max(limit - 3, 0)))
  return `${part.slice(0, fits)}...`
}

module.exports = { CODES, TaskError, describe, describeFailure, isTaskError, optionError }
