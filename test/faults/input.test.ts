/** Input that is made up, malformed or meant to harm, at every entrance there is: refused or stored, never a 500, never a stuck row. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { appOver, GITHUB_SECRET, KEY } from '../../api/testing.js'
import { connectEngine, type Engine } from '../../engine/index.js'
import { setPolicy } from '../../supabase/tests/world.js'
import { freshDatabase, type TestDatabase, urlFor } from '../support/database.js'
import { onFileEnd } from '../support/fileEnd.js'
import {
  hostileBody,
  hostileJson,
  hostileText,
  jsonForPostgres,
  nested,
  wellFormed,
} from './support/hostile.js'
import { scale } from './support/scale.js'
import { expectThrough } from './support/through.js'

const runs = scale({ short: 5, long: 500 })
const seed = Number(process.env.FAULTS_SEED ?? 20_261_121)

let database: TestDatabase
let engine: Engine
let app: ReturnType<typeof appOver>

beforeAll(async () => {
  database = await freshDatabase()
  engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  onFileEnd(() => engine.close())
  app = appOver(engine)
  // Whatever comes in is matched, looked into, and put into a template.
  await setPolicy(database.sql, 'reaction_matrix', {
    patterns: [
      {
        id: 'everything',
        event_type: '*',
        when: "has(event.data.title) || event.type == 'github:push'",
        dedupe_key: '{{event.data.key}}',
        template: {
          title: '{{event.data.title}}',
          risk_level: 'low',
          steps: [{ kind: 'noop', params: { all: '{{event.data}}', text: 'it says {{event.data.title}}' } }],
        },
      },
    ],
  })
})

const expectNothingStuck = () => expectThrough(database.sql, engine)

const description = z.object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) })

describe('over HTTP', () => {
  test('every route answers whatever it is sent, and none with a 5xx', { timeout: 600_000 }, async () => {
    const { paths } = description.parse(await (await app.request('/openapi.json')).json())
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ path, method: method.toUpperCase() })),
    )
    expect(routes.length).toBeGreaterThan(20)
    const request = fc.record({
      body: hostileBody,
      segment: hostileText,
      query: fc.dictionary(fc.constantFrom('limit', 'after', 'status', 'type', 'since', 'kind'), hostileText),
    })
    for (const { path, method } of routes) {
      await fc.assert(
        fc.asyncProperty(request, async ({ body, segment, query }) => {
          const filled = path.replace(/\{\w+\}/g, encodeURIComponent(wellFormed(segment) || 'x'))
          const search = new URLSearchParams(query).toString()
          const response = await app.request(`${filled}?${search}`, {
            method,
            headers: {
              authorization: `Bearer ${KEY}`,
              'content-type': 'application/json',
              'x-github-event': 'push',
              'x-github-delivery': segment.replace(/[^\x21-\x7e]/g, '') || 'x',
              'x-hub-signature-256': `sha256=${createHmac('sha256', GITHUB_SECRET).update(body).digest('hex')}`,
            },
            ...(method === 'GET' ? {} : { body }),
          })
          const text = await response.text()
          expect(response.status, `${method} ${filled}?${search} ${body}: ${text}`).toBeLessThan(500)
        }),
        { numRuns: runs, seed },
      )
    }
    await expectNothingStuck()
  })

  test.each([
    ['nested 100 deep', `{"type":"a:b","data":${nested(100)}}`, 'accepted'],
    ['nested 1,000 deep', `{"type":"a:b","data":${nested(1000)}}`, 'any'],
    ['nested 5,000 deep', `{"type":"a:b","data":${nested(5000)}}`, 'any'],
    ['nested 500,000 deep', `{"type":"a:b","data":${nested(500_000)}}`, 'refused'],
    ['larger than an event may be', `{"type":"a:b","data":{"x":"${'x'.repeat(1_100_000)}"}}`, 'refused'],
    ['larger than a request may be', `{"type":"a:b","data":{"x":"${'x'.repeat(5_000_000)}"}}`, 'refused'],
    ['with NUL', '{"type":"a:b","data":{"x":"a\\u0000b"}}', 'accepted'],
    ['with half of a surrogate pair', '{"type":"a:b","data":{"x":"\\ud800"}}', 'accepted'],
    ['with a number beyond all numbers', '{"type":"a:b","data":{"x":1e999}}', 'any'],
    ['with 300,000 digits', `{"type":"a:b","data":{"x":${'9'.repeat(300_000)}}}`, 'any'],
    [
      'with keys of the prototype',
      '{"type":"a:b","data":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}',
      'accepted',
    ],
    [
      'with a placeholder in its title',
      '{"type":"a:b","data":{"title":"{{policy.control}} {{steps.a.result}}"}}',
      'accepted',
    ],
    [
      'with an expression in its title',
      '{"type":"a:b","data":{"title":"true || size(event.data) > 0","key":"{{event.id}}"}}',
      'accepted',
    ],
  ])('an event %s is refused or goes through the loop', async (_, body, wanted) => {
    const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
    const response = await app.request('/api/ops/events', { method: 'POST', headers, body })
    const text = await response.text()
    expect(response.status, text.slice(0, 500)).toBeLessThan(500)
    if (wanted !== 'any') expect(response.ok, text.slice(0, 500)).toBe(wanted === 'accepted')
    expect('polluted' in {}).toBe(false)
    await expectNothingStuck()
    // What an event says is text: no template renders it a second time.
    const [title] = await database.sql`
      select from ops_mission_proposals where template ->> 'title' like '%"pause"%' or template ->> 'title' = 'true'`
    expect(title).toBeUndefined()
  })
})

describe('over SQL', () => {
  test('every function answers whatever it is called with, or refuses it in the words of its own errors', {
    timeout: 600_000,
  }, async () => {
    const functions = await database.sql<{ name: string; args: string[]; types: string[] }[]>`
      select p.proname as name, (coalesce(p.proargnames, '{}'))[1:p.pronargs] as args,
        array(select format_type(t, null) from unnest(p.proargtypes) with ordinality u(t, n) order by n) as types
      from pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname like 'ops\\_%' and p.prorettype <> 'trigger'::regtype`
    expect(functions.length).toBeGreaterThan(40)
    const refused = /^(OP\d{3}|22\w{3}|23\w{3})$/
    for (const { name, args, types } of functions) {
      const call = `select * from public.${name}(${args.map((arg, i) => `${arg} => $${i + 1}::text::${types[i]}`).join(', ')})`
      await fc.assert(
        fc.asyncProperty(fc.tuple(...types.map(argument)), async (values) => {
          const answer = await database.sql.unsafe(call, values).then(
            () => 'OP000',
            (error: { code?: string; message: string }) => `${error.code ?? ''} ${error.message}`,
          )
          expect(answer.split(' ')[0], `${call} ${JSON.stringify(values)}: ${answer}`).toMatch(refused)
        }),
        { numRuns: args.length === 0 ? 1 : runs, seed },
      )
    }
    await expectNothingStuck()
  })
})

/** A value of an SQL type, as text. */
function argument(type: string): fc.Arbitrary<string | null> {
  const texts = hostileText.map((text) => wellFormed(text).replaceAll('\0', ''))
  const ofType: Record<string, fc.Arbitrary<string>> = {
    jsonb: hostileJson.map(jsonForPostgres),
    integer: fc.oneof(fc.constantFrom('0', '-1', '1', '2147483647', '-2147483648'), fc.nat(2000).map(String)),
    boolean: fc.constantFrom('true', 'false'),
    uuid: fc.oneof(fc.uuid(), fc.constant('00000000-0000-0000-0000-000000000000')),
    'text[]': fc
      .array(fc.constantFrom('noop', '', 'x'.repeat(300)), { maxLength: 3 })
      .map((list) => `{${list.map((t) => `"${t}"`).join()}}`),
    interval: fc.constantFrom('0', '-1 day', '1 hour', '90 days', '1000000 years'),
    'timestamp with time zone': fc.constantFrom('-infinity', 'infinity', '2026-01-01', 'epoch'),
  }
  return fc.option(ofType[type] ?? texts, { freq: 6, nil: null })
}
