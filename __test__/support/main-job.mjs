// Folders to index, and the program that indexes them as a child process.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../examples/index-folder/main.mjs', import.meta.url))
const CACHE = mkdtempSync(join(tmpdir(), 'task-main-job-cache-'))
process.on('exit', () => rmSync(CACHE, { recursive: true, force: true }))
const FAULTS = new URL('faulty-fs.mjs', import.meta.url).href

/** A new folder with these files (`{ 'a/b.txt': content }`), removed when the test ends. */
export function makeFolder(test, files) {
  const folder = mkdtempSync(join(tmpdir(), 'task-main-job-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
  return folder
}

/**
 * Runs the program to its end: `{ code, stdout, stderr, mostOpen }`. `faults` as in faulty-fs.mjs;
 * `onStdout(text, child)` sees all of stdout so far whenever more of it comes.
 */
export async function runMainJob(args, { faults = {}, onStdout, test } = {}) {
  const report = test && join(makeFolder(test, {}), 'most-open')
  const env = {
    ...process.env,
    TASK_CACHE_DIR: CACHE,
    FAULTS: JSON.stringify(faults),
    FAULTS_REPORT: report ?? '',
  }
  const child = spawn(process.execPath, ['--import', FAULTS, MAIN, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Only for a program that hangs: SIGTERM would be taken as a wish to end in good order.
    timeout: 120_000,
    killSignal: 'SIGKILL',
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', text => {
      output[name] += text
      if (name === 'stdout') onStdout?.(output.stdout, child)
    })
  }
  const code = await new Promise(resolve => child.on('close', (number, signal) => resolve(number ?? signal)))
  return { code, ...output, mostOpen: report && Number(readFileSync(report, 'utf8')) }
}

/** Runs it with --json and returns the report beside the rest. */
export async function runForReport(args, options) {
  const run = await runMainJob([...args, '--json'], options)
  return { ...run, report: JSON.parse(run.stdout) }
}
