// Rules about the text of the sources that no compiler or linter checks.
// Each rule is a pure function from files to complaints; a complaint is one line `path:line: what is wrong`.

const SOURCE = /\.(rs|js|mjs|cjs|ts|mts|toml|yml|json|md|sql|lua|txt)$/
const GENERATED = new Set(['binding.js', 'binding.d.ts', 'package-lock.json', 'Cargo.lock'])
const PROSE_OR_DATA = /\.(md|json|txt)$/
const MAX_LINES = 500
const CRATES = 'registry+https://github.com/rust-lang/crates.io-index'

const nameOf = path => path.slice(path.lastIndexOf('/') + 1)
const lineAt = (text, index) => text.slice(0, index).split('\n').length

/** A file is `{ path, text }`, the path relative to the checkout and with forward slashes. */
export function isChecked(path) {
  return SOURCE.test(path) || GENERATED.has(nameOf(path))
}

export function tooLong(files) {
  return files
    .filter(({ path }) => !GENERATED.has(nameOf(path)) && !PROSE_OR_DATA.test(path))
    .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path}:1: ${lines} lines, at most ${MAX_LINES} are allowed`)
}

export function notAscii(files) {
  return files.flatMap(({ path, text }) => {
    const at = GENERATED.has(nameOf(path)) ? -1 : text.search(/[^\t\n\r -~]/)
    if (at < 0) return []
    const code = text.codePointAt(at).toString(16).toUpperCase().padStart(4, '0')
    return [`${path}:${lineAt(text, at)}: U+${code} in a source that has to be ASCII`]
  })
}

/** The published scripts are CommonJS, which is sloppy unless it says otherwise. */
export function sloppyScripts(files) {
  return files
    .filter(({ path }) => path === 'index.js' || /^lib\/.*\.js$/.test(path))
    .filter(({ text }) => !text.startsWith("'use strict'\n"))
    .map(({ path }) => `${path}:1: does not begin with 'use strict'`)
}

export function lockedHosts(files) {
  return files.flatMap(({ path, text }) => {
    if (nameOf(path) === 'package-lock.json')
      return matches(path, text, /"resolved":.*/g, 'names a registry host')
    if (nameOf(path) !== 'Cargo.lock') return []
    const foreign = matches(path, text, /^source = "(.*)"$/gm, 'is not the public index')
    return foreign.filter(complaint => !complaint.includes(`"${CRATES}"`))
  })
}

function matches(path, text, pattern, complaint) {
  return [...text.matchAll(pattern)].map(
    match => `${path}:${lineAt(text, match.index)}: ${match[0]} ${complaint}`,
  )
}

const isBinding = path => path.startsWith('src/binding/') || path === 'src/binding.rs'
const withoutComments = text => text.replace(/\/\/[^\n]*/g, '')

/** Only the binding may know Node-API: everything else builds and runs without Node. */
export function napiOutsideBinding(files) {
  return files
    .filter(({ path }) => path.startsWith('src/') && path.endsWith('.rs') && !isBinding(path))
    .flatMap(({ path, text }) =>
      matches(path, withoutComments(text), /\bnapi(_derive)?::/g, 'outside src/binding'),
    )
}

/**
 * A panic in an exported function without `catch_unwind` ends the process, and an async method that borrows
 * `self` is read after Node has freed it.
 */
export function unsafeExports(files) {
  return files.filter(({ path }) => isBinding(path) && path.endsWith('.rs')).flatMap(exportsOf)
}

/** The text of the attribute that begins at `start`, to its closing bracket; brackets in strings do not count. */
function attributeAt(code, start) {
  let depth = 0
  let quoted = false
  for (let at = start; at < code.length; at++) {
    const character = code[at]
    if (quoted && character === '\\') at++
    else if (character === '"') quoted = !quoted
    else if (!quoted && character === '[') depth++
    else if (!quoted && character === ']' && --depth === 0) return code.slice(start, at + 1)
  }
  return code.slice(start)
}

function exportsOf({ path, text }) {
  const code = withoutComments(text)
  const found = []
  for (const { index } of code.matchAll(/#\[napi\b/g)) {
    const attribute = attributeAt(code, index)
    const item = code.slice(index + attribute.length).replace(/^(\s*#\[[^\]]*\])*\s*/, '')
    const fn = /^(?:pub(?:\([^)]*\))?\s+)?((?:const\s+|unsafe\s+|async\s+)*)fn\s+(\w+)[^(]*\(([^)]*)/.exec(
      item,
    )
    if (!fn) continue
    const [, qualifiers, name, parameters] = fn
    const where = `${path}:${lineAt(code, index)}: fn ${name}`
    if (qualifiers.includes('async')) {
      if (/\bself\b/.test(parameters)) found.push(`${where} is async and borrows self`)
    } else if (!attribute.includes('catch_unwind')) found.push(`${where} is exported without catch_unwind`)
  }
  return found
}

/** All rules by name. */
export const RULES = { tooLong, notAscii, sloppyScripts, lockedHosts, napiOutsideBinding, unsafeExports }
