'use strict'

// Owns task definitions: what kind of task there is, how it behaves, who runs it.
// Invariants: a definition that `defineTask` returned is frozen and is checked once; what `checkDefinition` returns
// is frozen and always has all its fields, undefined where nothing was said.

const { isAbsolute } = require('node:path')
const { pathToFileURL } = require('node:url')
const { optionError } = require('./errors')
const { checkName } = require('./names')
const { scheduleOptions } = require('./options/schedule')
const check = require('./options/check')
const { CircuitBreaker } = require('./circuit-breaker')
const { RateLimiter } = require('./rate-limiter')
const { RetryPolicy } = require('./retry')

const limits = check.nested(
  new Map([
    ['perNode', check.concurrency],
    ['total', check.concurrency],
    ['perGroup', check.concurrency],
  ]),
)

/** How tasks behave by default: what a definition and an executor may both say. */
const POLICY = new Map([
  ['queue', checkName],
  ['priority', check.priority],
  ['timeout', check.timeout],
  ['retry', RetryPolicy.from],
  ['rateLimit', RateLimiter.from],
  ['circuitBreaker', CircuitBreaker.from],
])

const DEFINITION = new Map([
  ['name', checkName],
  ['description', check.text(0, 1_024)],
  ['input', schema],
  ['concurrency', concurrency],
  ['handler', check.callable],
  ['isolation', check.oneOf(['inline', 'thread'])],
  ['module', moduleUrl],
  ['schedule', (value, option) => scheduleOptions(value, option, CALL)],
  ...POLICY,
])

const CALL = 'a task definition'

// Definitions made by `defineTask`, to what they say.
const defined = new WeakMap()

function concurrency(value, option, call) {
  const given =
    typeof value === 'object' && value !== null
      ? limits(value, option, call)
      : { perNode: check.concurrency(value, option) }
  return Object.freeze({ perNode: undefined, total: undefined, perGroup: undefined, ...given })
}

const ABSENT = {
  name: undefined,
  description: undefined,
  input: undefined,
  handler: undefined,
  isolation: 'inline',
  module: undefined,
  queue: undefined,
  priority: undefined,
  timeout: undefined,
  retry: undefined,
  rateLimit: undefined,
  circuitBreaker: undefined,
  schedule: undefined,
  concurrency: concurrency({}, 'concurrency', CALL),
}

// Some libraries make their schemas callable, so a function may be one too.
function schema(value, option) {
  const standard = typeof value === 'object' || typeof value === 'function' ? value?.['~standard'] : undefined
  if (standard?.version === 1 && typeof standard.validate === 'function') return value
  throw check.refuse(option, 'a schema with a "~standard" property of version 1 (standardschema.dev)', value)
}

// Where relative paths would start is not for a library to guess.
function moduleUrl(value, option) {
  const allowed = 'a file: URL or an absolute path'
  try {
    if (typeof value === 'string' && isAbsolute(value)) return pathToFileURL(value).href
    const url = typeof value === 'string' ? new URL(value) : value
    if (url instanceof URL && url.protocol === 'file:') return url.href
  } catch {}
  throw check.refuse(option, allowed, value instanceof URL ? value.href : value)
}

function requireOneHandler({ handler, isolation, module }, path) {
  if (isolation === 'thread') {
    if (module === undefined) {
      throw optionError(
        `"${path}isolation" is "thread", so "${path}module" must name the module with the handler`,
      )
    }
    if (handler !== undefined) {
      throw optionError(
        `"${path}handler" cannot be sent to a thread: "${path}module" names the module whose default export it is`,
      )
    }
  } else if (module !== undefined) {
    throw optionError(`"${path}module" is only for "${path}isolation": "thread"`)
  }
}

function normalise(value, path = '') {
  const given = check.readOptions(value, DEFINITION, CALL, path)
  if (given.name === undefined) checkName(undefined, `${path}name`)
  requireOneHandler(given, path)
  return Object.freeze({ ...ABSENT, ...given })
}

/** What a definition says, checked; `option` names it in errors where it is part of something. */
function checkDefinition(value, option = undefined) {
  if (value === undefined) throw check.refuse(option ?? 'task', 'a task definition', value)
  return defined.get(value) ?? normalise(value, option === undefined ? '' : `${option}.`)
}

/** Checks a definition and returns a frozen copy of it, or the definition itself where that was done before. */
function defineTask(definition) {
  if (defined.has(definition)) return definition
  const copy = snapshot(definition)
  defined.set(copy, normalise(copy))
  return copy
}

// A getter is read once, here, so that what is checked is what is kept.
function snapshot(definition) {
  try {
    check.requirePlain(definition, CALL)
    return Object.freeze({ ...definition })
  } catch (error) {
    throw check.asOptionError(error, CALL)
  }
}

module.exports = { POLICY, checkDefinition, defineTask }
