'use strict'

// Owns what only JavaScript knows of the metrics: what the process costs, and which settings of it will hurt.

const { release } = require('node:os')

/** Processor time and memory of this process, on every platform. */
function cost() {
  const { user, system } = process.cpuUsage()
  return { cpuSeconds: (user + system) / 1e6, rssBytes: process.memoryUsage.rss() }
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

module.exports = { cost, examine }
