// The way to the addon: whatever is wrong with the file that is found, or with what it is loaded by, ends in one error
// that says so and names the cure. Never in a signal: so all of it runs in processes of their own.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { addonPath, systemName } from '../scripts/pack.mjs'

const { defectOf } = createRequire(import.meta.url)('../lib/addon-file.js')
const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'task-addon-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** Loads the package of `at`; gives what the error says, or `loaded`. */
function load({ at = root, addon, before = '' }) {
  const program = `${before}
    let said = 'loaded'
    try { require(${JSON.stringify(join(at, 'index.js'))}) } catch (error) { said = error.code + ' ' + error.message }
    console.log(said)`
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=commonjs', '-e', program],
    {
      encoding: 'utf8',
      env: { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: addon, NODE_TEST_CONTEXT: undefined },
    },
  )
  assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' })
  return stdout.trimEnd()
}

const whole = readFileSync(addonPath())
let serial = 0

/** A file with these bytes. */
function forge(bytes) {
  serial += 1
  const path = join(folder, `forged-${serial}.node`)
  writeFileSync(path, bytes)
  return path
}

describe('a file that is not whole', { concurrency: 2 }, () => {
  for (const share of [0.1, 0.5, 0.9, 0.999]) {
    test(`cut off at ${share}`, () => {
      const path = forge(whole.subarray(0, Math.floor(whole.length * share)))
      assert.match(
        load({ addon: path }),
        /^ERR_ADDON .* is not whole: .*; name another one by NAPI_RS_NATIVE_LIB/,
      )
    })
  }

  const bodies = [
    ['empty', '', /is empty/],
    ['a page of an error', '<!doctype html><title>404 Not Found</title>'.repeat(99), /is no addon at all/],
    ['its beginning alone', whole.subarray(0, 40), /is no addon at all|is not whole/],
  ]
  for (const [title, bytes, says] of bodies) {
    test(title, () => assert.match(load({ addon: forge(bytes) }), new RegExp(`^ERR_ADDON .*${says.source}`)))
  }

  test('none', () =>
    assert.match(load({ addon: join(folder, 'none.node') }), /^ERR_ADDON .*cannot be read \(ENOENT\)/))
  test('a folder', () =>
    assert.match(load({ addon: folder }), /^ERR_ADDON .*cannot be read \(EISDIR\)|EPERM|EACCES/))
})

// The beginnings of files for other systems, as their linkers write them.
function elf({ cpu = 62, bits = 2, library = 'libc.so.6' }) {
  const bytes = Buffer.alloc(512)
  bytes.write('\x7fELF', 'latin1')
  bytes.writeUInt8(bits, 4)
  bytes.writeUInt8(1, 5)
  bytes.writeUInt16LE(cpu, 18)
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeUInt16LE(56, 54)
  bytes.writeUInt16LE(2, 56)
  const part = (at, kind, from, size) => {
    bytes.writeUInt32LE(kind, at)
    bytes.writeBigUInt64LE(BigInt(from), at + 8)
    bytes.writeBigUInt64LE(BigInt(from), at + 16)
    bytes.writeBigUInt64LE(BigInt(size), at + 32)
  }
  part(64, 1, 0, 512)
  part(120, 2, 256, 48)
  const strings = `\0libgcc_s.so.1\0${library}\0`
  const entries = [5n, 400n, 10n, BigInt(strings.length), 0n, 0n]
  for (const [i, value] of entries.entries()) bytes.writeBigUInt64LE(value, 256 + i * 8)
  bytes.write(strings, 400, 'latin1')
  return bytes
}

function mach(cpu) {
  const bytes = Buffer.alloc(128)
  bytes.writeUInt32LE(0xfeedfacf, 0)
  bytes.writeUInt32LE(cpu, 4)
  return bytes
}

function pe(cpu) {
  const bytes = Buffer.alloc(256)
  bytes.write('MZ')
  bytes.writeUInt32LE(64, 60)
  bytes.write('PE\0\0', 64, 'latin1')
  bytes.writeUInt16LE(cpu, 68)
  return bytes
}

const LINUX = { platform: 'linux', arch: 'x64', libc: 'glibc' }
const ALPINE = { ...LINUX, libc: 'musl' }
const MAC = { platform: 'darwin', arch: 'arm64', libc: undefined }
const WINDOWS = { platform: 'win32', arch: 'x64', libc: undefined }
const FILES = [
  ['for glibc', elf({}), LINUX],
  ['for musl', elf({ library: 'libc.musl-x86_64.so.1' }), ALPINE],
  ['for musl, linked by zig', elf({ library: 'libc.so' }), ALPINE],
  ['for Linux on ARM', elf({ cpu: 183 }), { ...LINUX, arch: 'arm64' }],
  ['for macOS on ARM', mach(0x0100000c), MAC],
  ['for macOS on Intel', mach(0x01000007), { ...MAC, arch: 'x64' }],
  ['for Windows', pe(0x8664), WINDOWS],
  ['for Windows on ARM', pe(0xaa64), { ...WINDOWS, arch: 'arm64' }],
]

