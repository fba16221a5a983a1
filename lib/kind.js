'use strict'

// Owns a registered kind of task: its definition, its number in the engine, and the async context of `register`.

const { AsyncResource } = require('node:async_hooks')
const { limitsOf, withNumbers } = require('./limits')
const { RetryPolicy } = require('./retry')
const options = require('./options')
const { withCarrier } = require('./tracing')
const { TaskError, describe } = require('./errors')

class Kind {
  /** `threads`: gives the pool that runs handlers of modules. */
  constructor(definition, defaults, threads) {
    const { name, module, input, queue, priority, timeout, retry, concurrency, schedule } = definition
    const { rateLimit, circuitBreaker } = definition
    this.name = name
    this.pool = module === undefined ? undefined : threads()
    this.handler = module === undefined ? definition.handler : this.inThread(module)
    /** Who the handler is: two definitions of one name that have the same are one kind. */
    this.source = module ?? this.handler
    this.input = input
    this.queue = queue ?? defaults.queue
    this.priority = priority ?? defaults.priority
    this.timeout = timeout ?? defaults.timeout
    this.retry = retry ?? defaults.retry
    this.concurrency = concurrency
    this.rateLimit = rateLimit
    this.circuitBreaker = circuitBreaker
    const inQueue = defaults.queues?.find(({ name }) => name === this.queue)
    this.limits = limitsOf(defaults, inQueue, definition)
    this.schedule = schedule
    this.resource = new AsyncResource('TaskHandler')
    this.number = -1
  }

  inThread(module) {
    const { pool } = this
    return (input, context) => pool.run(module, input, context)
  }

  /** What the engine is told. */
  get wire() {
    const { perNode, total, perGroup } = this.concurrency ?? {}
    const { name, queue, priority, timeout, retry, rateLimit, circuitBreaker } = this
    const handled = this.handler !== undefined
    const limits = withNumbers({ rateLimit, circuitBreaker, perNode, total, perGroup })
    const asks = retry !== undefined && (retry.retryIf !== undefined || retry.next !== undefined)
    return { name, handled, queue, priority, timeout, retry: retry?.wire, asks, ...limits }
  }

  /** The input as its schema gives it; a mismatch is an error that no retry mends. */
  check(input) {
    const result = this.input['~standard'].validate(input)
    return result instanceof Promise ? result.then(result => this.checked(result)) : this.checked(result)
  }

  checked(result) {
    if (result.issues === undefined) return result.value
    const issues = Array.from(result.issues, issue => issue.message).join('; ')
    throw new TaskError(`the input of ${describe(this.name)} does not fit its schema: ${issues}`, {
      code: 'ERR_TASK_INPUT',
    })
  }
}

/** The first text of an enqueue: the number of the kind, and what differs from its defaults. */
function headOf(kind, options) {
  if (options === undefined) return String(kind.number)
  const { retry } = options
  const given = retry instanceof RetryPolicy ? { ...options, retry: retry.wire } : options
  return `${kind.number} ${JSON.stringify(given)}`
}

/** The heads of a batch: all alike, or each by its own options. */
function headsOf(kind, given, carrier = undefined) {
  const read = (each, call) => {
    const checked = each === undefined ? undefined : options.enqueueOptions(each, call)
    return headOf(kind, withCarrier(checked, carrier))
  }
  if (typeof given !== 'function') {
    const head = read(given, 'enqueueMany()')
    return () => head
  }
  return (input, at) => read(given(input, at), `enqueueMany(), for input ${at}`)
}

module.exports = { Kind, headOf, headsOf }
