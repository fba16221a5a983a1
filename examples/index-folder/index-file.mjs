// The work of one task: reads a file once, as a stream, and measures it.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { kindOf, looksLikeText } from './kind.mjs'

const CHUNK_BYTES = 256 * 1024
const LINE_FEED = 10

/**
 * Resolves to `{ kind, bytes, gzipBytes, lines, sha256 }`. `path` is a Buffer, since a name need not be UTF-8.
 * Lines are counted in text only; a last line without a line feed counts. Stops reading when `signal` aborts.
 */
export async function indexFile(path, signal) {
  const hash = createHash('sha256')
  let head = Buffer.alloc(0)
  let bytes = 0
  let gzipBytes = 0
  let lineFeeds = 0
  let last = LINE_FEED

  async function* measure(chunks) {
    for await (const chunk of chunks) {
      if (bytes === 0) head = chunk
      bytes += chunk.length
      hash.update(chunk)
      for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1)) lineFeeds++
      last = chunk[chunk.length - 1]
      yield chunk
    }
  }
  async function weigh(chunks) {
    for await (const chunk of chunks) gzipBytes += chunk.length
  }
  const source = createReadStream(path, { highWaterMark: CHUNK_BYTES })
  await pipeline(source, measure, createGzip(), weigh, { signal })

  const name = path.toString('latin1')
  const kind = kindOf(name.slice(name.lastIndexOf('/') + 1), head)
  const lines = looksLikeText(head) ? lineFeeds + (last === LINE_FEED ? 0 : 1) : 0
  return { kind, bytes, gzipBytes, lines, sha256: hash.digest('hex') }
}
