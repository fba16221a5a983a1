// bottleneck: concurrency, a reservoir that is filled again each second, and attempts by its event `failed`.
import Bottleneck from 'bottleneck'

export async function create({ concurrency, rate, attempts }) {
  const limiter = new Bottleneck({
    maxConcurrent: concurrency,
    reservoir: rate,
    reservoirRefreshAmount: rate,
    reservoirRefreshInterval: 1000,
  })
  limiter.on('failed', (_, { retryCount }) => (retryCount < attempts - 1 ? 0 : undefined))
  return { add: run => limiter.schedule(run), close: () => limiter.disconnect() }
}
