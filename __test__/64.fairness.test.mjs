// That a limit is used to the last start and never exceeded, and that what it holds up is only what it limits: in the
// time of a test, where waits are exact.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CircuitBreaker, RateLimiter, TaskExecutor } from '../index.js'
import { TestClock } from '../lib/testing.js'

const quantile = (values, part) =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length * part)]

/** How long bursts of tasks wait that keep four fifths of the slots busy, beside so many tasks of a limited kind. */
async function waitsBeside(noisy) {
  const clock = new TestClock()
  const tasks = new TaskExecutor({ clock, concurrency: 8 })
  const waits = []
  let noise = 0
  const quiet = async at => {
    waits.push(clock.now() - at)
    await clock.sleep(100)
  }
  const rateLimit = { limit: 1, per: '1s' }
  tasks.register({ name: 'quiet', handler: quiet }, { name: 'noisy', rateLimit, handler: () => (noise += 1) })
  const bursts = 80
  for (let burst = 0; burst < bursts; burst += 1) {
    // 16 x 100 ms of work each 250 ms, for 8 slots; and of the other kind what comes meanwhile.
    const many = Math.round(noisy / bursts)
    if (many > 0) await tasks.enqueueMany('noisy', new Array(many).fill(null))
    await tasks.enqueueMany('quiet', new Array(16).fill(clock.now()))
    await clock.advance(250)
  }
  const { waiting } = await tasks.counts()
  await tasks.close({ gracePeriod: 0 })
  assert.equal(waits.length, 16 * bursts)
  return { waits, noise, waiting }
}

test('a kind that is a thousand times over its limit delays no other', async () => {
  const alone = await waitsBeside(0)
  const beside = await waitsBeside(20_000)
  assert.ok(beside.noise >= 19 && beside.noise <= 22, `${beside.noise} in 20 s, where one a second may start`)
  assert.equal(beside.noise + beside.waiting, 20_000, 'nothing is lost')
  const [before, after] = [quantile(alone.waits, 0.99), quantile(beside.waits, 0.99)]
  assert.ok(before > 0, 'there is something to wait for')
  assert.ok(after <= before * 1.1, `${after} ms instead of ${before} ms`)
})

for (const by of [undefined, 'group']) {
  test(`a rate ${by === undefined ? '' : 'for each group '}is used to the last start and never exceeded`, async t => {
    const [limit, per, burst, seconds] = [50, 1_000, 10, 60]
    const clock = new TestClock()
    const rateLimit = new RateLimiter({ limit, per, burst, by })
    const tasks = new TaskExecutor({ clock, concurrency: 4 })
    t.after(() => tasks.close({ gracePeriod: 0 }))
    const starts = []
    tasks.register({ name: 'call', rateLimit, handler: () => starts.push(clock.now()) })
    const options = by === undefined ? undefined : { group: 'one' }
    await tasks.enqueueMany('call', new Array(limit * (seconds + 2)).fill(null), options)
    await clock.advance(seconds * 1_000)
    const possible = burst + limit * seconds
    assert.ok(starts.length >= 0.99 * possible, `${starts.length} of ${possible}`)
    for (let from = 0, upto = 0; from < starts.length; from += 1) {
      while (upto < starts.length && starts[upto] < starts[from] + per) upto += 1
      assert.ok(upto - from <= limit + burst, `${upto - from} starts from ${starts[from]} on`)
    }
  })
}

test('a tenant with one task stands behind no crowd', async t => {
  const clock = new TestClock()
  const tasks = new TaskExecutor({ clock, concurrency: 1 })
  t.after(() => tasks.close({ gracePeriod: 0 }))
  const order = []
  const handler = async who => {
    order.push(who)
    await clock.sleep(10)
  }
  tasks.register({ name: 'work', handler })
  await tasks.pause()
  await tasks.enqueueMany('work', new Array(100_000).fill('many'), { group: 'many' })
  await tasks.enqueue('work', 'one', { group: 'one' })
  await tasks.resume()
  await clock.advance(100)
  assert.ok(order.length >= 10)
  assert.ok(order.indexOf('one') >= 0 && order.indexOf('one') < 2, order.slice(0, 10).join())
})

test('a thousand tasks wait for an upstream that is dead, and all are done when it is back', async t => {
  const clock = new TestClock()
  const policy = { window: 10, minCalls: 5, openFor: '10s', maxOpenFor: '1m', probes: 2 }
  const circuitBreaker = new CircuitBreaker(policy)
  const tasks = new TaskExecutor({ clock, concurrency: 8 })
  t.after(() => tasks.close({ gracePeriod: 0 }))
  let isUp = false
  let failures = 0
  let probing = 0
  const done = new Map()
  const handler = async id => {
    const isProbe = circuitBreaker.state === 'half-open'
    probing += isProbe ? 1 : 0
    assert.ok(probing <= policy.probes, 'no more probes at once than are allowed')
    await clock.sleep(50)
    probing -= isProbe ? 1 : 0
    if (!isUp) {
      failures += 1
      throw new Error('down')
    }
    done.set(id, (done.get(id) ?? 0) + 1)
  }
  const retry = { attempts: 50, base: 10, max: 100, jitter: 'none' }
  tasks.register({ name: 'call', handler, circuitBreaker, retry })
  const ids = Array.from({ length: 1_000 }, (_, id) => id)
  await tasks.enqueueMany('call', ids)
  const minutes = 30
  await clock.advance(`${minutes}m`)
  // Open for 10, 20, 40, then 60 s each time; what ran when it opened has failed too.
  const rounds = 3 + minutes
  assert.ok(failures <= policy.minCalls + 8 + policy.probes * rounds, `${failures} calls of a dead upstream`)
  assert.ok(failures >= rounds - 2, `${failures} calls: it is probed`)
  isUp = true
  await clock.runUntilIdle()
  assert.deepEqual(
    [...done.keys()].sort((one, other) => one - other),
    ids,
  )
  assert.ok(
    [...done.values()].every(times => times === 1),
    'each once',
  )
})
