// The redis-server that the tests start: the machine's own, or Debian's package unpacked under target/.
// Invariants: nothing is installed into the system; where no server is to be had, one line says how to get one.

import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { giveUp, root, runCommand } from './process.mjs'

const HOW =
  'redis-server is missing: install it (apt-get install redis-server) or name it by TASK_REDIS_SERVER'
const folder = join(root, 'target', 'redis')
const unpacked = join(folder, 'redis-server')
/** The package with the program, and the libraries that it may need in one release of Debian or another. */
const PACKAGES = [
  'redis-tools',
  'redis-server',
  'libjemalloc2',
  'liblzf1',
  'liblua5.1-0',
  'lua-bitop',
  'lua-cjson',
  'libhiredis0.14',
  'libhiredis1.1.0',
  'libatomic1',
]

const works = program => runCommand(program, ['--version'], { capture: true }).ok

/** Runs apt with folders of its own, so that it needs no rights and leaves no trace outside of them. */
function apt(args) {
  const lists = join(folder, 'lists')
  const options = [
    `Dir::State=${lists}`,
    `Dir::Cache=${join(folder, 'cache')}`,
    'Dir::State::status=/var/lib/dpkg/status',
    'APT::Sandbox::User=',
    'Debug::NoLocking=1',
  ]
  const flags = options.flatMap(option => ['-o', option])
  return runCommand(
    'sh',
    ['-c', 'cd "$1" && shift && exec "$@"', 'sh', folder, 'apt-get', ...flags, ...args],
    {
      capture: true,
    },
  )
}

/** Unpacks Debian's packages, and writes a script that runs the server with the libraries among them. */
function unpack() {
  if (runCommand('apt-get', ['--version'], { capture: true }).missing) return false
  process.stderr.write("setup: unpacking Debian's redis-server\n")
  rmSync(folder, { recursive: true, force: true })
  for (const part of ['lists/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(folder, part), { recursive: true })
  if (!apt(['update']).ok) return false
  // A library that this release does not have under this name is not needed there.
  for (const name of PACKAGES) apt(['download', name])
  for (const name of readdirSync(folder).filter(name => name.endsWith('.deb')))
    runCommand('dpkg-deb', ['-x', join(folder, name), folder], { capture: true })
  const program = join(folder, 'usr', 'bin', 'redis-server')
  if (!existsSync(program)) return false
  const libraries = join(folder, 'usr', 'lib')
  const search = [libraries, ...readdirSync(libraries).map(name => join(libraries, name))].join(':')
  writeFileSync(unpacked, `#!/bin/sh\nLD_LIBRARY_PATH='${search}' exec '${program}' "$@"\n`)
  chmodSync(unpacked, 0o755)
  return works(unpacked)
}

/** The program to start servers with; ends the process where there is none. */
export function ensureRedis() {
  if (process.platform === 'win32') {
    process.stderr.write('setup: there is no redis-server for Windows: its store is tested on Unix only\n')
    return undefined
  }
  const named = process.env.TASK_REDIS_SERVER
  if (named) return works(named) ? named : giveUp(`TASK_REDIS_SERVER names ${named}, which does not run`)
  if (works('redis-server')) return 'redis-server'
  if (existsSync(unpacked) && works(unpacked)) return unpacked
  return unpack() ? unpacked : giveUp(HOW)
}
