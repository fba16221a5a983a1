// Small programs that use the package, run as child processes to their end.

import { spawn } from 'node:child_process'

const INDEX = new URL('../../index.js', import.meta.url).href

// No program of the tests needs so long, on whatever machine.
const PATIENCE = 60_000

/** Runs an ESM program that has the public API in scope, and gives `{ code, stdout, stderr }`. */
export function runProgram(test, source, env = {}) {
  const text = `import { defineTask, RetryPolicy, TaskError, TaskExecutor } from ${JSON.stringify(INDEX)}\n${source}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', text], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE,
    killSignal: 'SIGKILL',
  })
  test.after(() => child.kill('SIGKILL'))
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', chunk => {
      output[name] += chunk
    })
  }
  return new Promise(resolve => {
    child.on('close', (code, signal) => resolve({ code: code ?? signal, ...output }))
  })
}
