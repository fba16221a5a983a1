// fastq with its promise API. The worker calls the closure it is given and hands its promise through, so that
// fastq carries the same closures as the others and pays for no promise of ours.
import fastq from 'fastq'

export async function create({ concurrency }) {
  const queue = fastq.promise(run => run(), concurrency)
  return {
    add: run => queue.push(run),
    pause: async () => queue.pause(),
    resume: async () => queue.resume(),
    close: async () => queue.kill(),
  }
}
