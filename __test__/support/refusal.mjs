// What a refused option looks like, for `assert.throws`.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const { TaskError } = createRequire(import.meta.url)('../../lib/errors.js')

/** Checks that an error is a TaskError ERR_OPTION whose message has all these parts. */
export function refusal(...parts) {
  return error => {
    assert.ok(error instanceof TaskError, String(error))
    assert.equal(error.code, 'ERR_OPTION')
    for (const part of parts)
      assert.ok(error.message.includes(part), `${error.message}\ndoes not say ${part}`)
    return true
  }
}
