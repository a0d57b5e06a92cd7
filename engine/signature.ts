import { z } from 'zod'
import type { Database, Json } from './database.types.js'
import { OpsError } from './errors.js'
import type { ArgValues, Signature } from './transport.js'

/** A SQL function with the types of its arguments and of its answer. */
export interface SqlFunction<A extends Signature['args'], R> extends Signature {
  readonly args: A
  /** @throws OpsError `OPS_001` when the database answers in another form than this program knows. */
  decode(values: readonly unknown[]): R
}

/** Arguments by name; those that SQL has a default for may be left out. */
export type ArgsOf<A> = {
  [K in keyof A as A[K] extends `${string}?` ? never : K]: ArgValue<A[K]> | null
} & {
  [K in keyof A as A[K] extends `${string}?` ? K : never]?: ArgValue<A[K]> | null | undefined
}

type ArgValue<T> = T extends keyof ArgValues
  ? ArgValues[T]
  : T extends `${infer U extends keyof ArgValues}?`
    ? ArgValues[U]
    : never

type Functions = Database['public']['Functions']
type Name = keyof Functions & string

/** The only arguments that may be declared for a function: all that the database knows, with their types and defaults. */
type Declaration<N extends Name> = Functions[N]['Args'] extends infer Args
  ? Args extends unknown
    ? {
        readonly [K in keyof Args]-?: undefined extends Args[K]
          ? `${ArgTypeOf<Args[K]>}?`
          : ArgTypeOf<Args[K]>
      }
    : never
  : never

type ArgTypeOf<V> = Json extends V
  ? 'jsonb'
  : {
      [T in Exclude<keyof ArgValues, 'jsonb'>]: NonNullable<V> extends ArgValues[T] ? T : never
    }[Exclude<keyof ArgValues, 'jsonb'>]

/** A function that answers with any number of rows. */
export function rows<N extends Name, const A extends Declaration<N>, R>(name: N, args: A, row: z.ZodType<R>) {
  return declare(name, args, 'table', z.array(row))
}

/**
 * The same where every column is of a plain type (see `Signature`): for what is called for every batch of steps. The columns of an
 * answer have the same types in all its rows, so the first row is checked for the others, and no row is copied.
 */
export function plainRows<N extends Name, const A extends Declaration<N>, R>(
  name: N,
  args: A,
  row: z.ZodType<R>,
) {
  const first = z.array(row)
  const answer = z.custom<R[]>().superRefine((found, context) => {
    for (const { path, message } of first.safeParse(found.slice(0, 1)).error?.issues ?? [])
      context.addIssue({ code: 'custom', path: [...path], message })
  })
  return { ...declare(name, args, 'table', answer), plain: true }
}

/** A function that answers with exactly one row. */
export function row<N extends Name, const A extends Declaration<N>, R>(
  name: N,
  args: A,
  schema: z.ZodType<R>,
) {
  return declare(name, args, 'table', only(schema))
}

/** The same where every column is of a plain type. */
export function plainRow<N extends Name, const A extends Declaration<N>, R>(
  name: N,
  args: A,
  schema: z.ZodType<R>,
) {
  return { ...row(name, args, schema), plain: true }
}

/** A function that answers with a set of JSON objects. */
export function values<N extends Name, const A extends Declaration<N>, R>(
  name: N,
  args: A,
  value: z.ZodType<R>,
) {
  return declare(name, args, 'values', z.array(value))
}

/** One of those that changes nothing and whose answer has no bound: over PostgREST it is read to its end. */
export function long<A extends Signature['args'], R>(fn: SqlFunction<A, R>): SqlFunction<A, R> {
  return { ...fn, long: true }
}

/** A function that answers with one value. */
export function value<N extends Name, const A extends Declaration<N>, R>(
  name: N,
  args: A,
  schema: z.ZodType<R>,
) {
  return declare(name, args, 'value', only(schema))
}

function only<R>(schema: z.ZodType<R>) {
  return z.tuple([schema]).transform(([first]) => first)
}

function declare<A extends Signature['args'], R>(
  name: string,
  args: A,
  returns: Signature['returns'],
  answer: z.ZodType<R>,
): SqlFunction<A, R> {
  return {
    name,
    args,
    returns,
    decode(found) {
      const parsed = answer.safeParse(found)
      if (parsed.success) return parsed.data
      const problems = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
      throw new OpsError(
        'OPS_001',
        `${name} answered in a form that this program does not know, so program and database schema differ in version: ` +
          'update the program and run npm run migrate.',
        { details: { problems } },
      )
    },
  }
}
