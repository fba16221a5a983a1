'use strict'

// Owns the options of a schedule.
// Invariants: what comes out is plain data, durations in ms and dates in epoch ms; an expression that is wrong, or
// names no instant in its zone, is ERR_SCHEDULE with its field and column, anything else ERR_OPTION.

const binding = require('../binding')
const check = require('./check')
const { TaskError, optionError } = require('../errors')
const { checkName } = require('../names')

/** Longest key, in bytes of UTF-8: the ids of its tasks are names too. */
const MAX_KEY = 100
/** Slots that one call gives at most. */
const MAX_SLOTS = 100_000
/** The shortest time between two slots, in memory. */
const LEAST = 10

const CALL = 'a schedule'

const SCHEDULE = new Map([
  ['key', scheduleKey],
  ['cron', expression],
  ['every', check.duration(LEAST)],
  ['timeZone', expression],
  ['catchUp', check.oneOf(['none', 'latest', 'all'])],
  ['overlap', check.oneOf(['skip', 'queue', 'allow', 'cancel'])],
  ['jitter', check.duration(0)],
  ['startAt', check.date],
  ['endAt', check.date],
  ['limit', check.whole(1, Number.MAX_SAFE_INTEGER)],
])

// Its length and its characters are the engine's to judge, which says where they are wrong.
function expression(value, option) {
  if (typeof value === 'string') return value.toWellFormed()
  throw check.refuse(option, 'text', value)
}

function scheduleKey(value, option) {
  const key = checkName(value, option)
  const bytes = Buffer.byteLength(key)
  if (bytes <= MAX_KEY) return key
  throw optionError(`"${option}" must have at most ${MAX_KEY} bytes; got ${bytes}`)
}

/** A schedule, given as an expression or as options. `option` names it where it is part of something. */
function scheduleOptions(value, option = undefined, call = CALL) {
  const path = option === undefined ? '' : `${option}.`
  if (typeof value !== 'string' && (typeof value !== 'object' || value === null)) {
    throw check.refuse(option ?? 'schedule', 'a cron expression or an object of options', value)
  }
  const options =
    typeof value === 'string'
      ? { __proto__: null, cron: expression(value, option) }
      : check.readOptions(value, SCHEDULE, call, path)
  const { cron, every, timeZone, catchUp, overlap } = options
  if ((cron === undefined) === (every === undefined)) {
    const given = cron === undefined ? 'neither is' : 'both are'
    throw optionError(`${call} has either "${path}cron" or "${path}every"; ${given} given`)
  }
  if (timeZone !== undefined && cron === undefined) {
    throw optionError(`"${path}timeZone" is the zone of "${path}cron", which is not given`)
  }
  if (catchUp === 'all' && overlap !== 'queue' && overlap !== 'allow') {
    throw optionError(
      `"${path}catchUp" must be "none" or "latest", unless "${path}overlap" is "queue" or "allow"`,
    )
  }
  slotsOf(options, 0, 0)
  return Object.freeze(options)
}

/** Slots of checked options, in epoch ms: the next ones after `from`, or the last ones before it. */
function slotsOf({ key: _, ...options }, from, count, back = false) {
  try {
    return binding.slots(JSON.stringify(options), from, count, back)
  } catch (error) {
    throw refusal(error)
  }
}

// A native call says `CODE: message`.
function refusal(error) {
  const match = /^(ERR_SCHEDULE|ERR_OPTION): ([\s\S]*)$/.exec(error.message)
  return new TaskError(match?.[2] ?? error.message, { code: match?.[1] ?? 'ERR_ENGINE' })
}

const checkCount = check.whole(1, MAX_SLOTS)

module.exports = { checkCount, scheduleKey, scheduleOptions, slotsOf }
