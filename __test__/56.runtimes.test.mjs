// The smoke program on every runtime that is supported, each fetched from the npm registry as a package.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ensureRuntimes } from '../scripts/runtimes.mjs'

const program = fileURLToPath(new URL('./fixtures/smoke.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'task-runtimes-'))
after(() => rmSync(folder, { recursive: true, force: true }))

function smoke(runtime, args, place) {
  const child = spawn(runtime, [...args, program, mkdtempSync(join(folder, place))], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 120_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', text => {
    stdout += text
  })
  child.stderr.on('data', text => {
    stderr += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}

const runtimes = ensureRuntimes()
const absent = runtimes.filter(({ program }) => program === undefined).map(({ title }) => title)
const all = [{ title: `this Node, ${process.version}`, program: process.execPath, args: [] }, ...runtimes]

for (const [at, { title, program: runtime, args }] of all.entries()) {
  if (runtime === undefined) continue
  test(`the smoke program on ${title}, in its main thread and in workers`, async () => {
    const { code, signal, stdout, stderr } = await smoke(runtime, args, `${at}-`)
    assert.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'ok\n' }, stderr)
  })
}

test(`runtimes that are absent here: ${absent.join(', ') || 'none'}`, () => {
  assert.ok(absent.length < runtimes.length, 'none of them can be had: is the registry reachable?')
})
