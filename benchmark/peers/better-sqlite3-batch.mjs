// The hand-written queue on better-sqlite3, in batches.
import Database from 'better-sqlite3'
import { openQueue } from '../durable/sqlite-queue.mjs'

export const open = async ({ place, ...options }) =>
  openQueue(new Database(place), { ...options, batched: true })
