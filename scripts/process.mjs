// Child processes for the scripts: one way to start a command, one way to give up.
// Everything here works on Node versions too old for the package, so that they get a clear answer.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/** Ends the process with one line on stderr. */
export function giveUp(message) {
  process.stderr.write(`error: ${message}\n`)
  process.exit(1)
}

/**
 * Runs a command in the checkout to its end and returns `{ ok, missing, output }`.
 * What it prints goes to stderr, so that a report on stdout stays clean; with `capture` it is returned instead.
 */
export function runCommand(command, args, { capture = false, env = process.env } = {}) {
  const stdio = capture ? ['ignore', 'pipe', 'pipe'] : ['ignore', 2, 2]
  const child = spawnSync(command, args, { cwd: root, env, stdio, encoding: 'utf8', maxBuffer: 1 << 28 })
  const missing = child.error !== undefined && child.error.code === 'ENOENT'
  const output = capture ? `${child.stdout || ''}${child.stderr || ''}` : ''
  return { ok: child.status === 0, missing, output, stdout: child.stdout || '' }
}

/** Runs a command with its output shown as it comes, and resolves to `{ ok, output }`. */
export function watchCommand(command, args, env = process.env) {
  return new Promise(resolve => {
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks = []
    const pass = (from, to) =>
      from.on('data', chunk => {
        chunks.push(chunk)
        to.write(chunk)
      })
    pass(child.stdout, process.stdout)
    pass(child.stderr, process.stderr)
    child.on('error', error => resolve({ ok: false, output: error.message }))
    child.on('close', code => resolve({ ok: code === 0, output: Buffer.concat(chunks).toString() }))
  })
}

/** Runs npm, through the very npm that started this script where there is one. */
export function runNpm(args, options) {
  const cli = process.env.npm_execpath
  if (cli && basename(cli) === 'npm-cli.js') return runCommand(process.execPath, [cli, ...args], options)
  // npm is a .cmd file there, which only a shell may start.
  if (process.platform === 'win32') return runCommand('cmd.exe', ['/d', '/s', '/c', 'npm', ...args], options)
  return runCommand('npm', args, options)
}

/** Puts rustup's folder on the path where cargo is installed but the shell does not know it yet. */
export function findCargo() {
  if (!runCommand('cargo', ['--version'], { capture: true }).missing) return true
  const home = join(process.env.CARGO_HOME || join(homedir(), '.cargo'), 'bin')
  if (!existsSync(home)) return false
  process.env.PATH = `${home}${delimiter}${process.env.PATH || ''}`
  return !runCommand('cargo', ['--version'], { capture: true }).missing
}
