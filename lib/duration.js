'use strict'

// Owns lengths of time as users write them: `250`, '30s', '1.5h'.
// Invariants: what comes out is a whole number of milliseconds, never less than what was written: a fraction counts
// as one more. Text is read digit by digit, so that '0.07s' is 70 and not what floating point makes of it.

const { describe, optionError } = require('./errors')

const UNITS = new Map([
  ['ms', 1n],
  ['s', 1_000n],
  ['m', 60_000n],
  ['h', 3_600_000n],
  ['d', 86_400_000n],
])

/** A hundred years: the longest time an option may give, so that a date plus a duration always is a date. */
const LONGEST = 3_155_760_000_000

// The words people write for the units; only used to say what they may have meant.
const WORDS = [
  [/^(ms|milli|msec)/, 'ms'],
  [/^s/, 's'],
  [/^m(?!o)/, 'm'],
  [/^h/, 'h'],
  [/^d/, 'd'],
]

/** Milliseconds of a duration; `option` names it in the error for anything that is none from `min` to `max` ms. */
function toMillis(value, option, { min = 0, max = Number.MAX_SAFE_INTEGER } = {}) {
  const millis = typeof value === 'number' ? Math.ceil(value) : typeof value === 'string' ? parse(value) : NaN
  // A number just below zero has a ceiling of -0.
  if (millis >= min && millis <= max && !(value < 0)) return millis + 0
  const allowed = `a duration from ${min} ms to ${max} ms, such as 250, "30s" or "1.5h" (units: ms, s, m, h, d)`
  throw optionError(`"${option}" must be ${allowed}; got ${describe(value)}${suggestion(value)}`)
}

// NaN is what no range contains. The exponent is there because JavaScript prints small and large numbers with one.
function parse(text) {
  const match = text.length > 64 ? null : /^(\d*)\.?(\d*)(?:e([+-]?\d{1,3}))?(ms|s|m|h|d)$/.exec(text)
  if (match === null) return NaN
  const [, whole, fraction, exponent = '0', unit] = match
  if (whole === '' && fraction === '') return NaN
  const shift = Number(exponent) - fraction.length
  const digits = BigInt(whole + fraction) * UNITS.get(unit)
  if (shift >= 0) return Number(digits * 10n ** BigInt(shift))
  const divisor = 10n ** BigInt(-shift)
  return Number((digits + divisor - 1n) / divisor)
}

function suggestion(value) {
  if (typeof value !== 'string' || value.length > 64) return ''
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value)
  if (match === null) return ''
  const [, amount, word] = match
  if (word === '') return `; did you mean ${Number(amount)} or "${amount}ms"?`
  const unit = WORDS.find(([pattern]) => pattern.test(word.toLowerCase()))?.[1]
  return unit === undefined ? '' : `; did you mean "${amount}${unit}"?`
}

module.exports = { LONGEST, toMillis }
