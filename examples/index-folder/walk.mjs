// Finds the files of a folder.
// Symbolic links are counted and never followed: so no loop can trap the walk, and no file is indexed twice.

import { readdir } from 'node:fs/promises'

const SKIPPED = new Set(['.git', 'node_modules', 'target'])
const SLASH = Buffer.from('/')

/**
 * Yields `{ type, path, name }` for everything below `root`, folder by folder, in the order of the names' bytes.
 * `type` is `file`, `link`, `special` (socket, pipe, device), `skipped` (a folder that `all` would include), or
 * `unreadable` (a folder, with its `error`). `path` opens the file; `name` is its path below `root`. Both are
 * Buffers: a name need not be valid UTF-8. Throws only where `root` itself cannot be read.
 */
export async function* walk(root, { all = false } = {}) {
  const folders = [{ path: Buffer.from(root), name: null }]
  while (folders.length > 0) {
    const folder = folders.pop()
    const inside = []
    for (const entry of await list(folder)) {
      if (entry.type !== 'folder') yield entry
      else if (!all && SKIPPED.has(entry.last)) yield { ...entry, type: 'skipped' }
      else inside.push(entry)
    }
    // Reversed, as the last one pushed is the first one taken.
    folders.push(...inside.reverse())
  }
}

async function list(folder) {
  let entries
  try {
    entries = await readdir(folder.path, { withFileTypes: true, encoding: 'buffer' })
  } catch (error) {
    if (folder.name === null) throw error
    return [{ type: 'unreadable', path: folder.path, name: folder.name, error }]
  }
  entries.sort((one, other) => Buffer.compare(one.name, other.name))
  return entries.map(entry => ({
    type: typeOf(entry),
    path: Buffer.concat([folder.path, SLASH, entry.name]),
    name: folder.name === null ? entry.name : Buffer.concat([folder.name, SLASH, entry.name]),
    last: entry.name.toString('latin1'),
  }))
}

function typeOf(entry) {
  if (entry.isSymbolicLink()) return 'link'
  if (entry.isDirectory()) return 'folder'
  return entry.isFile() ? 'file' : 'special'
}
