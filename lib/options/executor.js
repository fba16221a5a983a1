'use strict'

// Owns the options of `new TaskExecutor()` and the defaults of all of them.
// Invariants: what comes out has every option that has a default; the others only where they were given.

const { availableParallelism } = require('node:os')
const check = require('./check')
const { CLOCK } = require('../clock')
const { POLICY, checkDefinition } = require('../definition')
const { optionError } = require('../errors')
const { checkName } = require('../names')
const { RateLimiter } = require('../rate-limiter')

const MIB = 1_048_576
const CALL = 'TaskExecutor()'
const DAY = 86_400_000
const NEWEST = Object.freeze({ count: 1_000 })
const RECENT = Object.freeze({ age: DAY, count: 100_000 })
const TWO_WEEKS = Object.freeze({ age: 14 * DAY })
/** What a store that outlives the process keeps of ended tasks where nothing else is said. */
const KEPT = Object.freeze({ completed: RECENT, failed: TWO_WEEKS, cancelled: TWO_WEEKS })

/** What an executor does where nothing else is said. `maxAbandoned` follows from the concurrency in force. */
const DEFAULTS = Object.freeze({
  queue: 'default',
  priority: 0,
  persistence: 'memory',
  namespace: 'default',
  durability: 'strict',
  lease: 30_000,
  concurrency: availableParallelism(),
  maxPayload: MIB,
  stallLimit: 60_000,
  maxLosses: 3,
  maxAbandoned: concurrency => Math.max(16, 2 * concurrency),
  gracePeriod: 8_000,
  cancelGrace: 5_000,
  threads: Object.freeze({ count: availableParallelism() }),
  metrics: false,
  retention: Object.freeze({ completed: NEWEST, failed: NEWEST, cancelled: NEWEST }),
})

const limits = check.nested(
  new Map([
    ['age', check.duration(0)],
    ['count', check.whole(0, Number.MAX_SAFE_INTEGER)],
    ['bytes', check.whole(0, Number.MAX_SAFE_INTEGER)],
  ]),
)
const retention = check.nested(
  new Map([
    ['completed', limits],
    ['failed', limits],
    ['cancelled', limits],
  ]),
)

const queue = check.nested(
  new Map([
    ['concurrency', check.concurrency],
    ['rateLimit', RateLimiter.from],
  ]),
)
const names = check.listOf(checkName, 'names of queues', 0, 1_000)

const EXECUTOR = new Map([
  ['tasks', check.listOf(checkDefinition, 'task definitions', 0, 10_000)],
  ['persistence', persistence],
  ['namespace', checkName],
  ['durability', check.oneOf(['strict', 'relaxed'])],
  ['lease', check.duration(1_000)],
  ['concurrency', check.concurrency],
  ['maxQueue', check.whole(1, check.I32 - 1)],
  ['maxPayload', check.whole(1, 64 * MIB)],
  ['queues', queues],
  ['stallLimit', check.duration(10)],
  ['maxLosses', check.whole(0, 1_000_000)],
  ['maxAbandoned', check.whole(0, 1_000_000)],
  ['gracePeriod', check.duration(0)],
  ['cancelGrace', check.duration(0)],
  ['retention', retention],
  ['threads', threads],
  ['metrics', check.flag],
  ['logger', check.callable],
  ['clock', clock],
  ['signal', check.signal],
  ...POLICY,
])

const megabytes = check.decimal(0.5, 1_048_576)
const memory = check.nested(
  new Map([
    ['maxOldGenerationSizeMb', megabytes],
    ['maxYoungGenerationSizeMb', megabytes],
    ['codeRangeSizeMb', megabytes],
    ['stackSizeMb', megabytes],
  ]),
)
const threadOptions = check.nested(
  new Map([
    ['count', check.whole(1, 1_024)],
    ['resourceLimits', memory],
  ]),
)

function clock(value, option) {
  if (typeof value === 'object' && value !== null && value[CLOCK] !== undefined) return value
  throw check.refuse(option, 'a TestClock of @wterminal/task/testing', value)
}

// A number is their count.
function threads(value, option, call) {
  const given =
    typeof value === 'number'
      ? { count: check.whole(1, 1_024)(value, option) }
      : threadOptions(value, option, call)
  return { ...DEFAULTS.threads, ...given }
}

const STORES =
  '"memory", "sqlite", "sqlite:<path of a file>", "redis://<address>", "rediss://<address>", ' +
  '"redis+sentinel://<hosts>/<name>" or "rediss+sentinel://<hosts>/<name>"'

function persistence(value, option) {
  if (value === 'memory' || value === 'sqlite') return value
  if (check.isText(value, 1, 4_096) && !value.includes('\0')) {
    if (/^sqlite:./s.test(value) && value !== 'sqlite::memory:') return value
    if (/^rediss?(\+sentinel)?:\/\/./s.test(value)) return value
  }
  // What stands before an @ may be a password.
  throw check.refuse(option, STORES, typeof value === 'string' ? value.replace(/:.*@/s, ':...@') : value)
}

// Both forms come out as `[{ name, concurrency? }]`.
function queues(value, option, call) {
  if (Array.isArray(value)) return [...new Set(names(value, option, call))].map(name => ({ name }))
  check.requirePlain(value, call, option)
  return Object.keys(value).map(name => ({
    name: checkName(name, `a name in ${option}`),
    ...queue(value[name], `${option}.${name}`, call),
  }))
}

/** The options of an executor, checked, with the defaults filled in. */
function executorOptions(value) {
  const given = check.readOptions(value, EXECUTOR, CALL)
  const { concurrency = DEFAULTS.concurrency, maxAbandoned = DEFAULTS.maxAbandoned(concurrency) } = given
  const isDurable = (given.persistence ?? DEFAULTS.persistence) !== 'memory'
  if (isDurable && given.clock !== undefined) {
    throw optionError(
      '"clock" is for executors in memory: a store has a time of its own; leave out "persistence"',
    )
  }
  const kept = { ...(isDurable ? KEPT : DEFAULTS.retention), ...given.retention }
  return { __proto__: null, ...DEFAULTS, ...given, concurrency, maxAbandoned, retention: kept }
}

module.exports = { DEFAULTS, executorOptions }
