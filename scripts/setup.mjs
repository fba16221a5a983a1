// Brings a fresh checkout to where its code runs: Node new enough, npm packages, the addon.
// Invariants: nothing is started and nothing is said where all is in place; whatever is missing on the machine
// ends the process with one line that names it and says where to get it; stdout is left to the caller.

import { lstatSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { findCargo, giveUp, root, runCommand, runNpm } from './process.mjs'
import { addonIsFresh, hashSources, markAddon } from './sources.mjs'

const OLDEST_NODE = 20
const BUILD_FLAGS = ['--platform', '--features', 'napi', '--js', 'binding.js', '--dts', 'binding.d.ts']

function say(message) {
  process.stderr.write(`setup: ${message}\n`)
}

function modifiedAt(path) {
  const stat = statSync(join(root, path), { throwIfNoEntry: false })
  return stat ? stat.mtimeMs : undefined
}

/** Ends the process where Node is older than the package supports. */
export function requireNode() {
  const major = Number(process.versions.node.split('.')[0])
  if (major < OLDEST_NODE)
    giveUp(`Node.js ${OLDEST_NODE} or newer is needed, this is ${process.versions.node}`)
}

/** Ends the process where Rust is missing or older than Cargo.toml asks for. */
export function requireRust() {
  if (!findCargo()) giveUp('Rust is missing (no cargo on the path): install it from https://rustup.rs')
  const wanted = /^rust-version = "(\d+)\.(\d+)/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))
  const found = /^cargo (\d+)\.(\d+)\S*/.exec(runCommand('cargo', ['--version'], { capture: true }).stdout)
  if (!found) giveUp('cargo does not work: `cargo --version` fails; reinstall Rust from https://rustup.rs')
  if (wanted && (+found[1] - +wanted[1] || +found[2] - +wanted[2]) < 0) {
    giveUp(`Rust ${wanted[1]}.${wanted[2]} or newer is needed, this is ${found[0]}; run: rustup update`)
  }
}

/** Installs the npm packages of the lock where they are missing or older than it. */
export function ensurePackages() {
  const installed = modifiedAt('node_modules/.package-lock.json')
  if (installed !== undefined && installed >= modifiedAt('package-lock.json')) return
  if (lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) {
    giveUp(
      'node_modules is a link, and npm ci would empty what it leads to: install there, or remove the link',
    )
  }
  say('installing npm packages (npm ci)')
  const npm = runNpm(['ci', '--loglevel=error'])
  if (npm.missing) giveUp('npm is missing: install Node.js with npm from https://nodejs.org')
  if (!npm.ok) giveUp('npm ci failed: see its output above')
}

/** Runs `napi build` with cargo's profile `dev` or `release`; `extra` arguments go to it as they are. */
export function runNapiBuild(profile, extra = []) {
  const cli = join(root, 'node_modules', '@napi-rs', 'cli')
  const bin = JSON.parse(readFileSync(join(cli, 'package.json'), 'utf8')).bin.napi
  const flags = profile === 'release' ? ['--release', ...BUILD_FLAGS] : BUILD_FLAGS
  return runCommand(process.execPath, [join(cli, bin), 'build', ...flags, ...extra])
}

/** Builds the addon whatever is there and marks it with its sources; `extra` arguments are for cross builds. */
export function buildAddon(profile, extra = []) {
  requireRust()
  ensurePackages()
  // Taken before the build: an edit during it leaves a mark that no longer fits, never one that lies.
  const hash = hashSources()
  if (!runNapiBuild(profile, extra).ok) giveUp(explainBuildFailure())
  if (extra.length === 0) markAddon(hash, profile)
}

function explainBuildFailure() {
  const linker = process.platform !== 'win32' && runCommand('cc', ['--version'], { capture: true }).missing
  if (!linker) return 'the addon does not build: see the output above'
  const how = process.platform === 'darwin' ? 'run: xcode-select --install' : 'install gcc or clang'
  return `the addon does not build and there is no C linker (cc) on the path: ${how}`
}

/** Builds the addon where it is missing or older than its sources; one that the loader is told to take is taken. */
export function ensureAddon() {
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH || addonIsFresh(['release'])) return
  say('building the addon (the first time takes some minutes)')
  buildAddon('release')
}

/** The same for the tests, which take any profile: `dev` shares its dependencies with `cargo test`. */
export function ensureTestAddon() {
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH || addonIsFresh(['release', 'dev'])) return
  say('building the addon for the tests (the first time takes a minute or two)')
  buildAddon('dev')
}

/** All that running the library in this checkout needs. */
export function ensureRunnable() {
  requireNode()
  ensureAddon()
}
