import { type Fault, faultOf, type TransportName } from './faults.js'

/** What each code means. The database raises them as SQLSTATE `OPnnn`. */
export const OPS_CODES = {
  OPS_001: 'database connection failed',
  OPS_002: 'policy not found',
  OPS_003: 'gating failed',
  OPS_004: 'invalid proposal template',
  OPS_005: 'executor not found',
  OPS_006: 'step claim failed',
  OPS_007: 'step execution failed',
  OPS_008: 'reaction pattern invalid',
  OPS_009: 'approval failed',
  OPS_010: 'stale step recovery',
  OPS_011: 'invalid input',
  OPS_012: 'not authorised',
  OPS_013: 'not found',
  OPS_014: 'conflict',
  OPS_015: 'paused by the control switch',
  OPS_016: 'too many requests',
} as const

export type OpsCode = keyof typeof OPS_CODES

export interface OpsErrorOptions {
  /** What a program needs to know, e.g. `{ path: 'steps[0].kind' }`. */
  details?: unknown
  /** The fix, as a sentence. */
  hint?: string | undefined
  cause?: unknown
}

/** The one error that the project throws on purpose. Its message is safe to show and to log. */
export class OpsError extends Error {
  override readonly name = 'OpsError'
  readonly code: OpsCode
  readonly details: unknown
  readonly hint: string | undefined

  constructor(code: OpsCode, message: string, { details, hint, cause }: OpsErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
    this.hint = hint
  }
}

/** True for the code of an `OpsError`. */
export function isOpsCode(code: unknown): code is OpsCode {
  return typeof code === 'string' && Object.hasOwn(OPS_CODES, code)
}

/**
 * Translates whatever a transport threw: a Postgres error, a PostgREST error body, a socket or fetch failure.
 * An `OpsError` comes back as it is.
 *
 * @param setting what named the database, where that is not the transport's own variable
 */
export function fromDatabaseError(error: unknown, transport: TransportName, setting?: string): OpsError {
  if (error instanceof OpsError) return error
  const fault = faultOf(error)
  const { code, message } = describe(fault, settingsOf(transport, setting))
  return new OpsError(code, message, { details: fault.details, hint: fault.hint, cause: error })
}

/**
 * An error about the first item of a batch, as whoever sent that item alone shall read it: `events[0].type` is their `type`.
 *
 * @param items what the batch is called, `events`
 */
export function ofSingle(error: unknown, items: string): unknown {
  if (!(error instanceof OpsError) || !hasPath(error.details)) return error
  const { code, message, details, hint } = error
  const alone = (text: string) => text.replaceAll(`${items}[0].`, '')
  return new OpsError(code, alone(message), {
    details: { ...details, path: alone(details.path) },
    hint,
    cause: error.cause,
  })
}

function hasPath(details: unknown): details is { path: string } {
  return (
    typeof details === 'object' && details !== null && 'path' in details && typeof details.path === 'string'
  )
}

/**
 * Whether the same call may succeed later without anyone repairing anything: the database was away, too busy, or broke a
 * tie between transactions. A call whose connection broke may have taken effect all the same.
 */
export function isRetryable(error: unknown): boolean {
  const { kind } = faultOf(error instanceof OpsError ? error.cause : error)
  return kind === 'unreachable' || kind === 'busy'
}

interface Settings {
  address: string
  credentials: string
}

function settingsOf(transport: TransportName, setting = 'DATABASE_URL'): Settings {
  return transport === 'postgres'
    ? { address: setting, credentials: `the user and password in ${setting}` }
    : { address: 'SUPABASE_URL', credentials: 'SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY)' }
}

function describe(fault: Fault, { address, credentials }: Settings): { code: OpsCode; message: string } {
  const cause = fault.code === '' ? '' : ` (${fault.code})`
  switch (fault.kind) {
    case 'raised':
      return isOpsCode(fault.code)
        ? { code: fault.code, message: fault.message }
        : { code: 'OPS_001', message: `${fault.message}${cause}` }
    case 'unreachable':
      return {
        code: 'OPS_001',
        message: `The database cannot be reached${cause}: check that it is running and that ${address} is right.`,
      }
    case 'credentials':
      return {
        code: 'OPS_001',
        message: `The database refused the credentials${cause}: check ${credentials}.`,
      }
    case 'address':
      return { code: 'OPS_001', message: `There is no such database${cause}: check ${address}.` }
    case 'pooled':
      return {
        code: 'OPS_001',
        message: `A transaction pooler stands before the database${cause}: add ?pgbouncer=true to ${address}.`,
      }
    case 'busy':
      return { code: 'OPS_001', message: `The database is too busy for this call${cause}: try again.` }
    case 'schema':
      return {
        code: 'OPS_001',
        message: `The database schema is older than this program${cause}: run npm run migrate.`,
      }
    case 'forbidden':
      return {
        code: 'OPS_012',
        message: `The database role may not do this${cause}: ${fault.message}. Check ${credentials}.`,
      }
    case 'input':
      return { code: 'OPS_011', message: `The database cannot read the input${cause}: ${fault.message}` }
    case 'conflict':
      return { code: 'OPS_014', message: `This contradicts what is stored${cause}: ${fault.message}` }
    case 'unknown':
      return { code: 'OPS_001', message: `The database call failed${cause}: ${fault.message}` }
  }
}
