// fastq as its manual shows it: one worker for all tasks, and only data is pushed. It saves the closure per
// task that the other contenders carry, which fits where all tasks are of one kind.
import fastq from 'fastq'

export async function create({ concurrency, work }) {
  const queue = fastq.promise(async i => work(i), concurrency)
  return {
    feed: i => queue.push(i),
    pause: async () => queue.pause(),
    resume: async () => queue.resume(),
    close: async () => queue.kill(),
  }
}
