'use strict'

// Owns how an object of options is read: which names it may have, what each value may be, and the words of the
// error for anything else.
// Invariants: only a plain object is read, each property once, own ones only; undefined counts as absent, null never;
// whatever a getter or a Proxy throws comes out as ERR_OPTION with that as its cause, or as the TaskError it was.
// A reader is `(value, option, call) => normalised value`; `option` is the path ("retry.base"), `call` who was called.

const { types } = require('node:util')
const { LONGEST, toMillis } = require('../duration')
const { describe, describeFailure, isTaskError, optionError } = require('../errors')

const I32 = 2 ** 31

// What somebody has added to the prototype of all objects is no option. An object literal without a prototype would be
// a dictionary, which is slow to fill and to read.
class Options {}
Object.setPrototypeOf(Options.prototype, null)
delete Options.prototype.constructor

/** Reads `value` by a Map of readers into a fresh object that has only what was given. */
function readOptions(value, readers, call, path = '') {
  const result = new Options()
  if (value === undefined) return result
  try {
    requirePlain(value, call, path)
    for (const name of Object.keys(value)) {
      const reader = readers.get(name)
      if (reader === undefined) throw unknownOption(name, [...readers.keys()], call, path)
      const given = value[name]
      if (given !== undefined) result[name] = reader(given, path + name, call)
    }
  } catch (error) {
    throw asOptionError(error, call)
  }
  return result
}

/** A reader for an object inside of options. */
function nested(readers) {
  return (value, option, call) => readOptions(value, readers, call, `${option}.`)
}

/** Throws unless `value` is an object that can hold options. */
function requirePlain(value, call, path = '') {
  if (isPlain(value)) return
  const subject = path === '' ? subjectOf(call) : `"${path.replace(/\.$/, '')}"`
  throw optionError(`${subject} must be a plain object; got ${describe(value)}`)
}

function subjectOf(call) {
  return call.endsWith('()') ? `the options of ${call}` : call
}

// An object literal, also one of another realm; a class instance would be read as if it were empty.
function isPlain(value) {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null || prototype === Options.prototype) return true
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')
}

/** What to throw for whatever was thrown while options were read. */
function asOptionError(error, call) {
  if (isTaskError(error)) return error
  return optionError(`${subjectOf(call)} cannot be read: ${describeFailure(error, 256).message}`, error)
}

/** The error for a name that no option has. */
function unknownOption(name, known, call, path = '') {
  const near = nearest(name, known)
  const hint = near === undefined ? `the options are ${known.join(', ')}` : `did you mean "${path}${near}"?`
  return optionError(`${describe(path + name)} is not an option of ${call}; ${hint}`)
}

// The known word that a misspelt one most likely stands for: two edits away at most, or its beginning.
function nearest(word, known) {
  if (word.length > 40) return undefined
  const lower = word.toLowerCase()
  let best
  let least = 3
  for (const candidate of known) {
    const other = candidate.toLowerCase()
    const edits = lower === other ? 0 : distance(lower, other)
    if (edits < least && edits < candidate.length - 1) [best, least] = [candidate, edits]
  }
  return best ?? known.find(candidate => begins(lower, candidate.toLowerCase()))
}

function begins(one, other) {
  return one.length > 2 && other.length > 2 && (one.startsWith(other) || other.startsWith(one))
}

// Levenshtein: insertions, deletions and replacements.
function distance(from, to) {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= to.length; j += 1) {
      const replaced = row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1))
    }
    row = next
  }
  return row[to.length]
}

/** The error for a value that an option cannot have. */
function refuse(option, allowed, value, hint = '') {
  return optionError(`"${option}" must be ${allowed}; got ${describe(value)}${hint}`)
}

/** A reader for whole numbers from `min` to `max`. */
function whole(min, max) {
  return (value, option) => {
    if (Number.isInteger(value) && value >= min && value <= max) return value + 0
    throw refuse(option, `a whole number from ${min} to ${max}`, value)
  }
}

/** A reader for numbers from `min` to `max`. */
function decimal(min, max) {
  return (value, option) => {
    if (typeof value === 'number' && value >= min && value <= max) return value
    throw refuse(option, `a number from ${min} to ${max}`, value)
  }
}

/** A reader for durations of at least `min` ms. */
function duration(min) {
  const range = { min, max: LONGEST }
  return (value, option) => toMillis(value, option, range)
}

/** A reader for one of some words. */
function oneOf(words) {
  const allowed = words.map(word => `"${word}"`).join(', ')
  return (value, option) => {
    if (words.includes(value)) return value
    const near = typeof value === 'string' ? nearest(value, words) : undefined
    const hint = near === undefined ? '' : `; did you mean "${near}"?`
    throw refuse(option, words.length === 1 ? allowed : `one of ${allowed}`, value, hint)
  }
}

/** Whether `value` is well-formed text of `min` to `max` bytes of UTF-8. */
function isText(value, min, max) {
  if (typeof value !== 'string' || value.length < min || value.length > max) return false
  return value.isWellFormed() && Buffer.byteLength(value) <= max
}

/** A reader for text of `min` to `max` bytes of UTF-8. */
function text(min, max) {
  return (value, option) => {
    if (isText(value, min, max)) return value
    throw refuse(option, `well-formed text of ${min} to ${max} bytes of UTF-8`, value)
  }
}

/** A reader for true and false. */
function flag(value, option) {
  if (typeof value === 'boolean') return value
  throw refuse(option, 'true or false', value)
}

/** A reader for functions. */
function callable(value, option) {
  if (typeof value === 'function') return value
  throw refuse(option, 'a function', value)
}

/** Epoch milliseconds of a Date. What lies before 1970 is as past as 1970 for every option that takes a date. */
function date(value, option) {
  const time = types.isDate(value) ? Date.prototype.getTime.call(value) : NaN
  if (!Number.isNaN(time)) return Math.max(time, 0)
  throw refuse(option, 'a valid Date', value)
}

/** A reader for AbortSignals. */
function signal(value, option) {
  if (value instanceof AbortSignal) return value
  // Polyfills and other realms have classes of their own.
  if (typeof value?.aborted === 'boolean' && typeof value.addEventListener === 'function') return value
  throw refuse(option, 'an AbortSignal', value)
}

// The path of an element is only written where it is refused.
class Place {
  constructor(option) {
    this.option = option
    this.at = 0
  }

  of(at) {
    this.at = at
    return this
  }

  toString() {
    return `${this.option}[${this.at}]`
  }
}

/** A reader for arrays of `least` to `most` elements, each read by `reader`. */
function listOf(reader, what, least, most) {
  return (value, option, call) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) {
      throw refuse(option, `an array of ${least} to ${most} ${what}`, value)
    }
    const place = new Place(option)
    const list = []
    for (const element of value) list.push(reader(element, place.of(list.length), call))
    return list
  }
}

/** Larger runs first. */
const priority = whole(-I32, I32 - 1)
/** How many may run at once. */
const concurrency = whole(1, 1_000_000)
/** For one attempt; 0 would end each one before it began. */
const timeout = duration(1)

module.exports = {
  I32,
  asOptionError,
  callable,
  concurrency,
  date,
  decimal,
  duration,
  flag,
  isText,
  listOf,
  nested,
  oneOf,
  priority,
  readOptions,
  refuse,
  requirePlain,
  signal,
  text,
  timeout,
  unknownOption,
  whole,
}
