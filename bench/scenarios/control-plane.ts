import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import postgres from 'postgres'
import { createApp } from '../../api/app.js'
import { apiConfigFromEnv } from '../../api/config.js'
import { beat } from '../../api/heartbeat.js'
import { createLog } from '../../api/log.js'
import { serveApi } from '../../api/server.js'
import { connectEngine } from '../../engine/index.js'
import { oursInTurn } from '../harness/rounds.js'
import type { Context, Database, Scenario, Table } from '../harness/types.js'

const CONNECTIONS = 16
const KEY = 'bench'
const log = createLog('silent')
const config = {
  ...apiConfigFromEnv({ OPS_API_KEY: KEY, OPS_REQUESTS_PER_MINUTE: '0' }),
  eventBatchSize: 1000,
}

/** What the way over HTTP costs, and how long a heartbeat takes. */
export const controlPlane: Scenario = {
  name: 'control-plane',
  question: 'how many events a second come in over HTTP, and how long is a beat with a backlog?',
  async run(context) {
    return [await intake(context, 1), await intake(context, 100), await beats(context)]
  },
}

async function intake(context: Context, batch: number): Promise<Table> {
  const requests = context.quick ? 100 : 3000 / Math.sqrt(batch)
  const ours = await oursInTurn(context, 'POST /api/ops/events', async (database) => {
    const engine = connectEngine({ databaseUrl: database.url, maxConnections: CONNECTIONS })
    const api = await serveApi({ app: createApp({ engine, config, log }), port: 0 })
    const speed = await load(`${api.url}/api/ops/events`, requests, batch)
    await api.close()
    await engine.close()
    return speed
  })
  const bare = await oursInTurn(context, 'bare Hono + postgres.js insert', (database) =>
    bareIntake(database, requests, batch),
  )
  return {
    metric: `Intake, ${batch === 1 ? 'one event' : `${batch} events`} a request, ${CONNECTIONS} at a time`,
    unit: 'requests/s',
    better: 'higher',
    subjects: [ours, bare],
  }
}

/** The least that could be done: the body, parsed, into a table of the same width, without checks, keys or answers about each. */
async function bareIntake(database: Database, requests: number, batch: number): Promise<number> {
  const sql = postgres(database.url, { max: CONNECTIONS, onnotice: () => undefined })
  await sql`create table public.bare_events (id uuid primary key default gen_random_uuid(), type text not null, data jsonb not null,
    dedupe_key text unique, created_at timestamptz not null default now())`
  const app = new Hono().post('/', async (c) => {
    const { events }: { events: unknown[] } = await c.req.json()
    await sql`insert into public.bare_events (type, data, dedupe_key)
      select type, data, dedupe_key from jsonb_to_recordset(${JSON.stringify(events)}::text::jsonb)
        as e(type text, data jsonb, dedupe_key text)`
    return c.json({ ok: true }, 202)
  })
  const server = createAdaptorServer({ fetch: app.fetch })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port')
  const speed = await load(`http://127.0.0.1:${address.port}/`, requests, batch)
  await new Promise((resolve) => server.close(resolve))
  await sql.end()
  return speed
}

/** Requests per second, after some that warm the server up. */
async function load(url: string, requests: number, batch: number): Promise<number> {
  let sent = 0
  async function send(): Promise<void> {
    const events = Array.from({ length: batch }, (_, n) => ({
      type: 'bench:event',
      data: { n, text: 'x'.repeat(200) },
      dedupe_key: `${sent}-${n}`,
    }))
    sent += 1
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ events }),
    })
    if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`)
    await response.arrayBuffer()
  }
  const run = async (until: number) => {
    const lane = async () => {
      while (sent < until) await send()
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, lane))
  }
  const warmUp = Math.ceil(requests / 10)
  await run(warmUp)
  const begin = performance.now()
  await run(warmUp + requests)
  return requests / ((performance.now() - begin) / 1000)
}

/** One beat on events that no pattern answers, in batches of 1,000. */
async function beats(context: Context): Promise<Table> {
  const subjects = []
  for (const backlog of [0, 1000, context.quick ? 2000 : 10_000]) {
    subjects.push(
      await oursInTurn(context, `${backlog} events`, async (database) => {
        const engine = connectEngine({ databaseUrl: database.url })
        await beat({ engine, config, log })
        for (let stored = 0; stored < backlog; stored += 1000) {
          await engine.emitEvents(
            Array.from({ length: 1000 }, (_, n) => ({ type: 'bench:event', data: { n } })),
          )
        }
        const begin = performance.now()
        const report = await beat({ engine, config, log })
        const took = performance.now() - begin
        await engine.close()
        if (!report.ok || !report.drained) throw new Error('the beat left something')
        return took
      }),
    )
  }
  return { metric: 'One heartbeat, by backlog', unit: 'ms', better: 'lower', subjects }
}
