'use strict'

// Owns the rule for names of tasks, queues, groups, keys and ids: 1 to 128 bytes of UTF-8, no control characters
// (C0, DEL, C1, U+2028, U+2029), no lone surrogates.
// Invariants: a name is returned as it was given, never trimmed, folded or normalised, so two different names never
// mean one thing. The engine checks the same rule again; the surrogates only exist here.

const { describe, optionError } = require('./errors')

const MAX_NAME = 128

// What most names are, and then no more has to be looked at.
const PLAIN = new RegExp(`^[\\x20-\\x7e]{1,${MAX_NAME}}$`)

/** The name itself, or an error that says which part of the rule it breaks. */
function checkName(value, option) {
  if (typeof value === 'string' && PLAIN.test(value)) return value
  const fault = typeof value === 'string' ? faultOf(value) : 'it is not a string'
  if (fault === undefined) return value
  const rule = `a name of 1 to ${MAX_NAME} bytes of UTF-8 without control characters`
  throw optionError(`"${option}" must be ${rule}; got ${describe(value)}: ${fault}`)
}

function faultOf(name) {
  if (name.length === 0) return 'it is empty'
  // Every UTF-16 unit takes at least one byte, so a long text is known by its length alone.
  if (name.length > MAX_NAME) return `it has more than ${MAX_NAME} bytes`
  for (let at = 0; at < name.length; at += 1) {
    const unit = name.charCodeAt(at)
    if (isControl(unit)) {
      return `it has the control character U+${unit.toString(16).toUpperCase().padStart(4, '0')} at position ${at}`
    }
  }
  if (!name.isWellFormed()) return 'it has half of a surrogate pair, which is no character'
  const bytes = Buffer.byteLength(name)
  return bytes > MAX_NAME ? `it has ${bytes} bytes` : undefined
}

function isControl(unit) {
  return unit < 0x20 || (unit >= 0x7f && unit <= 0x9f) || unit === 0x2028 || unit === 0x2029
}

module.exports = { MAX_NAME, checkName }
