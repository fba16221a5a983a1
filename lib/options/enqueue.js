'use strict'

// Owns the options of `enqueue` and `enqueueMany`: data only, since they are stored with the task.
// Invariants: what comes out can be written as JSON but for `retry`, which is a RetryPolicy without functions;
// options that contradict each other never get through together.

const check = require('./check')
const { LONGEST } = require('../duration')
const { describe, optionError } = require('../errors')
const { checkName } = require('../names')
const { RetryPolicy } = require('../retry')

const PAIRS = 64
const PAIR_BYTES = 1_024
const NAME_RULE = `well-formed text of 1 to ${PAIR_BYTES} bytes of UTF-8`
const TEXT_RULE = `well-formed text of at most ${PAIR_BYTES} bytes of UTF-8`

const wait = check.duration(1)
const blockers = check.listOf(idOf, 'tasks or ids', 0, 10_000)

const quiet = check.nested(
  new Map([
    ['wait', wait],
    ['maxWait', wait],
  ]),
)

const ENQUEUE = new Map([
  ['queue', checkName],
  ['priority', check.priority],
  ['timeout', check.timeout],
  ['retry', storedRetry],
  ['id', checkName],
  ['delay', check.duration(0)],
  ['runAt', check.date],
  ['key', checkName],
  ['onConflict', check.oneOf(['ignore', 'replace', 'error'])],
  ['debounce', debounce],
  ['throttle', wait],
  ['group', checkName],
  ['after', (given, option, call) => [...new Set(blockers(given, option, call))]],
  ['onBlockerFailure', check.oneOf(['cancel', 'run'])],
  ['expiresAt', check.date],
  ['metadata', metadata],
])

function storedRetry(given, option, call) {
  const policy = RetryPolicy.from(given, option, call)
  if (policy.retryIf === undefined && policy.next === undefined) return policy
  const where = 'functions cannot be stored with a task: give this policy to the definition'
  throw optionError(
    `"${option}" of ${call} must be a policy without retryIf and not RetryPolicy.custom(); ${where}`,
  )
}

function debounce(given, option, call) {
  const { wait: silence, maxWait = Math.min(10 * silence, LONGEST) } =
    typeof given === 'object' && given !== null
      ? quiet(given, option, call)
      : { __proto__: null, wait: wait(given, option) }
  if (silence === undefined) throw check.refuse(`${option}.wait`, 'a duration', undefined)
  if (maxWait < silence) throw check.refuse(`${option}.maxWait`, `at least "${option}.wait"`, maxWait)
  return { wait: silence, maxWait }
}

function idOf(given, option) {
  return checkName(typeof given === 'object' && given !== null ? given.id : given, option)
}

function metadata(given, option, call) {
  check.requirePlain(given, call, option)
  const names = Object.keys(given)
  if (names.length > PAIRS)
    throw optionError(`"${option}" must have at most ${PAIRS} entries; got ${names.length}`)
  const pairs = []
  for (const name of names) {
    const text = given[name]
    if (text === undefined) continue
    if (!check.isText(name, 1, PAIR_BYTES)) throw check.refuse(`a name in ${option}`, NAME_RULE, name)
    if (!check.isText(text, 0, PAIR_BYTES)) throw check.refuse(`${option}.${printed(name)}`, TEXT_RULE, text)
    pairs.push([name, text])
  }
  // Users choose these names: fromEntries makes "__proto__" a property like any other.
  return Object.fromEntries(pairs)
}

function printed(name) {
  return describe(name).slice(1, -1)
}

const EXCLUSIVE = [
  ['delay', 'runAt'],
  ['debounce', 'throttle'],
  // The quiet says when it starts, and what a second one does.
  ['debounce', 'delay'],
  ['debounce', 'runAt'],
  ['debounce', 'onConflict'],
]
const KEYED = ['onConflict', 'debounce', 'throttle']

/** The options of `enqueue`, checked; only those that were given. */
function enqueueOptions(given, call = 'enqueue()') {
  const options = check.readOptions(given, ENQUEUE, call)
  for (const [one, other] of EXCLUSIVE) {
    if (options[one] !== undefined && options[other] !== undefined) {
      throw optionError(`"${one}" and "${other}" of ${call} exclude each other; give one of them`)
    }
  }
  if (options.key === undefined) {
    const keyed = KEYED.find(name => options[name] !== undefined)
    if (keyed !== undefined) throw optionError(`"${keyed}" of ${call} needs "key", which was not given`)
  }
  if (options.expiresAt <= options.runAt) {
    throw optionError(`"expiresAt" of ${call} must be later than "runAt", or the task could never start`)
  }
  return options
}

module.exports = { enqueueOptions }
