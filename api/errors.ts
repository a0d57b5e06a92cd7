import type { Context, ErrorHandler, NotFoundHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { ZodError } from 'zod'
import { type OpsCode, OpsError, pathText } from '../engine/index.js'
import type { ApiEnv } from './router.js'

/** How each code is answered over HTTP. */
const STATUS: Record<OpsCode, ContentfulStatusCode> = {
  OPS_001: 503,
  OPS_002: 500,
  OPS_003: 409,
  OPS_004: 422,
  OPS_005: 422,
  OPS_006: 409,
  OPS_007: 500,
  OPS_008: 422,
  OPS_009: 409,
  OPS_010: 500,
  OPS_011: 422,
  OPS_012: 401,
  OPS_013: 404,
  OPS_014: 409,
  OPS_015: 503,
  OPS_016: 429,
}

/** The one shape of every error answer. */
export type ErrorBody = { error: string; code: string; details: Record<string, unknown> }

/** An `OpsError` as an answer; its hint travels in `details`. */
export function answerOf(error: OpsError): { status: ContentfulStatusCode; body: ErrorBody } {
  const details = isObject(error.details) ? error.details : {}
  // Rights that the database denies are missing to us, not to the caller.
  const ours = error.code === 'OPS_012' && error.cause !== undefined
  return {
    status: ours ? 500 : STATUS[error.code],
    body: {
      error: error.message,
      code: error.code,
      details: error.hint ? { ...details, hint: error.hint } : details,
    },
  }
}

/** What the framework's own words leave open. */
const HINTS: Readonly<Record<number, string>> = {
  415: 'The body must be JSON: send it with Content-Type: application/json.',
}

/** Answers whatever a route threw. What nobody foresaw is logged, and answered with nothing but the request's id. */
export const onError: ErrorHandler<ApiEnv> = (error, c) => {
  if (error instanceof OpsError) {
    const { status, body } = answerOf(error)
    body.details = asRequested(c, body.details)
    if (status >= 500) c.get('log').error({ err: error }, body.error)
    if (status === 401) c.header('WWW-Authenticate', 'Bearer')
    return c.json(body, status)
  }
  if (error instanceof HTTPException && error.status < 500) {
    // What an `OpsError` says, with a status of its own.
    if (error.cause instanceof OpsError) return c.json(answerOf(error.cause).body, error.status)
    return refuse(c, error.status, HINTS[error.status] ?? error.message)
  }
  c.get('log').error({ err: error }, 'unexpected failure')
  return c.json({ error: 'Something failed that should not.', code: 'OPS_000', details: requestOf(c) }, 500)
}

/** The database names its own parameters: `p_rule` is the request's `rule`, and the `p_step_id` of an address its `id`. */
function asRequested(c: Context<ApiEnv>, details: ErrorBody['details']): ErrorBody['details'] {
  const name = /^p_(.+)$/.exec(String(details.path))?.[1]
  if (name === undefined) return details
  const ofAddress = c.req.param('id') !== undefined && /^(.+_)?id$/.test(name)
  return { ...details, path: ofAddress ? 'id' : name }
}

export const onNotFound: NotFoundHandler<ApiEnv> = (c) =>
  c.json({ error: `There is no ${c.req.path}`, code: 'OPS_013', details: { hint: 'see /docs' } }, 404)

/** Answers input that is refused before any route looks at it: malformed, too large, of the wrong type or method. */
export function refuse(
  c: Context<ApiEnv>,
  status: ContentfulStatusCode,
  reason: string,
  code: OpsCode = 'OPS_011',
) {
  return c.json({ error: reason, code, details: {} } satisfies ErrorBody, status)
}

/** What a zod schema found wrong, as `OPS_011` naming every field; `details.path` is the first of them. */
export function invalidInput(error: ZodError, place = 'input'): OpsError {
  const problems = error.issues.flatMap(problemsOf)
  const [first] = problems
  const where = first?.path || place
  return new OpsError('OPS_011', first ? `${where}: ${first.message}` : `The ${place} is not valid.`, {
    details: { path: first?.path ?? '', problems },
  })
}

type Issue = ZodError['issues'][number]
type Problem = { path: string; message: string }

function problemsOf(issue: Issue): Problem[] {
  if (issue.code === 'invalid_union') {
    // The alternative that was meant is the one that fits deepest, then the one with the fewest problems.
    const [meant] = issue.errors.toSorted((a, b) => depthOf(b) - depthOf(a) || a.length - b.length)
    if (meant !== undefined && meant.length > 0) {
      return meant.flatMap((inner) => problemsOf({ ...inner, path: [...issue.path, ...inner.path] }))
    }
  }
  return [{ path: pathText(issue.path), message: issue.message }]
}

function depthOf(issues: readonly { path: PropertyKey[] }[]): number {
  return Math.max(0, ...issues.map(({ path }) => path.length))
}

function requestOf(c: Context<ApiEnv>): Record<string, unknown> {
  return { request_id: c.get('requestId') }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
