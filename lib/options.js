'use strict'

// The door to the checks of options: one function for each object of options that a user can hand in.
// Invariants: durations come out in ms, dates in epoch ms, retry policies as RetryPolicy; anything that is wrong is
// a TaskError ERR_OPTION which names the option, what was given and what is allowed.

const { closeOptions, closures, resultOptions, runOptions, taskFilter } = require('./options/call')
const { date, priority } = require('./options/check')
const { enqueueOptions } = require('./options/enqueue')
const { DEFAULTS, executorOptions } = require('./options/executor')

module.exports = {
  DEFAULTS,
  checkDate: date,
  checkPriority: priority,
  closeOptions,
  closures,
  enqueueOptions,
  executorOptions,
  resultOptions,
  runOptions,
  taskFilter,
}
