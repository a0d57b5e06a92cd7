import { z } from 'zod'
import { AddressRefused, isPublicAddress, type Resolve } from '../../channels/address.js'
import { createGuard, type Guard, type Response, send } from '../../channels/request.js'
import { standardWebhookHeaders } from '../../channels/signature.js'
import { defineExecutor, type Executor, type ExecutorContext, fail, type Outcome, retry } from '../define.js'
import { toOutcome } from './answer.js'

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** What the connection, the signature and the retry protocol decide is not the template's to set. */
const RESERVED_HEADER =
  /^(host|connection|content-length|transfer-encoding|expect|upgrade|te|trailer|keep-alive|proxy-.*|webhook-.*)$/i

const headers = z.record(
  z
    .string()
    .regex(HEADER_NAME, 'is not a header name')
    .refine((name) => !RESERVED_HEADER.test(name), 'is set by the executor'),
  z.string().regex(HEADER_VALUE, 'holds characters that headers cannot'),
)

const params = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'must be an http or https address' })
    .refine((url) => !hasCredentials(url), 'must not hold a user or password')
    .describe('An http or https address.'),
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD']).default('POST').describe('The method.'),
  headers: headers.default({}).describe('Headers, save those that connection, signature and retries need.'),
  body: z.json().optional().describe('Text goes out as it is, anything else as JSON.'),
  secret_env: z
    .string()
    .regex(/^OPS_HTTP_[A-Z0-9_]+$/, 'must be the name of a variable that begins with OPS_HTTP_')
    .optional()
    .describe('The variable of the worker that holds a Standard Webhooks secret (`whsec_…`) to sign with.'),
  timeout_seconds: z.number().min(1).max(600).default(30).describe('Seconds to wait for the answer.'),
})
type Params = z.output<typeof params>

/** Bytes of an answer that are kept. A longer one is cut: its request has been served and must not be repeated. */
const MAX_RESPONSE_BYTES = 256 * 1024

export interface HttpOptions {
  /** Which addresses may be connected to. Default: those on the public internet. */
  isAllowed?: ((address: string) => boolean) | undefined
  /** Resolves names. Default: the system's resolver. */
  resolve?: Resolve | undefined
  maxResponseBytes?: number | undefined
}

/** Makes an `http` executor with its own idea of which addresses are allowed. */
export function createHttpExecutor(options: HttpOptions = {}): Executor {
  const { isAllowed = isPublicAddress, resolve, maxResponseBytes = MAX_RESPONSE_BYTES } = options
  const guard = createGuard(isAllowed, resolve)
  return defineExecutor({
    kind: 'http',
    params,
    env: ['OPS_HTTP_*'],
    run: (context) => call(context, guard, maxResponseBytes),
  })
}

/** Sends one HTTP request to a public address. */
export default createHttpExecutor()

async function call(context: ExecutorContext<Params>, guard: Guard, maxBytes: number): Promise<Outcome> {
  const { params, signal } = context
  const { body, type } = encodeBody(params.body)
  const own: Record<string, string> = { 'user-agent': 'ops-loop', 'idempotency-key': context.idempotencyKey }
  if (type) own['content-type'] = type
  const signed = sign(context, body ?? '')
  if ('error' in signed) return fail(signed.error)

  const timeout = AbortSignal.timeout(params.timeout_seconds * 1000)
  let response: Response
  try {
    response = await send(
      {
        url: new URL(params.url),
        method: params.method,
        headers: { ...own, ...lowerCased(params.headers), ...signed.headers, 'accept-encoding': 'identity' },
        body,
        signal: AbortSignal.any([signal, timeout]),
      },
      guard,
      maxBytes,
    )
  } catch (error) {
    if (error instanceof AddressRefused) return fail(error)
    if (timeout.aborted && !signal.aborted) {
      return retry({ error: `no answer within ${params.timeout_seconds} s` })
    }
    throw error
  }
  return toOutcome(response, new Date())
}

function encodeBody(body: Params['body']): { body: string | undefined; type?: string } {
  if (body === undefined) return { body: undefined }
  if (typeof body === 'string') return { body, type: 'text/plain; charset=utf-8' }
  return { body: JSON.stringify(body), type: 'application/json' }
}

function sign(
  { params, env, idempotencyKey }: ExecutorContext<Params>,
  body: string,
): { headers: Record<string, string> } | { error: string } {
  if (!params.secret_env) return { headers: {} }
  const secret = env[params.secret_env]
  if (!secret) return { error: `params.secret_env: this worker's environment has no ${params.secret_env}` }
  try {
    const timestamp = Math.floor(Date.now() / 1000)
    return { headers: standardWebhookHeaders({ id: idempotencyKey, timestamp, body, secret }) }
  } catch (error) {
    if (error instanceof RangeError) return { error: `${params.secret_env}: ${error.message}` }
    throw error
  }
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function hasCredentials(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { username, password } = new URL(url)
  return username !== '' || password !== ''
}
