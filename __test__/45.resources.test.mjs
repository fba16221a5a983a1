// What executors cost while they live, and that they cost nothing afterwards.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './support/child.mjs'

async function measure(fixture, args) {
  const { code, signal, lines, stderr } = await run(fixture, args, { flags: ['--expose-gc'] })
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr)
  return JSON.parse(lines.at(-1))
}

for (const how of ['close', 'drop']) {
  const title = how === 'close' ? 'executors that were closed' : 'executors that nobody holds'
  test(`${title} leave no thread, no file and no memory behind`, async () => {
    const seen = await measure('resources.mjs', [how])
    const [, first] = seen
    const last = seen.at(-1)
    const text = JSON.stringify(seen)
    assert.ok(last.alive <= 2, text)
    assert.ok(Math.abs(last.threads - first.threads) <= 2, text)
    assert.ok(Math.abs(last.files - first.files) <= 2, text)
    // Three more rounds of fifty: an engine that stayed would keep more than this by its arrays alone.
    assert.ok(last.rss - first.rss < 30, text)
  })
}

test('outcomes that nobody can ask for any more are not kept', async () => {
  const { most, all } = await measure('outcomes.mjs', [])
  assert.ok(most < all / 2, `${most} MiB held of ${all} MiB of outcomes`)
})
