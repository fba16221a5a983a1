// OpenTelemetry with its own SDK: producers and consumers are spans that are linked, the metrics of an executor are
// instruments.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { defineTask } from '../index.js'
import { open, rejection, until } from './support/executors.mjs'

const require = createRequire(import.meta.url)
const { SpanKind, SpanStatusCode, context, propagation, trace } = require('@opentelemetry/api')
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks')
const { W3CTraceContextPropagator } = require('@opentelemetry/core')
const sdk = require('@opentelemetry/sdk-trace-base')
const { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } =
  require('@opentelemetry/sdk-metrics')
const { observeExecutor, traceTasks } = require('../lib/otel.js')

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
propagation.setGlobalPropagator(new W3CTraceContextPropagator())

function record(t) {
  const exporter = new sdk.InMemorySpanExporter()
  const tracerProvider = new sdk.BasicTracerProvider({
    spanProcessors: [new sdk.SimpleSpanProcessor(exporter)],
  })
  const end = traceTasks({ tracerProvider })
  t.after(end)
  return { tracer: tracerProvider.getTracer('test'), spans: () => exporter.getFinishedSpans() }
}

const named = (spans, name) => spans.filter(span => span.name === name)

test('a task is sent by one span and processed by others, which link to it', async t => {
  const { tracer, spans } = record(t)
  let active
  const work = defineTask({
    name: 'mail',
    queue: 'mails',
    retry: { attempts: 2, base: 1 },
    async handler(_, ctx) {
      active = trace.getActiveSpan()?.spanContext()
      if (ctx.attempt === 1) throw new TypeError('hunter2 is no address')
    },
  })
  const executor = open(t, { tasks: [work] })
  const handle = await tracer.startActiveSpan('request', async request => {
    const handle = await executor.enqueue(work, { to: 'a' }, { metadata: { tenant: 't' } })
    request.end()
    return handle
  })
  await handle.result()
  await until(() => named(spans(), 'process mails').length === 2)
  const [request] = named(spans(), 'request')
  const [send] = named(spans(), 'send mails')
  const [first, second] = named(spans(), 'process mails')
  assert.equal(send.kind, SpanKind.PRODUCER)
  assert.equal(send.parentSpanContext.spanId, request.spanContext().spanId)
  assert.deepEqual(send.attributes, {
    'messaging.system': 'wterminal_task',
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': 'mails',
    'messaging.message.id': handle.id,
    'wterminal.task.name': 'mail',
  })
  for (const [attempt, span] of [first, second].entries()) {
    assert.equal(span.kind, SpanKind.CONSUMER)
    assert.equal(span.parentSpanContext, undefined)
    assert.notEqual(span.spanContext().traceId, send.spanContext().traceId)
    assert.deepEqual(
      span.links.map(link => [link.context.traceId, link.context.spanId]),
      [[send.spanContext().traceId, send.spanContext().spanId]],
    )
    assert.equal(span.attributes['messaging.operation.type'], 'process')
    assert.equal(span.attributes['messaging.message.id'], handle.id)
    assert.equal(span.attributes['wterminal.task.attempt'], attempt + 1)
  }
  assert.equal(first.status.code, SpanStatusCode.ERROR)
  assert.equal(first.attributes['error.type'], 'TypeError')
  assert.notEqual(second.status.code, SpanStatusCode.ERROR)
  assert.equal(active.spanId, second.spanContext().spanId)
  // The context is where the documentation says, beside what the user has given.
  const { metadata } = await handle.status()
  const { traceId, spanId } = send.spanContext()
  assert.deepEqual(metadata, { tenant: 't', traceparent: `00-${traceId}-${spanId}-01` })
  const told = JSON.stringify(spans().map(({ attributes, events, status }) => [attributes, events, status]))
  assert.equal(told.includes('hunter2'), false)
})

test('tasks that are enqueued together are one message of many', async t => {
  const { spans } = record(t)
  const work = defineTask({ name: 'batch', handler: async () => 1 })
  const executor = open(t, { tasks: [work] })
  const handles = await executor.enqueueMany(work, [1, 2, 3])
  await Promise.all(handles.map(handle => handle.result()))
  await until(() => named(spans(), 'process default').length === 3)
  const [send] = named(spans(), 'send default')
  assert.equal(send.attributes['messaging.batch.message_count'], 3)
  for (const span of named(spans(), 'process default')) {
    assert.equal(span.links[0].context.spanId, send.spanContext().spanId)
  }
})

test('what is refused is a failed span, and what was ended makes none', async t => {
  const { spans } = record(t)
  const executor = open(t)
  await rejection(executor.enqueue('big', 'x'.repeat(2_000_000)))
  const [send] = named(spans(), 'send default')
  assert.equal(send.attributes['error.type'], 'ERR_PAYLOAD_SIZE')
  traceTasks({ tracerProvider: new sdk.BasicTracerProvider() })()
  await executor.enqueue('small')
  assert.equal(spans().length, 1)
})

test('the metrics of an executor are instruments', async t => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  t.after(() => meterProvider.shutdown())
  const work = defineTask({ name: 'work', handler: async () => 1 })
  const executor = open(t, { tasks: [work], metrics: true })
  const end = observeExecutor(executor, { meterProvider })
  const handles = await executor.enqueueMany(work, [1, 2, 3])
  await Promise.all(handles.map(handle => handle.result()))
  await reader.forceFlush()
  const found = new Map(
    exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap(scope => scope.metrics.map(metric => [metric.descriptor.name, metric])),
  )
  const point = (name, key, value) =>
    found.get(name).dataPoints.find(({ attributes }) => attributes[key] === value)
  assert.equal(point('wterminal.task.completed', 'wterminal.task.name', 'work').value, 3)
  assert.equal(found.get('wterminal.task.completed').isMonotonic, true)
  assert.equal(point('wterminal.task.current', 'wterminal.task.state', 'completed').value, 3)
  assert.equal(found.get('wterminal.task.duration').descriptor.unit, 's')
  assert.ok(point('wterminal.task.duration', 'wterminal.task.name', 'work').value >= 0)
  end()
  // A reader of a closed executor is told nothing, and nothing fails.
  observeExecutor(executor, { meterProvider })
  await executor.close()
  await reader.forceFlush()
})

test('what is no provider and no executor is refused', () => {
  assert.throws(() => traceTasks({ tracerProvider: {} }), { code: 'ERR_OPTION', message: /getTracer/ })
  assert.throws(() => observeExecutor({}), { code: 'ERR_OPTION', message: /executor/ })
})
