import { createRoute, type RouteConfig, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { infiniteNumber, OpsError } from '../engine/index.js'
import { requireScope } from './access/require.js'
import type { Scope } from './access/scopes.js'
import type { ApiEnv } from './router.js'

/** A JSON object that the control plane does not look into, but for numbers that it could not pass on. */
export const jsonObject = z.record(z.string(), z.unknown()).superRefine((value, context) => {
  const path = infiniteNumber(value)
  if (path)
    context.addIssue({
      code: 'custom',
      path,
      message: 'is beyond what a JSON number can hold here: send it as text',
    })
})

export const id = z.guid().openapi({ example: '0190d6f2-7c1e-7a3b-9d3e-2f6a1b0c4d5e' })
export const timestamp = z.string().openapi({ example: '2026-01-31T09:00:00.123456+00:00' })

export const idParam = z.object({ id })

/** Who acts; kept in the record. */
export const actor = z.string().trim().min(1).max(200).openapi({ example: 'ada@example.com' })

const errorBody = z
  .object({
    error: z.string().openapi({ description: 'What is wrong, as a sentence.' }),
    code: z.string().openapi({ description: 'One of OPS_001 to OPS_016; OPS_000 for a defect of ours.' }),
    details: jsonObject.openapi({ description: '`path` names the field at fault, `hint` the fix.' }),
  })
  .openapi('Error', {
    example: { error: 'type: Required', code: 'OPS_011', details: { path: 'type' } },
  })

type Route<P extends string> = Omit<RouteConfig, 'path'> & { path: P }

/** A route behind a key, for those who may do this. */
export function guardedRoute<P extends string, R extends Route<P>>(scope: Scope, route: R) {
  return createRoute({ ...route, middleware: [requireScope(scope), emptyIsNone(route)], 'x-scope': scope })
}

/** Many clients name the type of a body that they leave out: where it may be left out, an empty one is none. */
function emptyIsNone({ request }: Pick<RouteConfig, 'request'>): MiddlewareHandler<ApiEnv> {
  const mayBeLeftOut = request?.body !== undefined && request.body.required !== true
  return async (c, next) => {
    if (mayBeLeftOut && c.req.header('content-type') !== undefined && (await c.req.text()) === '') {
      const headers = new Headers(c.req.raw.headers)
      headers.delete('content-type')
      c.req.raw = new Request(c.req.raw.url, { method: c.req.method, headers })
    }
    await next()
  }
}

/** A JSON answer of a route. */
export function json<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { 'application/json': { schema } } }
}

/** A JSON body of a request, with an example that works. */
export function body<S extends z.ZodType>(schema: S, example: z.input<S>) {
  return { required: true, content: { 'application/json': { schema, example } } } as const
}

/** A JSON body that may be left out. Then nothing parses it: its fields must all be optional, without defaults. */
export function optionalBody<S extends z.ZodType>(schema: S, example: object = { actor: 'ada@example.com' }) {
  return { content: { 'application/json': { schema, example } } }
}

/** Who cancels, and why. */
export const cancellation = optionalBody(
  z.strictObject({ actor: actor.optional(), reason: z.string().max(2000).optional() }),
)

// What can go wrong, to be spread into a route's responses.
export const unavailable = { 503: json(errorBody, 'The database is away, or this part is paused.') }
export const unauthorised = { 401: json(errorBody, 'No valid key, or a signature that does not fit.') }
/** On every route behind a key. */
export const guarded = {
  ...unauthorised,
  403: json(errorBody, 'The token does not cover this.'),
  429: json(errorBody, 'Too many requests with this key; `Retry-After` says how long to wait.'),
  ...unavailable,
}
export const notFound = { 404: json(errorBody, 'There is no such thing.') }
export const conflict = { 409: json(errorBody, 'It contradicts what is stored, or what was decided before.') }
export const tooLarge = { 413: json(errorBody, 'The body is too large.') }
export const invalid = { 422: json(errorBody, 'The input is not valid; `details.path` names the field.') }
/** On every route that reads a JSON body. */
export const invalidBody = {
  400: json(errorBody, 'The body is not JSON.'),
  ...tooLarge,
  415: json(errorBody, 'The body says that it is not JSON.'),
  ...invalid,
}

/**
 * Query of every list: newest first, a page at a time. A name that it does not know is refused: a filter that is misspelt
 * would give everything.
 */
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50).openapi({ description: 'Items in a page.' }),
  after: id.optional().openapi({ description: '`next` of the page before.' }),
})

/** A query parameter that is `true` or `false`. */
export const flag = (description?: string, example?: boolean) =>
  z
    .stringbool({ truthy: ['true'], falsy: ['false'] })
    .optional()
    .openapi({ type: 'boolean', ...(description !== undefined && { description, example }) })

export const canaries = flag('False leaves the engine’s synthetic canaries out.', false)

/** Header of calls that a client may have to repeat. */
export const idempotencyHeader = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(500)
    .optional()
    .openapi({ description: 'The same key again has no further effect.' }),
})

/** A page of a list, and where the next one begins. */
export function pageOf<S extends z.ZodType>(schema: S) {
  return z.object({
    items: z.array(schema),
    next: z.string().nullable().openapi({ description: 'Pass as `after`; null at the end.' }),
  })
}

/** Makes a page of what a list returned for `limit`. */
export function page<T extends { id: string }>(
  items: T[],
  limit: number,
): { items: T[]; next: string | null } {
  return { items, next: (items.length === limit && items.at(-1)?.id) || null }
}

/**
 * The one row that was asked for by its id.
 *
 * @throws OpsError `OPS_013`
 */
export function found<T>([row]: T[], what: string, id: string): T {
  if (row === undefined)
    throw new OpsError('OPS_013', `There is no ${what} ${id}.`, { details: { path: 'id' } })
  return row
}
