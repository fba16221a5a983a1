// Where a run is kept between a kill and the next start: one folder of the user's cache for each folder and `--all`.
// Invariants: of all processes that live, one at most has such a folder; what cannot be kept is run in memory.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** The folder for the states of all runs; `given` is that of `--cache`. */
export function cacheFolder(given, env = process.env, platform = process.platform) {
  const chosen = given || env.TASK_CACHE_DIR
  if (chosen) return resolve(chosen)
  return join(systemCache(env, platform), 'wterminal-task')
}

function systemCache(env, platform) {
  if (platform === 'win32') return env.LOCALAPPDATA || join(homedir(), 'AppData', 'Local')
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  // A relative path there is to be ignored, says the specification of these folders.
  return env.XDG_CACHE_HOME?.startsWith('/') ? env.XDG_CACHE_HOME : join(homedir(), '.cache')
}

/** The state of the run of one folder. */
export class RunState {
  #folder
  /** What goes to `persistence`. */
  persistence = 'memory'
  /** Why the run is not kept, for people; undefined where it is. */
  problem

  /** Takes the state of `root`, unless a living process has it or it cannot be written. */
  static take(root, { all, cache }) {
    const state = new RunState()
    const name = createHash('sha256')
      .update(JSON.stringify([root, all]))
      .digest('hex')
      .slice(0, 32)
    const folder = join(cacheFolder(cache), 'index-folder', name)
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const other = claim(join(folder, 'process'))
      if (other !== undefined) {
        state.problem = `process ${other} is at work on the same folder`
        return state
      }
      writeFileSync(join(folder, 'folder.txt'), `${root}\n`)
    } catch (error) {
      if (error.syscall === undefined) throw error
      state.problem = `the cache folder cannot be written (${error.code}: ${folder})`
      return state
    }
    state.#folder = folder
    state.persistence = `sqlite:${join(folder, 'tasks.db')}`
    return state
  }

  /** Lets the next run go on here. */
  keep() {
    if (this.#folder) rmSync(join(this.#folder, 'process'), { force: true })
  }

  /** The run is complete and reported: the next one starts anew. */
  forget() {
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Writes our number into the file; gives the number of a living process that was there first. */
function claim(file) {
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      return undefined
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const other = Number(readFileSync(file, 'utf8'))
    if (other !== process.pid && isAlive(other)) return other
    // Left by a process that was killed.
    rmSync(file, { force: true })
  }
}

function isAlive(pid) {
  // A number that was cut short by a crash, or 0, which would mean our own group.
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}
