// p-queue: the options of `add` carry priority (larger first) and timeout (in milliseconds).
import PQueue from 'p-queue'

export async function create({ concurrency }) {
  const queue = new PQueue({ concurrency })
  return {
    add: (run, options) => queue.add(run, options),
    pause: async () => queue.pause(),
    resume: async () => void queue.start(),
    close: async () => queue.clear(),
  }
}
