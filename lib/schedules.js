'use strict'

// Owns what executors and schedulers share of schedules: the orders to the engine, and what its answers mean.

const { TaskError, describe } = require('./errors')
const { scheduleKey } = require('./options/schedule')

const DATES = ['startAt', 'endAt', 'nextRun', 'lastRun']

/** A schedule as it is shown. */
function informationOf(told) {
  for (const name of DATES) if (typeof told[name] === 'number') told[name] = new Date(told[name])
  return told
}

/** Makes or changes the schedule of a kind. `input` is JSON text. */
async function upsert(ask, kind, options, input) {
  const { key = defaultKey(kind.name), ...rest } = options
  const order = { act: 'schedule', key, kind: kind.number, options: rest, input }
  return informationOf(await ask({ op: 'schedule', order }))
}

function defaultKey(name) {
  try {
    return scheduleKey(name, 'key')
  } catch (cause) {
    const text = `the name ${describe(name)} is too long for the key of a schedule; give "key"`
    throw new TaskError(text, { code: 'ERR_OPTION', cause })
  }
}

module.exports = { informationOf, upsert }
