// A file system with faults, for a child process started with `--import` of this file.
// FAULTS holds JSON: the last part of a path -> { code, times } (open fails, for ever or so many times; a folder
// cannot be listed), { gone: true } (the file is removed just before it is opened), { stuck: true } (a read never ends),
// { slow: ms } (every read takes so long). At exit the most files that were open at once go to FAULTS_REPORT.
// This works alike for every user and system; file modes would not stop root.

import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const faults = new Map(Object.entries(JSON.parse(process.env.FAULTS ?? '{}')))
const { open, read, close } = fs
const { readdir } = fs.promises
const watched = new Map()
let most = 0

function faultOf(path) {
  const text = String(path).replaceAll('\\', '/')
  return faults.get(text.slice(text.lastIndexOf('/') + 1))
}

function failure(code, path) {
  return Object.assign(new Error(`${code}: made to fail, open '${path}'`), { code, syscall: 'open', path })
}

fs.open = (path, ...rest) => {
  const fault = faultOf(path)
  const done = rest.pop()
  if (fault?.code && (fault.times === undefined || fault.times-- > 0)) {
    process.nextTick(done, failure(fault.code, path))
    return
  }
  if (fault?.gone) fs.rmSync(path, { force: true })
  open(path, ...rest, (error, fd) => {
    if (!error) watched.set(fd, fault)
    most = Math.max(most, watched.size)
    done(error, fd)
  })
}

fs.read = (fd, ...rest) => {
  const fault = watched.get(fd)
  if (fault?.stuck) return
  if (fault?.slow === undefined) return read(fd, ...rest)
  setTimeout(read, fault.slow, fd, ...rest)
}

fs.close = (fd, ...rest) => {
  watched.delete(fd)
  return close(fd, ...rest)
}

fs.promises.readdir = async (path, options) => {
  const code = faultOf(path)?.code
  if (code) throw failure(code, path)
  return readdir(path, options)
}

syncBuiltinESMExports()
process.on('exit', () => {
  if (process.env.FAULTS_REPORT) fs.writeFileSync(process.env.FAULTS_REPORT, String(most))
})
