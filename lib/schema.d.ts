// Types of the schemas that check the input of a task.

/** The part of https://standardschema.dev that is called here: schemas of Zod, Valibot, ArkType and others fit. */
export interface StandardSchema<In = unknown, Out = In> {
  readonly '~standard': {
    /** The version of the standard. */
    readonly version: 1
    /** Who made the schema. */
    readonly vendor: string
    /** Only there for types. */
    readonly types?: { readonly input: In; readonly output: Out } | undefined
    /** Gives the value to go on with, or what is wrong with it. */
    validate(value: unknown): SchemaResult<Out> | Promise<SchemaResult<Out>>
  }
}

/** What a schema says about a value. */
export type SchemaResult<Out> =
  | { readonly value: Out; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<{ readonly message: string }> }
