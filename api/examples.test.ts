import { createHmac } from 'node:crypto'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { appOver, GITHUB_SECRET, KEY, testApi, UNKNOWN_ID } from './testing.js'

const { db, engine, policy, propose, worker } = await testApi()
const app = appOver(engine)

const content = z.record(z.string(), z.looseObject({ example: z.unknown().optional() }))
const operation = z.looseObject({
  parameters: z
    .array(
      z.looseObject({
        name: z.string(),
        in: z.string(),
        schema: z.looseObject({ example: z.unknown().optional() }),
      }),
    )
    .default([]),
  requestBody: z.looseObject({ content }).optional(),
  responses: z.record(z.string(), z.looseObject({ content: content.optional() })),
})
const description = z.record(z.string(), z.unknown()).parse(await (await app.request('/openapi.json')).json())
const { paths } = z
  .object({ paths: z.record(z.string(), z.record(z.string(), operation)) })
  .parse(description)
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => ({
    name: `${method.toUpperCase()} ${path}`,
    method,
    path,
    described,
  })),
)

const pending = async () => {
  await policy('auto_approve', { enabled: false })
  return (await propose()).proposal_id
}
const mission = async () => {
  await policy('auto_approve', { enabled: true })
  return (await propose()).mission_id ?? UNKNOWN_ID
}
const step = async () => (await engine.listSteps({ mission_id: await mission() }))[0]?.id ?? UNKNOWN_ID

/** An id that cannot stand in a description, because the database gives it: how to come by it, for each route with one. */
const ids: Record<string, () => Promise<string>> = {
  '/api/ops/alerts/{id}/acknowledge': async () => {
    const [alert] = await db.sql<{ id: string }[]>`
      insert into ops.alerts (rule, severity, summary) values ('example', 'warning', 'An example') returning id`
    return alert?.id ?? UNKNOWN_ID
  },
  '/api/ops/events/{id}/why': async () =>
    (await engine.emitEvents([{ type: 'example:event' }]))[0]?.event_id ?? UNKNOWN_ID,
  '/api/ops/proposals/{id}': pending,
  '/api/ops/proposals/{id}/approve': pending,
  '/api/ops/proposals/{id}/reject': pending,
  '/api/ops/missions/{id}': mission,
  '/api/ops/missions/{id}/cancel': mission,
  '/api/ops/steps/{id}/retry': async () => {
    await mission()
    return worker.fail()
  },
  '/api/ops/steps/{id}/cancel': step,
  '/api/ops/trace/{id}': step,
  '/api/ops/radar/{id}': async () => (await engine.radarAdd({ title: 'An example' })).id,
}

const ajv = new Ajv2020({ strict: false, validateFormats: false })
ajv.addSchema(description, 'openapi')

/** What is wrong with an answer, by its own description. */
function problemsOf(answer: unknown, ...pointer: string[]): unknown {
  const escaped = pointer.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
  const validate = ajv.compile({ $ref: `openapi#/${escaped.join('/')}` })
  return validate(answer) ? [] : validate.errors
}

/** The address that the parameters' examples make. Filters by an id, and cursors, are left out. */
async function addressOf(path: string, { parameters }: z.infer<typeof operation>): Promise<string> {
  const query = new URLSearchParams()
  let address = path
  for (const { name, in: place, schema } of parameters) {
    if (name === 'id') address = address.replace('{id}', (await ids[path]?.()) ?? 'no fixture')
    else if (place === 'path') address = address.replace(`{${name}}`, String(schema.example))
    else if (place === 'query' && schema.example !== undefined && schema.format !== 'uuid')
      query.set(name, String(schema.example))
  }
  return `${address}?${query}`
}

/** A delivery is signed by its sender, everything else shows the key. */
function proofOf(path: string, body: string): Record<string, string> {
  if (!path.includes('webhooks')) return { authorization: `Bearer ${KEY}` }
  return {
    'x-github-event': 'issues',
    'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
    'x-hub-signature-256': `sha256=${createHmac('sha256', GITHUB_SECRET).update(body).digest('hex')}`,
  }
}

describe('the description', () => {
  test('is OpenAPI 3.1, by its official schema', async () => {
    const validator = new Validator()
    expect(await validator.validate(structuredClone(description))).toEqual({ valid: true })
    expect(validator.version).toBe('3.1')
    expect(
      await new Validator().validate({ ...description, paths: { '/x': { get: { responses: [] } } } }),
    ).toMatchObject({
      valid: false,
    })
  })

  test('has an example of every body', () => {
    const without = operations.filter(
      ({ described: { requestBody } }) =>
        requestBody && requestBody.content['application/json']?.example === undefined,
    )
    expect(without.map(({ name }) => name)).toEqual([])
  })
})

describe('the example of', () => {
  test.each(operations)('$name works, and answers as described', async ({ method, path, described }) => {
    const example = described.requestBody?.content['application/json']?.example
    const body = example === undefined ? undefined : JSON.stringify(example)
    const response = await app.request(await addressOf(path, described), {
      method: method.toUpperCase(),
      headers: { 'content-type': 'application/json', ...proofOf(path, body ?? '') },
      ...(body !== undefined && { body }),
    })
    const text = await response.text()
    expect(response.ok, `${response.status} ${text}`).toBe(true)
    const status = String(response.status)
    expect(Object.keys(described.responses)).toContain(status)
    const [type = ''] = (response.headers.get('content-type') ?? '').split(';')
    expect(Object.keys(described.responses[status]?.content ?? {})).toEqual([type])
    const answer: unknown = type === 'application/json' ? JSON.parse(text) : text
    const pointer = ['paths', path, method, 'responses', status, 'content', type, 'schema']
    expect(problemsOf(answer, ...pointer), text).toEqual([])
  })
})
