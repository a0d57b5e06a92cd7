/** The way calls reach the database: a Postgres connection, or HTTP through PostgREST. */
export type TransportName = 'postgres' | 'supabase'

/**
 * - `raised`: by the engine's own functions, with an `OPS_00x` code
 * - `unreachable`, `busy`: passes by itself
 * - `credentials`, `address`, `schema`, `forbidden`: somebody has to set something right
 * - `input`, `conflict`: the caller's data
 */
export type FaultKind =
  | 'raised'
  | 'unreachable'
  | 'busy'
  | 'credentials'
  | 'address'
  | 'schema'
  | 'forbidden'
  | 'input'
  | 'conflict'
  | 'unknown'

/** What both transports' errors have in common. */
export interface Fault {
  kind: FaultKind
  /** `OPS_00x`, a SQLSTATE, a PostgREST code or a system error such as `ECONNREFUSED`; empty if there is none. */
  code: string
  message: string
  details?: unknown
  hint?: string | undefined
}

/** Codes by what they mean; the first rule that fits decides. */
const KINDS: readonly [FaultKind, RegExp][] = [
  ['raised', /^OPS_\d{3}$/],
  ['unreachable', /^(08...|57P0[1-5]|PGRST00[0-2])$/],
  [
    'unreachable',
    /^E(CONN(REFUSED|RESET|ABORTED)|TIMEDOUT|PIPE|(NET|HOST)(UNREACH|DOWN)|AI_AGAIN|NOTFOUND|NOENT)$/,
  ],
  ['unreachable', /^(CONNECTION_(CLOSED|DESTROYED|ENDED)|CONNECT_TIMEOUT|UND_ERR_\w+)$/],
  ['busy', /^(40001|40P01|55P03|57014|53...|PGRST003)$/],
  ['credentials', /^(28...|PGRST30[0-3]|SASL_SIGNATURE_MISMATCH)$/],
  ['address', /^3D000$/],
  ['schema', /^(42883|42P01|42703|3F000|PGRST10[56]|PGRST20[0-5])$/],
  ['forbidden', /^(42501|25006)$/],
  ['conflict', /^23505$/],
  // 54001: JSON that is nested deeper than the server's stack.
  ['input', /^(22...|23...|54001|PGRST102)$/],
]

/** Supavisor, Supabase's pooler, has one code for all its own errors; what they mean stands in their words, as told by old and new ones. */
const POOLER_CODE = 'XX000'
const POOLER_KINDS: readonly [FaultKind, RegExp][] = [
  [
    'busy',
    /\(E(MAXCONN|MAXCLIENT|CHECKOUTTIMEOUT|CIRCUITBREAKER)\w*\)|max client\w*( connections)? reached/i,
  ],
  ['busy', /check ?out (process|connection)? ?from the pool/i],
  ['unreachable', /\(E(DBHANDLEREXITED|POOLTERMINATING)\)|DbHandler exited|connection to database closed/i],
]

/** Reads any error that a transport can throw. Never fails. */
export function faultOf(error: unknown): Fault {
  const code = opsCode(text(error, 'code'))
  const message = text(error, 'message')
  const known = code === POOLER_CODE ? kindBy(POOLER_KINDS, message) : kindBy(KINDS, code)
  const kind = known ?? kindWithoutCode(error, message)
  if (kind !== 'raised') return { kind, code, message }
  // Only the engine's own errors pass on their details: elsewhere they hold rows, which may hold secrets.
  const details = parsed(text(error, 'detail') || text(error, 'details'))
  return { kind, code, message, details, hint: text(error, 'hint') || undefined }
}

const kindBy = (kinds: readonly [FaultKind, RegExp][], word: string) =>
  kinds.find(([, words]) => words.test(word))?.[0]

/** Failures before PostgREST: no answer at all (status 0), or one from a gateway in front of it. */
function kindWithoutCode(error: unknown, message: string): FaultKind {
  // JSON that is nested deeper than our own stack; it has not even been sent.
  if (error instanceof RangeError) return 'input'
  const status = property(error, 'status')
  if (status === 401 || status === 403) return 'credentials'
  if (status === 404) return 'address'
  if (status === 429) return 'busy'
  if (status === 0 || (typeof status === 'number' && status >= 500)) return 'unreachable'
  return /fetch failed|TimeoutError/.test(message) ? 'unreachable' : 'unknown'
}

function opsCode(code: string): string {
  return /^OP\d{3}$/.test(code) ? `OPS_${code.slice(2)}` : code
}

function parsed(detail: string): unknown {
  if (detail === '') return undefined
  try {
    return JSON.parse(detail)
  } catch {
    return detail
  }
}

function text(error: unknown, key: string): string {
  const value = property(error, key)
  return typeof value === 'string' ? value : ''
}

function property(error: unknown, key: string): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, key) : undefined
}
