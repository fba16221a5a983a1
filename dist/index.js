'use strict'

// Owns the way from `cargo build --features napi` to `npm install ./dist`: the package of this checkout, with the
// newest library below target/ as its addon. npm links this folder, so the checkout has to stay where it is.
// Invariant: nothing in the environment of the process is left changed.

const { copyFileSync, existsSync, renameSync, statSync } = require('node:fs')
const { join } = require('node:path')

const KEY = 'NAPI_RS_NATIVE_LIBRARY_PATH'
const FILE = { win32: 'task.dll', darwin: 'libtask.dylib' }[process.platform] ?? 'libtask.so'
const root = join(__dirname, '..')

/** The newest library, under the name that Node wants an addon to have. */
function findAddon() {
  const target = process.env.CARGO_TARGET_DIR || join(root, 'target')
  const built = ['release', 'debug'].map(profile => join(target, profile, FILE)).filter(existsSync)
  const [newest] = built.sort((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs)
  if (newest === undefined) {
    const text = `@wterminal/task has no library in ${join(target, '{release,debug}', FILE)}`
    throw Object.assign(new Error(`${text}; build it: cargo build --features napi`), { code: 'ERR_ADDON' })
  }
  const addon = `${newest}.node`
  if (!existsSync(addon) || statSync(addon).mtimeMs < statSync(newest).mtimeMs) {
    // Two processes may do so at once, and a third may have the old one in use.
    const fresh = `${addon}.${process.pid}`
    copyFileSync(newest, fresh)
    renameSync(fresh, addon)
  }
  return addon
}

const before = process.env[KEY]
process.env[KEY] = before ?? findAddon()
try {
  module.exports = require('../index.js')
} finally {
  if (before === undefined) delete process.env[KEY]
}
