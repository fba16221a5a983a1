// piscina with a fixed number of threads, as its documentation advises for measurements.
import { Piscina } from 'piscina'

export async function open({ filename, threads }) {
  const pool = new Piscina({ filename: filename.href, minThreads: threads, maxThreads: threads })
  return { run: input => pool.run(input), close: () => pool.destroy() }
}
