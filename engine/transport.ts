import type { TransportName } from './faults.js'
import type { OnNotify, Subscription } from './types/engine.js'

/** A SQL function as both transports need to know it. */
export interface Signature {
  readonly name: string
  /** Postgres type by argument name. A `?` marks an argument that SQL has a default for. */
  readonly args: Readonly<Record<string, ArgType>>
  /** `table`: rows of named columns. `values`: a set of unnamed values. `value`: a single one. */
  readonly returns: 'table' | 'values' | 'value'
  /**
   * The columns of its table are text, ids, numbers, truth values, times and JSON, nothing else. Over a connection they travel as they
   * are: the server spends a third of a claim's time on making JSON of its rows.
   */
  readonly plain?: boolean | undefined
  /** It changes nothing, and may answer more rows than PostgREST gives at once (1000 on Supabase): the rest is asked for anew. */
  readonly long?: boolean | undefined
}

/** What may be passed for each Postgres type. */
export interface ArgValues {
  jsonb: unknown
  int: number
  numeric: number
  boolean: boolean
  text: string
  uuid: string
  timestamptz: string
  interval: string
  'text[]': readonly string[]
}

export type ArgType = keyof ArgValues | `${keyof ArgValues}?`

/** Arguments by name. `null` is SQL's null; what is left out or undefined takes SQL's default. */
export type Args = Readonly<Record<string, unknown>>

export interface CallOptions {
  /** When the server cuts the call off, where the transport can tell it: PostgREST takes it from the function instead. */
  timeoutMs?: number | undefined
}

/** Carries calls to the database. It throws what it meets; the engine translates (`errors.ts`). */
export interface Transport {
  readonly name: TransportName
  /** The answer as JSON values, the same over every transport: one for each row, or the single one. */
  rpc(fn: Signature, args: Args, options?: CallOptions): Promise<readonly unknown[]>
  listen?:
    | ((channels: readonly string[], onNotify: OnNotify, onGap: () => void) => Promise<Subscription>)
    | undefined
  close(): Promise<void>
}

/** The arguments that are really given, in the signature's order. */
export function givenArgs(fn: Signature, args: Args): [name: string, type: string, value: unknown][] {
  return Object.entries(fn.args)
    .filter(([name]) => args[name] !== undefined)
    .map(([name, type]) => [name, type.replace('?', ''), args[name]])
}
