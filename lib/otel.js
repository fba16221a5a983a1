'use strict'

// Owns the bridge to OpenTelemetry: spans of enqueues and runs, and the metrics of an executor as instruments. The
// names follow the semantic conventions for messaging.
//
// The context of a producer travels in the metadata of its tasks, under the names of W3C Trace Context: `traceparent`
// and `tracestate`. A run is a trace of its own that links to the one which enqueued it, since one may follow the other
// by days, and a task may run many times.

const { TaskError, optionError } = require('./errors')
const tracing = require('./tracing')

const SYSTEM = 'wterminal_task'

let api
try {
  api = require('@opentelemetry/api')
} catch (cause) {
  throw new TaskError('@wterminal/task/otel needs the package @opentelemetry/api beside it', {
    code: 'ERR_OPTION',
    cause,
  })
}
const { SpanKind, SpanStatusCode, context, metrics, propagation, trace } = api
const { version } = require('../package.json')

const attributesOf = ({ name, queue }, operation, type) => ({
  'messaging.system': SYSTEM,
  'messaging.operation.name': operation,
  'messaging.operation.type': type,
  'messaging.destination.name': queue,
  'wterminal.task.name': name,
})

// The span ends with the work. What a handler throws may hold secrets: only its class and code are recorded.
async function within(span, work) {
  try {
    return await context.with(trace.setSpan(context.active(), span), work)
  } catch (error) {
    span.setAttribute('error.type', String(error?.code ?? error?.name ?? typeof error))
    span.setStatus({ code: SpanStatusCode.ERROR })
    throw error
  } finally {
    span.end()
  }
}

class Spans {
  #tracer

  constructor(tracer) {
    this.#tracer = tracer
  }

  enqueue(message, work) {
    const attributes = attributesOf(message, 'send', 'send')
    if (message.count > 1) attributes['messaging.batch.message_count'] = message.count
    const span = this.#tracer.startSpan(`send ${message.queue}`, { kind: SpanKind.PRODUCER, attributes })
    propagation.inject(trace.setSpan(context.active(), span), message.carrier)
    return within(span, async () => {
      const result = await work()
      // A handle, where it is of one task.
      if (typeof result?.id === 'string') span.setAttribute('messaging.message.id', result.id)
      return result
    })
  }

  run(message, work) {
    const attributes = attributesOf(message, 'process', 'process')
    attributes['messaging.message.id'] = message.id
    attributes['wterminal.task.attempt'] = message.attempt
    const sender = trace.getSpanContext(propagation.extract(api.ROOT_CONTEXT, message.metadata ?? {}))
    const links = sender === undefined ? [] : [{ context: sender }]
    const options = { kind: SpanKind.CONSUMER, attributes, links, root: true }
    return within(this.#tracer.startSpan(`process ${message.queue}`, options), work)
  }
}

function requireProvider(value, name, method) {
  if (value !== undefined && typeof value?.[method] !== 'function') {
    throw optionError(`"${name}" must be one of OpenTelemetry, with ${method}()`)
  }
  return value
}

/** Makes spans of every enqueue and run of this environment from now on; gives what ends it. */
function traceTasks({ tracerProvider } = {}) {
  const provider = requireProvider(tracerProvider, 'tracerProvider', 'getTracer') ?? trace
  tracing.wrap(new Spans(provider.getTracer('@wterminal/task', version)))
  return () => tracing.wrap(undefined)
}

const TOTALS = {
  enqueued: 'Tasks that were taken in',
  completed: 'Tasks that completed',
  failed: 'Tasks that failed for good',
  retried: 'Attempts that failed and are followed by another',
  cancelled: 'Tasks that were cancelled, or ended without a run',
  lost: 'Claims that were lost',
  abandoned: 'Handlers that outlived their attempt',
  stale: 'Outcomes that came too late and changed nothing',
}

/** Makes the metrics of an executor instruments that are read whenever a reader collects; gives what ends it. */
function observeExecutor(executor, { meterProvider } = {}) {
  if (typeof executor?.getMetrics !== 'function') throw optionError('observeExecutor() takes an executor')
  const provider = requireProvider(meterProvider, 'meterProvider', 'getMeter') ?? metrics
  const meter = provider.getMeter('@wterminal/task', version)
  const totals = Object.entries(TOTALS).map(([name, description]) => [
    name,
    meter.createObservableCounter(`wterminal.task.${name}`, { description, unit: '{task}' }),
  ])
  const current = meter.createObservableGauge('wterminal.task.current', {
    description: 'Tasks of the store in each state',
    unit: '{task}',
  })
  const seconds = description => ({ description, unit: 's' })
  const times = {
    waitTime: meter.createObservableGauge('wterminal.task.wait', seconds('99th percentile of waits')),
    duration: meter.createObservableGauge('wterminal.task.duration', seconds('99th percentile of runs')),
  }
  const delay = meter.createObservableGauge('wterminal.task.loop.delay', seconds('99th percentile'))
  const read = async result => {
    let found
    try {
      found = await executor.getMetrics()
    } catch {
      // Closed, or the store does not answer: there is nothing to tell this time.
      return
    }
    for (const [task, kind] of Object.entries(found.perTask)) {
      const attributes = { 'wterminal.task.name': task }
      for (const [name, counter] of totals) result.observe(counter, kind[name], attributes)
      if (!found.enabled) continue
      for (const [name, gauge] of Object.entries(times)) result.observe(gauge, kind[name].p99, attributes)
    }
    for (const [state, n] of Object.entries(found.current)) {
      result.observe(current, n, { 'wterminal.task.state': state })
    }
    if (found.enabled) result.observe(delay, found.performance.loopDelay.p99)
  }
  const all = [...totals.map(([, counter]) => counter), current, delay, ...Object.values(times)]
  meter.addBatchObservableCallback(read, all)
  return () => meter.removeBatchObservableCallback(read, all)
}

module.exports = { observeExecutor, traceTasks }
