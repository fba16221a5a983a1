// Brings together what a run needs: the contenders, the Node that runs them all, and the addon.
//
// Contenders and Node come from the lock of this folder, with no install script: the packages
// `node-<system>-<cpu>` hold the binary itself. Whatever is in place is left alone.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureRunnable } from '../scripts/setup.mjs'

export const here = fileURLToPath(new URL('.', import.meta.url))
export const root = fileURLToPath(new URL('..', import.meta.url))

/** p-queue 10 asks for it; the other contenders are content with less. */
const OLDEST_NODE = 22

const readJson = file => JSON.parse(readFileSync(file, 'utf8'))
const nodePackage = () => `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`

/** The pinned packages that belong on this machine, with their versions. */
export function pinned() {
  const { dependencies, optionalDependencies } = readJson(join(here, 'package.json'))
  const node = nodePackage()
  return node in optionalDependencies ? { ...dependencies, [node]: optionalDependencies[node] } : dependencies
}

function installedVersion(name) {
  const file = join(here, 'node_modules', name, 'package.json')
  return existsSync(file) ? readJson(file).version : undefined
}

/** Installs the contenders where one is missing or not the pinned version. */
export function ensureContenders() {
  if (Object.entries(pinned()).every(([name, version]) => installedVersion(name) === version)) return
  process.stderr.write('benchmark: installing the contenders (npm install)\n')
  // Their Node is the pinned one, not that of npm: a warning about engines would only mislead.
  // Not `npm ci`: of an optional dependency of theirs the registry may lack the packages of other platforms.
  runNpm(['install', '--no-save', '--ignore-scripts', '--loglevel=error'], here)
}

/** The path of the Node that runs every contender. */
export function findNode(wanted) {
  if (wanted && !existsSync(wanted)) throw new Error(`--node ${wanted}: there is no such file`)
  if (wanted) return wanted
  const folder = join(here, 'node_modules', nodePackage())
  if (existsSync(folder)) return join(folder, readJson(join(folder, 'package.json')).bin.node)
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) return process.execPath
  throw new Error(
    `no pinned Node for ${process.platform} ${process.arch}, and p-queue 10 needs Node ${OLDEST_NODE} ` +
      `or newer, not ${process.versions.node}: run this with a newer Node, or name one with --node PATH`,
  )
}

/** The addon in the checkout, or undefined. */
export function addonFile() {
  const name = readdirSync(root).find(file => file.endsWith('.node'))
  return name && join(root, name)
}

/** Builds the addon where it is missing or older than its sources, unless another one is named to the loader. */
export function ensureAddon() {
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) return
  ensureRunnable()
}

function runNpm(args, cwd) {
  // npm is a .cmd file on Windows, which only a shell may start. What npm prints goes to stderr: stdout is
  // the report's.
  const { status, error } = spawnSync('npm', args, {
    cwd,
    shell: process.platform === 'win32',
    stdio: ['ignore', 2, 2],
  })
  if (error) throw new Error(`npm cannot be started: ${error.message}`)
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed: see its output above`)
}
