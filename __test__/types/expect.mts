// What the type tests compare with. These files are checked by `tsc`, never run: a line under @ts-expect-error has to
// be an error, every other line must not be one.

/** True only where both types are the same, so that `any` does not pass for everything. */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Does not compile unless the type is `true`. */
export declare function expectType<_Result extends true>(): void
