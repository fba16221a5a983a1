'use strict'

// Owns the way to the native addon: the generated loader finds it; what can go wrong is found out before, and said
// in one error with its cure, since a file that does not fit may end the process without a word.
// Invariant: an error of this file has the code ERR_ADDON, and what the system said, if anything, as its cause.

const { existsSync, readdirSync } = require('node:fs')
const { dirname, join } = require('node:path')
const { defectOf, libcOf, nameOf } = require('./addon-file')
const { name, version } = require('../package.json')

const NODE_API = 8
const SYSTEMS = ['linux-x64-gnu', 'linux-arm64-gnu', 'linux-x64-musl', 'linux-arm64-musl']
SYSTEMS.push('darwin-x64', 'darwin-arm64', 'win32-x64-msvc', 'win32-arm64-msvc')
const REINSTALL = 'remove node_modules and run npm install again on this system'

function fail(message, cure, cause = undefined) {
  return Object.assign(new Error(`${name} ${message}; ${cure}`, { cause }), { code: 'ERR_ADDON' })
}

// The program that runs this tells which C library this is: the machine may well have both.
function systemHere() {
  const { arch, platform, execPath } = process
  return { platform, arch, libc: platform === 'linux' ? (libcOf(execPath) ?? 'glibc') : undefined }
}

function suffixOf({ platform, arch, libc }) {
  if (platform === 'win32') return `${platform}-${arch}-msvc`
  return libc === undefined
    ? `${platform}-${arch}`
    : `${platform}-${arch}-${libc === 'musl' ? 'musl' : 'gnu'}`
}

/** The file that the generated loader will take, as far as it can be told. */
function fileFor(suffix) {
  const { NAPI_RS_NATIVE_LIBRARY_PATH: given } = process.env
  if (given) return { path: given, cure: 'name another one by NAPI_RS_NATIVE_LIBRARY_PATH, or none' }
  const built = join(__dirname, '..', `task.${suffix}.node`)
  if (existsSync(built)) return { path: built, cure: 'build it anew: npm run build' }
  try {
    return { path: require.resolve(`${name}-${suffix}`), cure: REINSTALL }
  } catch {
    return undefined
  }
}

/** Packages of other systems that are installed beside this one. */
function strangers() {
  try {
    const folder = dirname(dirname(require.resolve('../package.json')))
    return readdirSync(folder).filter(entry => SYSTEMS.some(system => entry === `task-${system}`))
  } catch {
    return []
  }
}

function missing(system, suffix) {
  if (!SYSTEMS.includes(suffix)) {
    return fail(`has no addon for ${nameOf(system)}`, `there is one for ${SYSTEMS.join(', ')}`)
  }
  const [stranger] = strangers()
  const text = `needs its addon for ${nameOf(system)}, and the package ${name}-${suffix} is not installed`
  if (stranger !== undefined) {
    return fail(`${text}, but that of another system is (@wterminal/${stranger})`, REINSTALL)
  }
  return fail(
    text,
    `npm leaves it out with --omit=optional, or where package-lock.json was written on another system: ${REINSTALL}`,
  )
}

function requireRuntime() {
  if (Number(process.versions.napi ?? 0) >= NODE_API) return
  throw fail(`needs Node-API ${NODE_API}, and this is Node.js ${process.version}`, 'take Node.js 20 or newer')
}

function load() {
  requireRuntime()
  const system = systemHere()
  const suffix = suffixOf(system)
  const file = fileFor(suffix)
  if (file !== undefined) {
    const defect = defectOf(file.path, system)
    if (defect !== undefined) throw fail(`cannot use its addon: ${file.path} ${defect}`, file.cure)
  }
  let binding
  try {
    binding = require('../binding.js')
  } catch (error) {
    throw file === undefined ? missing(system, suffix) : refused(file, error)
  }
  // One that is there by accident, such as an old build, would fail later and far from the cause.
  const { version: found } = binding
  if (typeof found !== 'function' || found() !== version) {
    const other = typeof found === 'function' ? `is of version ${found()}` : 'is the addon of something else'
    throw fail(`${version} cannot use its addon: ${file?.path ?? suffix} ${other}`, file?.cure ?? REINSTALL)
  }
  return binding
}

function refused({ path, cure }, error) {
  let said = error.message
  // The generated loader tries several names, and chains what each of them met with.
  for (let next = error.cause; next; next = next.cause) {
    if (!next.message.startsWith('Cannot find module')) said = next.message
  }
  return fail(`cannot load its addon ${path}: ${said}`, cure, error)
}

module.exports = load()
