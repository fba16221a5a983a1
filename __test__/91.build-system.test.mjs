// The example `build-system`: it is killed and goes on, does nothing twice, and does again what has changed.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { until } from './support/executors.mjs'

const main = fileURLToPath(new URL('../examples/build-system/main.mjs', import.meta.url))
const lib = fileURLToPath(new URL('../lib', import.meta.url))

function build(t, folder, pause = 0) {
  const child = spawn(process.execPath, [main, join(folder, 'source'), join(folder, 'out')], {
    env: { ...process.env, BUILD_PAUSE: String(pause) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const run = { child, text: '', ended: once(child, 'close') }
  child.stdout.on('data', data => {
    run.text += data
  })
  return run
}

const compiled = run => [...run.text.matchAll(/^compile (.*)$/gm)].map(([, path]) => path)
const made = run => JSON.parse(/^built (.*)$/m.exec(run.text)?.[1] ?? assert.fail(run.text))

test('a build that is killed goes on, and one that has ended is not done again', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'task-build-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(lib, join(folder, 'source'), {
    recursive: true,
    filter: path => !/\.d\.ts$|otel\.js$|thread\.js$/.test(path),
  })
  cpSync(fileURLToPath(new URL('../package.json', import.meta.url)), join(folder, 'package.json'))

  const outside = fileURLToPath(new URL('../binding.js', import.meta.url))
  writeFileSync(join(folder, 'binding.js'), `module.exports = require(${JSON.stringify(outside)})\n`)

  const first = build(t, folder, 20)
  await until(() => compiled(first).length >= 3, 'three sources are compiled')
  first.child.kill('SIGKILL')
  await first.ended
  const before = compiled(first)

  const second = build(t, folder)
  await second.ended
  const { program, file, sum, exports } = made(second)
  const load = createRequire(import.meta.url)(program)
  assert.equal(load('duration.js').toMillis('1.5h', 'it'), 5_400_000)
  assert.ok(exports > 50)
  assert.equal(createHash('sha256').update(readFileSync(file)).digest('hex'), sum)
  assert.equal(gunzipSync(readFileSync(file)).toString(), readFileSync(program, 'utf8'))
  assert.match(second.text, / 0 of \d+ tasks are new/, 'it goes on with what is there')
  const again = compiled(second).filter(path => before.includes(path))
  assert.ok(compiled(second).length > 0 && again.length < before.length, `compiled again: ${again}`)

  const third = build(t, folder)
  await third.ended
  assert.deepEqual(compiled(third), [])
  assert.deepEqual(made(third), made(second))

  writeFileSync(join(folder, 'source', 'uuid.js'), "'use strict'\nexports.uuid = () => 'changed'\n")
  const fourth = build(t, folder)
  await fourth.ended
  assert.deepEqual(compiled(fourth), ['uuid.js'])
  assert.equal(createRequire(import.meta.url)(made(fourth).program)('uuid.js').uuid(), 'changed')

  writeFileSync(join(folder, 'source', 'uuid.js'), 'this is no JavaScript')
  const fifth = build(t, folder)
  const [code] = await fifth.ended
  assert.equal(code, 1)
  assert.match(fifth.text, /failed: .*uuid\.js does not compile/)
})
