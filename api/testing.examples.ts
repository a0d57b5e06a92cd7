import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { type appOver, GITHUB_SECRET, KEY, type TestApi, UNKNOWN_ID } from './testing.js'

const content = z.record(z.string(), z.looseObject({ example: z.unknown().optional() }))
const operationSchema = z.looseObject({
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

/** An operation of the description, whose example can be sent. */
export interface Operation {
  /** `POST /api/ops/events` */
  name: string
  method: string
  path: string
  described: z.infer<typeof operationSchema>
}

/** What `/openapi.json` says, and each operation in it. */
export async function describedOperations(app: ReturnType<typeof appOver>) {
  const description = z
    .record(z.string(), z.unknown())
    .parse(await (await app.request('/openapi.json')).json())
  const { paths } = z
    .object({ paths: z.record(z.string(), z.record(z.string(), operationSchema)) })
    .parse(description)
  const operations: Operation[] = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      described,
    })),
  )
  return { description, operations }
}

/** An app, or where one is served. */
export interface Requested {
  request(path: string, init: RequestInit): Response | Promise<Response>
}

/** Sends examples as the description gives them, to an app over the same database. */
export function exampleSender({ db, engine, policy, propose, worker }: TestApi) {
  const pending = async () => {
    await policy('auto_approve', { enabled: false })
    return (await propose()).proposal_id
  }
  const mission = async () => {
    await policy('auto_approve', { enabled: true })
    return (await propose()).mission_id ?? UNKNOWN_ID
  }
  const step = async () => (await engine.listSteps({ mission_id: await mission() }))[0]?.id ?? UNKNOWN_ID
  const event = async () => (await engine.emitEvents([{ type: 'example:event' }]))[0]?.event_id ?? UNKNOWN_ID

  /** An id that cannot stand in a description, because the database gives it: how to come by it, for each route with one. */
  const ids: Record<string, () => Promise<string>> = {
    '/api/ops/alerts/{id}/acknowledge': async () => {
      const [alert] = await db.sql<{ id: string }[]>`
        insert into ops.alerts (rule, severity, summary) values ('example', 'warning', 'An example') returning id`
      return alert?.id ?? UNKNOWN_ID
    },
    '/api/ops/events/{id}': event,
    '/api/ops/events/{id}/why': event,
    '/api/ops/proposals/{id}': pending,
    '/api/ops/proposals/{id}/approve': pending,
    '/api/ops/proposals/{id}/reject': pending,
    '/api/ops/missions/{id}': mission,
    '/api/ops/missions/{id}/cancel': mission,
    '/api/ops/steps/{id}': step,
    '/api/ops/steps/{id}/retry': async () => {
      await mission()
      return worker.fail()
    },
    '/api/ops/steps/{id}/cancel': step,
    '/api/ops/trace/{id}': step,
    '/api/ops/radar/{id}': async () => (await engine.radarAdd({ title: 'An example' })).id,
  }

  /** The address that the parameters' examples make. Filters by an id, and cursors, are left out. */
  async function addressOf({ path, described }: Operation): Promise<string> {
    const query = new URLSearchParams()
    let address = path
    for (const { name, in: place, schema } of described.parameters) {
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

  return async (app: Requested, operation: Operation): Promise<Response> => {
    // One example takes it out of force.
    if (operation.path.includes('{key}')) await policy('proposal_caps', { daily_limit: 50 })
    const example = operation.described.requestBody?.content['application/json']?.example
    const body = example === undefined ? undefined : JSON.stringify(example)
    return app.request(await addressOf(operation), {
      method: operation.method,
      headers: { 'content-type': 'application/json', ...proofOf(operation.path, body ?? '') },
      ...(body !== undefined && { body }),
    })
  }
}
