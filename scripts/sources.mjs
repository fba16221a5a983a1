// Says whether the built addon is the one that the sources on disk describe.
// The mark beside the binary holds the hash of everything the build reads, and the profile it was built with; any
// difference means: build again.

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { root } from './process.mjs'

const READ_BY_BUILD = ['Cargo.toml', 'Cargo.lock', 'build.rs', 'src']
const MARK = '.sources'

/** All files below `folder` but those in folders named in `skip`, as paths with forward slashes, in one order. */
export function filesBelow(folder, skip = [], base = folder) {
  const found = []
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      if (!skip.includes(entry.name)) found.push(...filesBelow(path, skip, base))
    } else if (entry.isFile()) found.push(relative(base, path).split(sep).join('/'))
  }
  return found.sort()
}

/** A hash of the names and contents of everything the addon is built from. */
export function hashSources() {
  const hash = createHash('sha256')
  for (const name of READ_BY_BUILD) {
    const path = join(root, name)
    if (!existsSync(path)) continue
    const files = statSync(path).isDirectory() ? filesBelow(path).map(file => `${name}/${file}`) : [name]
    for (const file of files) {
      const content = readFileSync(join(root, file))
      hash.update(`${file}\0${content.length}\0`).update(content)
    }
  }
  return hash.digest('hex')
}

/** The addons in the checkout that this system can load (glibc and musl share a prefix). */
function addonsHere() {
  const prefix = `task.${process.platform}-${process.arch}`
  return readdirSync(root).filter(name => name.startsWith(prefix) && name.endsWith('.node'))
}

/** True where the generated loader and an addon of exactly these sources are in place, built with one of `profiles`. */
export function addonIsFresh(profiles) {
  if (!existsSync(join(root, 'binding.js'))) return false
  const addons = addonsHere()
  if (addons.length === 0) return false
  const hash = hashSources()
  const wanted = profiles.map(profile => `${hash} ${profile}`)
  return addons.some(name => {
    const mark = join(root, name + MARK)
    return existsSync(mark) && wanted.includes(readFileSync(mark, 'utf8').trim())
  })
}

/** Records that the addons here were built from the sources with this hash, with this profile. */
export function markAddon(hash, profile) {
  for (const name of addonsHere()) writeFileSync(join(root, name + MARK), `${hash} ${profile}\n`)
}
