'use strict'

// Owns the way from the engine's record of a task to the `TaskInfo` of the public API.

const { CODES } = require('./errors')

const DATES = ['createdAt', 'runAt', 'startedAt', 'finishedAt']

/** A record as it is shown: dates as `Date`, metadata as a plain object. */
function information(record) {
  for (const name of DATES) {
    if (Object.hasOwn(record, name)) record[name] = new Date(record[name])
  }
  for (const error of record.errors) {
    error.at = new Date(error.at)
    if (!CODES.has(error.code)) {
      error.causeCode = error.code
      error.code = 'ERR_TASK_FAILED'
    }
  }
  if (record.waitingFor?.until !== undefined) record.waitingFor.until = new Date(record.waitingFor.until)
  return record
}

module.exports = { information }
