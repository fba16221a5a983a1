'use strict'

// Owns what only JavaScript knows of the metrics: what the process costs, and which settings of it will hurt.

const { release } = require('node:os')

/** Processor time and memory of this process, on every platform. */
function cost() {
  const { user, system } = process.cpuUsage()
  return { cpuSeconds: (user + system) / 1e6, rssBytes: process.memoryUsage.rss() }
}

const TOTALS = ['enqueued', 'completed', 'failed', 'retried', 'cancelled', 'lost', 'abandoned', 'stale']
const MICROS = 1e6
// Of a kind: its name, its counters, and the count and seven times of each of two histograms.
const KIND = 1 + TOTALS.length + 2 * 8

/** The metrics of the engine, whose kinds come as bare numbers: see `src/binding/metrics.rs`. */
function withKinds({ kinds, ...metrics }) {
  const perTask = {}
  for (let at = 0; at < kinds.length; at += KIND) {
    const kind = {}
    for (const [n, name] of TOTALS.entries()) kind[name] = kinds[at + 1 + n]
    kind.duration = histogram(kinds, at + 1 + TOTALS.length)
    kind.waitTime = histogram(kinds, at + 1 + TOTALS.length + 8)
    // A kind may be called `__proto__`.
    Object.defineProperty(perTask, kinds[at], { value: kind, ...PLAIN })
  }
  return { ...metrics, perTask }
}

const PLAIN = { configurable: true, enumerable: true, writable: true }

function histogram(kinds, at) {
  const count = kinds[at]
  const sum = kinds[at + 1] / MICROS
  return {
    count,
    sum,
    min: kinds[at + 2] / MICROS,
    max: kinds[at + 3] / MICROS,
    mean: count === 0 ? 0 : sum / count,
    p50: kinds[at + 4] / MICROS,
    p90: kinds[at + 5] / MICROS,
    p99: kinds[at + 6] / MICROS,
    p999: kinds[at + 7] / MICROS,
  }
}

/** The findings of the engine with those of this side: no address and no option that could hold a secret. */
function examine(options, { warnings, ...found }) {
  const { persistence, durability } = options
  const [store] = persistence.split(':', 1)
  const durable = store !== 'memory'
  return {
    ...found,
    node: process.version,
    executor: found.node,
    nodeApi: Number(process.versions.napi),
    platform: `${process.platform}-${process.arch}`,
    system: release(),
    store,
    durability: durable ? durability : 'none',
    warnings: [...warnings, ...settings(options, durable, durability)],
  }
}

function* settings({ concurrency, maxPayload, retention, cancelGrace, gracePeriod }, durable, durability) {
  if (durable && durability === 'relaxed') {
    yield 'durability is "relaxed": a power cut can take what was acknowledged in the last moments'
  }
  if (gracePeriod > 9_000) yield `a gracePeriod of ${gracePeriod} ms outlasts the 10 s that containers wait`
  if (cancelGrace === 0) yield 'a cancelGrace of 0 abandons every cancelled handler at once'
  if (concurrency > 10_000) yield `a concurrency of ${concurrency} on one event loop`
  if (maxPayload > 16 * 1_048_576)
    yield `a maxPayload of ${maxPayload} bytes blocks the loop while it is parsed`
  for (const [state, limits] of Object.entries(retention)) {
    const isBounded = Object.values(limits).some(limit => limit !== undefined)
    if (!isBounded) yield `retention keeps every task that is ${state}`
  }
}

module.exports = { cost, examine, withKinds }
