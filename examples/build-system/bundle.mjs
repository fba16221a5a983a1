// What building means here: a source is checked and wrapped, wrapped sources become one program. Pure, but for the
// compiler of V8.

import { createHash } from 'node:crypto'
import { dirname, join, posix } from 'node:path'
import { Script } from 'node:vm'

/** A short name for what something holds. */
export function digest(...parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest('hex').slice(0, 24)
}

/**
 * A CommonJS source as an entry of a bundle, and the sources it needs; throws where it is no JavaScript. What lies
 * outside of the folder stays there, named by its whole path: `file` is that of the source.
 */
export function compile(path, file, source) {
  const needs = []
  const text = source.replace(/\brequire\('(\.[^']*)'\)/g, (call, name) => {
    const needed = resolve(path, name)
    if (needed.startsWith('../')) return `require(${JSON.stringify(join(dirname(file), name))})`
    needs.push(needed)
    return call
  })
  const code = `function (module, exports, require) {${text}\n}`
  new Script(`(${code})`, { filename: path })
  return { code: `${JSON.stringify(path)}: ${code}`, needs }
}

/** The path of what one source calls another. */
export function resolve(from, name) {
  const path = posix.join(posix.dirname(from), name)
  return path.endsWith('.js') ? path : `${path}.js`
}

/** Entries as one program whose exports are those of the source that is asked for. */
export function link(entries) {
  return `'use strict'
const sources = {
${entries.join(',\n')}
}
const loaded = {}
const load = path => {
  if (loaded[path] === undefined) {
    const module = (loaded[path] = { exports: {} })
    const folder = path.split('/').slice(0, -1)
    const near = name => {
      const parts = [...folder]
      for (const part of name.split('/')) part === '..' ? parts.pop() : part !== '.' && parts.push(part)
      const path = parts.join('/')
      return path in sources ? path : path + '.js'
    }
    sources[path](module, module.exports, name => (name.startsWith('.') ? load(near(name)) : require(name)))
  }
  return loaded[path].exports
}
module.exports = load
`
}
