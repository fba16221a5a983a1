// The rules that `npm run check` holds the sources to: each one lets good text pass and finds what it is for.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { overBudget } from '../scripts/published.mjs'
import {
  lockedHosts,
  napiOutsideBinding,
  notAscii,
  sloppyScripts,
  tooLong,
  unsafeExports,
} from '../scripts/rules.mjs'

const file = (path, text) => [{ path, text }]
const binding = text => unsafeExports(file('src/binding/mod.rs', text))

test('no source over 500 lines, generated ones and prose apart', () => {
  assert.deepEqual(tooLong(file('lib/a.js', 'x\n'.repeat(500))), [])
  assert.deepEqual(tooLong(file('binding.js', 'x\n'.repeat(900))), [])
  assert.deepEqual(tooLong(file('README.md', 'x\n'.repeat(900))), [])
  assert.deepEqual(tooLong(file('lib/a.js', 'x\n'.repeat(501))), [
    'lib/a.js:1: 501 lines, at most 500 are allowed',
  ])
})

test('ASCII only', () => {
  assert.deepEqual(notAscii(file('a.rs', 'let a = "\\u{e9}";\n\t~')), [])
  assert.deepEqual(notAscii(file('a.rs', 'ok\n// caf\u00e9\n')), [
    'a.rs:2: U+00E9 in a source that has to be ASCII',
  ])
})

test('published scripts are strict', () => {
  assert.deepEqual(sloppyScripts(file('lib/a.js', "'use strict'\n\nmodule.exports = {}\n")), [])
  assert.deepEqual(sloppyScripts(file('scripts/a.mjs', 'export {}\n')), [])
  assert.deepEqual(sloppyScripts(file('index.js', 'module.exports = {}\n')), [
    "index.js:1: does not begin with 'use strict'",
  ])
})

test('no lock file names a registry host', () => {
  const crate = host => `[[package]]\nname = "slab"\nsource = "registry+https://${host}"\n`
  assert.deepEqual(lockedHosts(file('package-lock.json', '{ "integrity": "sha512-x" }')), [])
  assert.deepEqual(lockedHosts(file('Cargo.lock', crate('github.com/rust-lang/crates.io-index'))), [])
  assert.equal(lockedHosts(file('Cargo.lock', crate('mirror.example/index'))).length, 1)
  const resolved = '{\n  "resolved": "https://mirror.example/a.tgz"\n}'
  assert.match(
    lockedHosts(file('benchmark/package-lock.json', resolved))[0],
    /^benchmark\/package-lock.json:2: /,
  )
})

test('Node-API only in the binding', () => {
  assert.deepEqual(napiOutsideBinding(file('src/binding/turn.rs', 'use napi::Env;')), [])
  assert.deepEqual(napiOutsideBinding(file('src/lib.rs', '// napi:: stays in the binding\nmod binding;')), [])
  assert.equal(napiOutsideBinding(file('src/engine/run.rs', 'use napi::Env;')).length, 1)
  assert.equal(napiOutsideBinding(file('src/lib.rs', 'use napi_derive::napi;')).length, 1)
})

test('every exported function catches panics', () => {
  assert.deepEqual(binding('#[napi(catch_unwind)]\npub fn version() -> u32 { 1 }'), [])
  assert.deepEqual(binding('#[napi(object)]\npub struct Options { pub a: u32 }\n#[napi]\nimpl Engine {}'), [])
  assert.deepEqual(binding('#[napi(catch_unwind, ts_return_type = "number[]")]\n#[allow(x)]\nfn a() {}'), [])
  assert.deepEqual(binding('\n#[napi]\npub fn version() -> u32 { 1 }'), [
    'src/binding/mod.rs:2: fn version is exported without catch_unwind',
  ])
  assert.equal(binding('#[napi(constructor)]\n/// New.\npub fn new(a: u32) -> Self {}').length, 1)
  assert.equal(binding('#[napi(getter, ts_return_type = "number[]")]\n#[inline]\nfn a(&self) {}').length, 1)
})

test('no exported async function borrows self', () => {
  assert.deepEqual(binding('#[napi]\npub async fn sleep(ms: u32) {}'), [])
  assert.deepEqual(binding('#[napi]\npub async fn close(&self) {}'), [
    'src/binding/mod.rs:1: fn close is async and borrows self',
  ])
})

test('nothing published is larger than its budget', () => {
  const budget = { main: { size: 100, unpackedSize: 200 } }
  const report = (size, unpackedSize) => ({ main: { name: 'a', size, unpackedSize } })
  assert.deepEqual(overBudget(report(100, 200), budget), [])
  assert.deepEqual(overBudget(report(101, 200), budget), ['a: size is 101 bytes, at most 100 are allowed'])
  assert.equal(overBudget(report(101, 201), budget).length, 2)
})
