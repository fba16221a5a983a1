// A thousand tasks wait for an upstream that is dead and comes back, on every store.

import assert from 'node:assert/strict'
import { CircuitBreaker } from '../index.js'
import { onEveryStore } from './support/stores.mjs'

onEveryStore(
  'it is called by what opened the breaker and by the probes, and no task is lost',
  async (_t, on) => {
    const breaker = new CircuitBreaker({ window: 4, minCalls: 4, openFor: 30, maxOpenFor: 30 })
    const executor = on({ concurrency: 1 })
    const [calls, states] = [[], []]
    let isUp = false
    const task = {
      name: 'call',
      circuitBreaker: breaker,
      retry: { attempts: 2, base: 1, max: 1 },
      handler: n => {
        calls.push(n)
        states.push(breaker.state)
        // Back after the four calls that open the breaker, and three probes.
        isUp ||= calls.length > 7
        if (!isUp) throw new Error('503')
        return n
      },
    }
    const numbers = Array.from({ length: 1_000 }, (_, n) => n)
    const handles = await executor.enqueueMany(task, numbers)
    await executor.start()
    const outputs = await Promise.all(handles.map(handle => handle.result()))
    assert.deepEqual(outputs, numbers, 'each completes, and loses no attempt but its own')
    assert.equal(calls.length, 1_007)
    assert.equal(new Set(calls).size, 1_000)
    const closed = 'closed'
    const probe = 'half-open'
    assert.deepEqual(states.slice(0, 9), [closed, closed, closed, closed, probe, probe, probe, probe, closed])
    assert.equal(breaker.state, 'closed')
  },
)
