// Everything at once, on both ways of running a task, and nothing is lost, run twice, or told to the wrong one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './support/child.mjs'

const TOTAL = 200_000
const SEEDS = process.env.SOAK === '1' ? [1, 2, 3, 4, 5, 6, 7, 8] : [20_250]

for (const seed of SEEDS) {
  test(`200000 tasks of every fate each end once and as they should (seed ${seed})`, async () => {
    const { code, signal, lines, stderr } = await run('load.mjs', [String(TOTAL), String(seed)])
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr)
    const { counts, wrong, repeated, once, left, turns, long } = JSON.parse(lines.at(-1))
    assert.deepEqual(wrong, [])
    assert.equal(repeated, 0, 'tasks ran more or less often than they should')
    assert.ok(once)
    assert.equal(
      Object.values(counts).reduce((sum, count) => sum + count, 0),
      TOTAL,
    )
    for (const lane of ['local', 'stored']) {
      for (const fate of ['ok', 'slow', 'fail', 'fatal', 'retried', 'hang', 'cancel']) {
        assert.ok(counts[`${lane} ${fate}`] > 500, `${lane} ${fate}`)
      }
    }
    const { scheduled, waiting, blocked, running } = left
    assert.deepEqual(
      { scheduled, waiting, blocked, running },
      { scheduled: 0, waiting: 0, blocked: 0, running: 0 },
    )
    // A collection of garbage, or another process, may come in the middle of some.
    assert.ok(turns > 1_000, `${turns} turns`)
    assert.ok(long < turns / 50, `${long} of ${turns} turns held the loop for more than 8 ms`)
  })
}
