'use strict'

// Owns the public face: everything that a user of the package can reach.

const { CircuitBreaker } = require('./lib/circuit-breaker')
const { RateLimiter } = require('./lib/rate-limiter')
const { RetryPolicy } = require('./lib/retry')
const { TaskError } = require('./lib/errors')
const { TaskExecutor } = require('./lib/executor')
const { TaskScheduler } = require('./lib/scheduler')
const { defineTask } = require('./lib/definition')
const { version } = require('./package.json')

module.exports = {
  CircuitBreaker,
  RateLimiter,
  RetryPolicy,
  TaskError,
  TaskExecutor,
  TaskScheduler,
  defineTask,
  version,
}
