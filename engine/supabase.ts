import type { SupabaseClient } from '@supabase/supabase-js'
import { OpsError } from './errors.js'
import { storableJson } from './json.js'
import { givenArgs, type Signature, type Transport } from './transport.js'

/** How long PostgREST may take to answer a call, in milliseconds. */
const TIMEOUT = 60_000

/** Times as a Postgres connection of ours has them. */
const IN_UTC = 'timezone=UTC'

/** More than any answer has. */
const MOST_ROWS = 2 ** 31 - 1

/** Calls functions through supabase-js, that is over HTTP and PostgREST. The key is a service role's or a worker's. */
export function supabaseTransport(supabaseUrl: string, supabaseKey: string): Transport {
  if (!URL.canParse(supabaseUrl) || !/^https?:$/.test(new URL(supabaseUrl).protocol)) {
    throw new OpsError('OPS_001', 'SUPABASE_URL is no web address: use https://<project>.supabase.co.')
  }
  // fetch would refuse the header that such a key makes, with the key in its message.
  if (!/^[\x21-\x7e]+$/.test(supabaseKey)) {
    throw new OpsError('OPS_001', 'SUPABASE_SECRET_KEY holds characters that no key has: copy it again.')
  }
  let client: Promise<SupabaseClient> | undefined

  return {
    name: 'supabase',
    async rpc(fn, args) {
      const body = Object.fromEntries(givenArgs(fn, args).map(([name, , value]) => [name, value]))
      client ??= connect(supabaseUrl, supabaseKey)
      const supabase = await client
      if (fn.long) return everyRow(supabase, fn, body)
      const { data, error, status } = await supabase.rpc(fn.name, body)
      if (error) throw failureOf(error, status)
      return values(fn.returns, data)
    },
    close: async () => {},
  }
}

/** Asks again for the rows after those that came: PostgREST gives only so many at once, and says how many there are. */
async function everyRow(supabase: SupabaseClient, fn: Signature, body: object): Promise<readonly unknown[]> {
  const rows: unknown[] = []
  for (;;) {
    const call = supabase.rpc(fn.name, body).setHeader('Prefer', `${IN_UTC}, count=exact`)
    const { data, error, status, count } = await (rows.length === 0
      ? call
      : call.range(rows.length, MOST_ROWS))
    if (error) throw failureOf(error, status)
    const found = values(fn.returns, data)
    rows.push(...found)
    if (found.length === 0 || rows.length >= (count ?? 0)) return rows
  }
}

/** What went wrong, as a transport throws it. Of what was thrown before the request left, supabase-js keeps the name and the words. */
function failureOf(error: { message: string }, status: number): Error {
  const [, tooDeep] = /^RangeError: (.*)/.exec(error.message) ?? []
  return tooDeep === undefined
    ? Object.assign(new Error(error.message), { ...error, status })
    : new RangeError(tooDeep)
}

/** Loaded by the first call: whoever has a Postgres connection does without these ten megabytes. */
async function connect(supabaseUrl: string, supabaseKey: string): Promise<SupabaseClient> {
  const { createClient } = await import('@supabase/supabase-js')
  return createClient(supabaseUrl, supabaseKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers: { Prefer: IN_UTC }, fetch: call },
  })
}

const call: typeof fetch = (input, init) =>
  fetch(input, {
    ...init,
    ...(typeof init?.body === 'string' && { body: storableJson(init.body) }),
    signal: AbortSignal.timeout(TIMEOUT),
  })

function values(returns: Signature['returns'], data: unknown): readonly unknown[] {
  return returns !== 'value' && Array.isArray(data) ? data : [data]
}
