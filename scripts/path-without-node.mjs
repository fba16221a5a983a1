// A PATH on which everything is as it was, except that Node and npm cannot be found.
// The Rust tests run with it: the crate without the feature `napi` must not lean on a Node of the machine.

import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

const HIDDEN = new Set(['node', 'nodejs', 'npm', 'npx', 'corepack'])

/** Returns `{ path, remove }`; folders that hold Node are replaced by folders of links to their other programs. */
export function pathWithoutNode() {
  // There links need a right that most users lack, so the path stays as it is.
  if (process.platform === 'win32') return { path: process.env.PATH, remove() {} }
  const shadow = mkdtempSync(join(tmpdir(), 'task-path-'))
  const folders = [...new Set(process.env.PATH.split(delimiter))].filter(existsSync)
  const path = folders.map((folder, index) => {
    const names = readdirSync(folder)
    if (!names.some(name => HIDDEN.has(name))) return folder
    const twin = mkdtempSync(join(shadow, `${index}-`))
    for (const name of names) if (!HIDDEN.has(name)) symlinkSync(join(folder, name), join(twin, name))
    return twin
  })
  return { path: path.join(delimiter), remove: () => rmSync(shadow, { recursive: true, force: true }) }
}
