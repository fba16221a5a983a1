'use strict'

// Owns ids that are made on this side: UUIDv7, as the engine makes them, so that they sort by time.

const { randomFillSync } = require('node:crypto')

const bytes = Buffer.alloc(16)

/** A new id, which nobody else has. */
function uuid() {
  randomFillSync(bytes, 6)
  bytes.writeUIntBE(Date.now(), 0, 6)
  bytes[6] = (bytes[6] & 0x0f) | 0x70
  bytes[8] = (bytes[8] & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

module.exports = { uuid }
