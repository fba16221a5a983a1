// Programs in processes of their own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

// No program of the tests needs so long, on whatever machine.
const PATIENCE = 60_000

/** Starts a fixture; `ended` gives its exit code and the signal that killed it. */
export function start(fixture, args = [], { flags = [], env = {} } = {}) {
  const path = fileURLToPath(new URL(`../fixtures/${fixture}`, import.meta.url))
  const child = spawn(process.execPath, [...flags, path, ...args], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE,
    killSignal: 'SIGKILL',
  })
  child.stdout.setEncoding('utf8')
  child.stderr.setEncoding('utf8')
  child.ended = once(child, 'close')
  return child
}

/** Runs a fixture to its end; gives its exit code, the signal that killed it, and what it printed. */
export function run(fixture, args = [], options = {}) {
  const child = start(fixture, args, options)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', text => {
    stdout += text
  })
  child.stderr.on('data', text => {
    stderr += text
  })
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve({
        code,
        signal,
        stdout,
        stderr,
        lines: stdout.split('\n').filter(Boolean),
        ms: performance.now() - startedAt,
      })
    })
  })
}
