'use strict'

// Owns the way to the native addon: the generated loader finds it; what can go wrong before is said in words.

const NODE_API = 8

if (Number(process.versions.napi ?? 0) < NODE_API) {
  throw new Error(
    `@wterminal/task needs Node-API ${NODE_API}, which Node.js has from version 20 on; this is ${process.version}`,
  )
}

module.exports = require('../binding.js')
