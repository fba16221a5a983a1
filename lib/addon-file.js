'use strict'

// Owns what can be known of an addon's file before it is loaded: whether it is whole, and for which system.
// The system's loader maps the file as its tables say, and a process that touches what lies beyond the end of a
// truncated one is killed by a signal; so the tables are read here first, and only they.
// Invariant: `defectOf` and `libcOf` never throw, whatever the file holds.

const { closeSync, fstatSync, openSync, readSync } = require('node:fs')

const ELF_CPUS = new Map([
  [62, 'x64'],
  [183, 'arm64'],
])
const MACH_CPUS = new Map([
  [0x01000007, 'x64'],
  [0x0100000c, 'arm64'],
])
const PE_CPUS = new Map([
  [0x8664, 'x64'],
  [0xaa64, 'arm64'],
])
/** Entries of any table in a sound file; more would only be read in vain. */
const MOST = 4_096
const HEAD = 4_096
const TRUNCATED = 'is not whole: it ends before its own tables say'
const FOREIGN = 'is no addon at all'

/** Reads bytes as little-endian numbers; what lies beyond the end of the file is an error. */
class Reader {
  constructor(fd) {
    this.fd = fd
    this.size = fstatSync(fd).size
    // Most of what is asked for.
    this.head = Buffer.alloc(Math.min(HEAD, this.size))
    readSync(fd, this.head, 0, this.head.length, 0)
  }

  bytes(at, length) {
    if (at + length <= this.head.length) return this.head.subarray(at, at + length)
    const buffer = Buffer.alloc(length)
    if (at + length > this.size || readSync(this.fd, buffer, 0, length, at) < length)
      throw new Error(TRUNCATED)
    return buffer
  }

  u16(at) {
    return this.bytes(at, 2).readUInt16LE()
  }

  u32(at) {
    return this.bytes(at, 4).readUInt32LE()
  }

  u64(at) {
    return Number(this.bytes(at, 8).readBigUInt64LE())
  }

  /** A part of the file that has to be there. */
  need(at, length) {
    if (at + length > this.size) throw new Error(TRUNCATED)
  }
}

function readElf(file) {
  const system = { platform: 'linux', arch: ELF_CPUS.get(file.u16(18)), libc: undefined }
  const table = { at: file.u64(32), size: file.u16(54), count: file.u16(56) }
  const loads = []
  let dynamic
  for (let i = 0; i < table.count; i += 1) {
    const at = table.at + i * table.size
    const part = {
      kind: file.u32(at),
      from: file.u64(at + 8),
      address: file.u64(at + 16),
      size: file.u64(at + 32),
    }
    if (part.kind === 1) {
      file.need(part.from, part.size)
      loads.push(part)
    }
    if (part.kind === 2) dynamic = part
    if (part.kind === 3) system.libc = libcIn(file.bytes(part.from, Math.min(part.size, MOST)))
  }
  // The last of the file, and needed by no loader, but a sure sign of a download that broke off.
  file.need(file.u64(40), file.u16(58) * file.u16(60))
  if (dynamic !== undefined) system.libc ??= linkedLibc(file, dynamic, loads)
  return system
}

// A program names its loader, a library the libraries that it links.
function libcIn(names) {
  const text = names.toString('latin1')
  if (text.includes('\0libc.so.6\0') || text.includes('/ld-linux')) return 'glibc'
  return /\0libc\.(so|musl-\w+\.so\.1)\0|\/ld-musl-/.test(text) ? 'musl' : undefined
}

function linkedLibc(file, dynamic, loads) {
  let strings
  let size = 0
  for (let at = dynamic.from; at < dynamic.from + Math.min(dynamic.size, 16 * MOST); at += 16) {
    const tag = file.u64(at)
    if (tag === 5) strings = file.u64(at + 8)
    if (tag === 10) size = file.u64(at + 8)
    if (tag === 0) break
  }
  const load = loads.find(({ address, size }) => strings >= address && strings < address + size)
  if (load === undefined || size > 1 << 20) return undefined
  return libcIn(file.bytes(load.from + strings - load.address, size))
}

function readMach(file) {
  const count = Math.min(file.u32(16), MOST)
  let at = 32
  for (let i = 0; i < count; i += 1) {
    if (file.u32(at) === 0x19) file.need(file.u64(at + 40), file.u64(at + 48))
    at += file.u32(at + 4)
  }
  return { platform: 'darwin', arch: MACH_CPUS.get(file.u32(4)), libc: undefined }
}

function readPe(file) {
  const header = file.u32(60)
  if (file.u32(header) !== 0x4550) throw new Error(FOREIGN)
  const sections = header + 24 + file.u16(header + 20)
  const count = file.u16(header + 6)
  for (let i = 0; i < count; i += 1)
    file.need(file.u32(sections + i * 40 + 20), file.u32(sections + i * 40 + 16))
  return { platform: 'win32', arch: PE_CPUS.get(file.u16(header + 4)), libc: undefined }
}

function read(file) {
  if (file.size === 0) throw new Error('is empty')
  if (file.size < 64) throw new Error(FOREIGN)
  const magic = file.u32(0)
  // ELF of 64 bits, little-endian.
  if (magic === 0x464c457f && file.u16(4) === 0x0102) return readElf(file)
  if (magic === 0xfeedfacf) return readMach(file)
  // A universal file is the matter of the system, which picks the part that fits.
  if (magic === 0xbebafeca) return { platform: 'darwin', arch: undefined, libc: undefined }
  if ((magic & 0xffff) === 0x5a4d) return readPe(file)
  throw new Error(FOREIGN)
}

const nameOf = ({ platform, arch, libc }) => [platform, arch, libc].filter(Boolean).join(' ')

/** What `path` is for; throws what is wrong with it. */
function systemOf(path) {
  const fd = openSync(path, 'r')
  try {
    return read(new Reader(fd))
  } finally {
    closeSync(fd)
  }
}

/** The C library of a program; undefined where it does not say. */
function libcOf(path) {
  try {
    return systemOf(path).libc
  } catch {
    return undefined
  }
}

/** Why this file cannot be loaded on `system`, as the end of a sentence; undefined where nothing speaks against it. */
function defectOf(path, system) {
  try {
    const found = systemOf(path)
    const differs = key => found[key] !== undefined && system[key] !== undefined && found[key] !== system[key]
    return ['platform', 'arch', 'libc'].some(differs)
      ? `is for ${nameOf(found)}, and this is ${nameOf(system)}`
      : undefined
  } catch (error) {
    return error.code === undefined ? error.message : `cannot be read (${error.code})`
  }
}

module.exports = { defectOf, libcOf, nameOf }
