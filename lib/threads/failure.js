'use strict'

// Owns how what a handler throws gets from one thread to another: errors lose their class, code and flags on the way
// through the structured clone, so they cross as their parts.

const { TaskError, describeFailure, isTaskError } = require('../errors')
const { isSnooze } = require('../context')
const { End } = require('./words')

const CLASSES = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }

/** The parts of an error. */
function failureOf(thrown) {
  const { name, message, stack } = describeFailure(thrown)
  const known = isTaskError(thrown)
  const { code } = known || types(thrown) ? thrown : {}
  const { retryable, retryAfter } = known ? thrown : {}
  return {
    known,
    name,
    message,
    stack,
    code: typeof code === 'string' ? code : undefined,
    retryable,
    retryAfter,
  }
}

function types(thrown) {
  try {
    return thrown instanceof Error
  } catch {
    return false
  }
}

/** How the job ended that threw this, as `[end, value]`. */
function endOf(thrown) {
  if (isSnooze(thrown)) return [End.SNOOZE, thrown.delay]
  return types(thrown) ? [End.FAILURE, failureOf(thrown)] : [End.VALUE, thrown]
}

/** The error of these parts. */
function errorOf({ known, name, message, stack, code, retryable, retryAfter }) {
  const Class = Object.hasOwn(CLASSES, name) ? CLASSES[name] : Error
  const error = known ? new TaskError(message, { code, retryable, retryAfter }) : new Class(message)
  if (!known && error.name !== name) hide(error, 'name', name)
  if (!known && code !== undefined) error.code = code
  if (stack !== '') hide(error, 'stack', stack)
  return error
}

function hide(error, key, value) {
  Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: false })
}

/** What the executor is to throw for it. */
function thrownBy(context, end, value) {
  if (end === End.VALUE) return value
  if (end === End.FAILURE) return errorOf(value)
  try {
    return context.snooze(value)
  } catch (snooze) {
    return snooze
  }
}

module.exports = { endOf, errorOf, failureOf, thrownBy }
