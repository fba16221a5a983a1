// Types of `@wterminal/task/otel`: spans and metrics for OpenTelemetry. It needs the package `@opentelemetry/api`, an
// optional peer; without it, loading this throws `ERR_OPTION`.

import type { MeterProvider, TracerProvider } from '@opentelemetry/api'
import type { TaskExecutor } from '../index.js'

/** Where spans go. */
export interface TraceOptions {
  /** Default: the one that is registered with `@opentelemetry/api`. */
  readonly tracerProvider?: TracerProvider | undefined
}

/** Where metrics go. */
export interface ObserveOptions {
  /** Default: the one that is registered with `@opentelemetry/api`. */
  readonly meterProvider?: MeterProvider | undefined
}

/**
 * Makes a span of every `enqueue` (`send <queue>`, a producer) and of every run of a named task (`process <queue>`, a
 * consumer, a trace of its own that links to the producer), of all executors in this environment. The context travels
 * in the task's metadata as `traceparent` and `tracestate`. Gives a function that ends it. Called again, the last one
 * counts.
 */
export function traceTasks(options?: TraceOptions): () => void

/**
 * Makes the metrics of an executor observable instruments, `wterminal.task.*`. Gives a function that ends it.
 */
export function observeExecutor(executor: TaskExecutor, options?: ObserveOptions): () => void
