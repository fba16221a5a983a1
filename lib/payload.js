'use strict'

// Owns what crosses as JSON: made into text here, parsed here, opaque to the engine in between.

const { TaskError, describe, describeFailure } = require('./errors')

/**
 * JSON text of `value`, the input or result of `task`; undefined counts as null. `limit` is in bytes, `allows` says
 * what sets it.
 */
function serialize(value, role, task, limit, allows = 'maxPayload allows') {
  if (value === undefined) return 'null'
  let text
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw new TaskError(`${nameOf(role, task)} cannot be written as JSON: ${reasonOf(cause)}`, {
      code: 'ERR_TASK_SERIALIZE',
      cause,
    })
  }
  if (text === undefined) {
    throw new TaskError(`${nameOf(role, task)} cannot be written as JSON: ${describe(value)}`, {
      code: 'ERR_TASK_SERIALIZE',
    })
  }
  // A character takes at most three bytes of UTF-8: the exact count is worth its price only near the limit.
  if (text.length * 3 > limit) requireRoom(text, role, task, limit, allows)
  return text
}

function requireRoom(text, role, task, limit, allows) {
  const bytes = Buffer.byteLength(text)
  if (bytes <= limit) return
  const message = `${nameOf(role, task)} has ${bytes} bytes of JSON; ${allows} ${limit}`
  throw new TaskError(message, { code: 'ERR_PAYLOAD_SIZE' })
}

function nameOf(role, task) {
  return task === undefined ? `the ${role}` : `the ${role} of ${describe(task)}`
}

// V8 draws cycles over several lines.
function reasonOf(cause) {
  return describeFailure(cause, 1_024).message.split('\n', 1)[0]
}

module.exports = { serialize }