for (const [title, bytes, system] of FILES) {
  test(`a file ${title} fits that system and no other`, () => {
    const path = forge(bytes)
    for (const [, , other] of FILES) {
      const defect = defectOf(path, other)
      const fits = JSON.stringify(other) === JSON.stringify(system)
      if (fits) assert.equal(defect, undefined)
      else
        assert.match(
          defect,
          new RegExp(`^is for ${system.platform} ${system.arch}.*, and this is ${other.platform}`),
        )
    }
  })
}

test('garbage in the tables is a defect, never an exception or a hang', () => {
  const sound = elf({})
  for (let at = 4; at < 320; at += 1) {
    for (const value of [0, 0x7f, 0xff]) {
      const bytes = Buffer.from(sound)
      bytes.writeUInt8(value, at)
      const defect = defectOf(forge(bytes), LINUX)
      assert.ok(defect === undefined || /^(is |cannot )/.test(defect), `${at}: ${defect}`)
    }
  }
})

const wrongCpu = process.arch === 'x64' ? 'arm64' : 'x64'

test('an addon of another processor', { skip: process.platform !== 'linux' }, () => {
  const bytes = Buffer.from(whole)
  bytes.writeUInt16LE(wrongCpu === 'arm64' ? 183 : 62, 18)
  assert.match(
    load({ addon: forge(bytes) }),
    new RegExp(`is for linux ${wrongCpu} .*, and this is linux ${process.arch}`),
  )
})

test('the addon of another C library', { skip: process.platform !== 'linux' }, () => {
  const other = elf({
    cpu: process.arch === 'x64' ? 62 : 183,
    library: systemName().endsWith('gnu') ? 'libc.musl-x86_64.so.1' : 'libc.so.6',
  })
  assert.match(
    load({ addon: forge(other) }),
    /^ERR_ADDON .* is for linux \w+ (musl|glibc), and this is linux/,
  )
})

test('the addon of another package', { skip: process.platform !== 'linux' }, () => {
  const tables = elf({
    cpu: process.arch === 'x64' ? 62 : 183,
    library: systemName().endsWith('gnu') ? 'libc.so.6' : 'libc.so',
  })
  assert.match(load({ addon: forge(tables) }), /^ERR_ADDON .*cannot load its addon/)
})

test('a runtime without the Node-API that it needs', () => {
  const before = `Object.defineProperty(process.versions, 'napi', { value: '7' })`
  assert.match(
    load({ addon: addonPath(), before }),
    /^ERR_ADDON .* needs Node-API 8, .*; take Node.js 20 or newer$/,
  )
})

/** The package as npm lays it down, with these packages of systems beside it. */
function installed(name, systems = [], version = undefined) {
  const scope = join(folder, name, 'node_modules', '@wterminal')
  const home = join(scope, 'task')
  mkdirSync(home, { recursive: true })
  for (const part of ['index.js', 'binding.js', 'package.json', 'lib']) {
    cpSync(join(root, part), join(home, part), { recursive: true })
  }
  if (version !== undefined) {
    const about = { ...JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')), version }
    writeFileSync(join(home, 'package.json'), JSON.stringify(about))
  }
  for (const system of systems) {
    const beside = join(scope, `task-${system}`)
    mkdirSync(beside)
    writeFileSync(
      join(beside, 'package.json'),
      JSON.stringify({ name: `task-${system}`, main: 'a.node', version: '0.1.0' }),
    )
    cpSync(addonPath(), join(beside, 'a.node'))
  }
  return home
}

test('the package of this system', () => {
  assert.equal(load({ at: installed('sound', [systemName()]) }), 'loaded')
})

test('no package of this system', () => {
  const said = load({ at: installed('alone') })
  assert.match(
    said,
    /^ERR_ADDON @wterminal\/task needs its addon for .*is not installed; npm leaves it out with --omit=optional/,
  )
  assert.ok(said.includes(`@wterminal/task-${systemName()}`))
})

test('the package of another system', () => {
  const other = process.platform === 'win32' ? 'linux-x64-gnu' : 'win32-x64-msvc'
  const said = load({ at: installed('moved', [other]) })
  assert.match(
    said,
    /that of another system is \(@wterminal\/task-[\w-]+\); remove node_modules and run npm install/,
  )
})

test('a system that has no addon', () => {
  const before = `Object.defineProperty(process, 'arch', { value: 'riscv64' })`
  assert.match(
    load({ at: installed('exotic'), before }),
    /^ERR_ADDON .*has no addon for \w+ riscv64.*; there is one for linux-x64/,
  )
})

test('an addon of another version', () => {
  const said = load({ at: installed('old', [systemName()], '9.9.9') })
  assert.match(
    said,
    /^ERR_ADDON .*9\.9\.9 cannot use its addon: .* is of version \d+\.\d+\.\d+; remove node_modules/,
  )
})
