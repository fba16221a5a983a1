// Lays out and packs what npm publishes, as a release does: the main package and the one with the addon of this
// system, named and linked to each other by the napi command itself.
// Invariant: nothing in the checkout is written to; all of it happens in the folder that the caller names.

import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { giveUp, root, runCommand, runNpm } from './process.mjs'

const CLI = join(root, 'node_modules', '@napi-rs', 'cli')

/** What napi calls this system: `linux-x64-gnu`, `darwin-arm64`, ... */
export function systemName() {
  const { platform, arch } = process
  if (platform === 'win32') return `${platform}-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  return `${platform}-${arch}-${process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'}`
}

/** The addon of this system: the one that the environment names, or else that of the checkout. */
export function addonPath() {
  return process.env.NAPI_RS_NATIVE_LIBRARY_PATH ?? join(root, `task.${systemName()}.node`)
}

/** The report of `npm pack` about the package in `folder`. */
export function npmPack(folder, flags = ['--dry-run']) {
  const { ok, stdout, output } = runNpm(['pack', folder, '--json', '--ignore-scripts', ...flags], {
    capture: true,
  })
  if (!ok) giveUp(`npm pack fails:\n${output}`)
  // npm 12 names the packages of the report, older ones list them.
  return Object.values(JSON.parse(stdout))[0]
}

function napi(command, folder, flags = []) {
  const { bin } = JSON.parse(readFileSync(join(CLI, 'package.json'), 'utf8'))
  const args = [join(CLI, bin.napi), command, '--cwd', folder, ...flags]
  const { ok, output } = runCommand(process.execPath, args, { capture: true })
  if (!ok) giveUp(`napi ${command} fails:\n${output}`)
}

/** The triple of this system among those that package.json names. */
function tripleHere({ napi: { targets } }) {
  const cpu = { x64: 'x86_64', arm64: 'aarch64' }[process.arch]
  const [platform, , abi] = systemName().split('-')
  const word = { linux: `linux-${abi}`, darwin: 'darwin', win32: 'windows' }[platform]
  const triple = targets.find(target => target.startsWith(`${cpu}-`) && target.includes(word))
  return triple ?? giveUp(`package.json names no target for ${systemName()}`)
}

/**
 * Packs both packages below `folder` and returns `{ main, platform }`, each with the `path` of its tarball and what npm
 * says about it (`name`, `size`, `unpackedSize`, `files`).
 */
export function packPackages(folder) {
  const stage = join(folder, 'stage')
  rmSync(stage, { recursive: true, force: true })
  for (const { path } of npmPack(root).files) {
    mkdirSync(dirname(join(stage, path)), { recursive: true })
    cpSync(join(root, path), join(stage, path))
  }
  const about = JSON.parse(readFileSync(join(stage, 'package.json'), 'utf8'))
  // A release waits for the addons of all systems; here there is one.
  about.napi.targets = [tripleHere(about)]
  writeFileSync(join(stage, 'package.json'), JSON.stringify(about, null, 2))
  napi('create-npm-dirs', stage)
  const [system] = readdirSync(join(stage, 'npm'))
  copyFileSync(addonPath(), join(stage, 'npm', system, `${about.napi.binaryName}.${system}.node`))
  napi('pre-publish', stage, ['-t', 'npm', '--skip-optional-publish', '--no-gh-release'])
  const pack = at => {
    const report = npmPack(at, ['--pack-destination', folder])
    return { ...report, path: join(folder, report.filename) }
  }
  return { main: pack(stage), platform: pack(join(stage, 'npm', system)) }
}
