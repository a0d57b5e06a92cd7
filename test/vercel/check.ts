/**
 * What Vercel would deploy, looked at and asked over HTTP with a real database behind it.
 * Usage: node --import tsx test/vercel/check.ts <.vercel/output>
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { migrate, seedPolicies } from '../../embedded/migrate.js'
import { startPostgres } from '../../embedded/postgres.js'

const [output = ''] = process.argv.slice(2)
const KEY = 'a-key'
const CRON = 'a-cron-secret'

function lookAt(folder: string): void {
  const names = (part: string): string[] =>
    existsSync(join(folder, part))
      ? readdirSync(join(folder, part), { recursive: true, encoding: 'utf8' })
      : []
  const functions = names('functions').filter((name) => /\.func$/.test(name))
  assert.deepEqual(functions, ['api/index.ts.func'], 'one function')
  assert.deepEqual(names('static'), [], 'nothing of the repository is published')
  const tests = names('functions').filter(
    (name) => /\.test\.|\/testing\./.test(name) && !name.includes('node_modules'),
  )
  assert.deepEqual(tests, [], 'no test is part of the function')

  const read = (file: string): unknown => JSON.parse(readFileSync(join(folder, file), 'utf8'))
  const { crons } = z.object({ crons: z.unknown() }).parse(read('config.json'))
  assert.deepEqual(crons, [{ path: '/api/ops/heartbeat', schedule: '*/5 * * * *' }])
  const settings = z.object({ maxDuration: z.number(), runtime: z.string() })
  const { maxDuration, runtime } = settings.parse(read('functions/api/index.ts.func/.vc-config.json'))
  assert.equal(maxDuration, 60)
  assert.match(runtime, /^nodejs(20|22|24)\.x$/)
}

/** Sends each request that matters, and says what came back. */
async function ask(url: string): Promise<void> {
  async function send(method: string, path: string, key?: string, body?: unknown) {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(key && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    console.log(`  ${response.status} ${method} ${path}`)
    assert.equal(response.headers.get('x-published'), null, `${path} is published`)
    return { status: response.status, text }
  }
  const said = async (status: number, ...request: Parameters<typeof send>): Promise<unknown> => {
    const answer = await send(...request)
    assert.equal(answer.status, status, `${request[0]} ${request[1]}: ${answer.text}`)
    return answer.text.startsWith('{') ? JSON.parse(answer.text) : answer.text
  }

  await said(200, 'GET', '/livez')
  await said(200, 'GET', '/readyz')
  await said(200, 'GET', '/openapi.json')
  await said(200, 'GET', '/docs')
  await said(401, 'GET', '/api/ops/missions')
  await said(401, 'GET', '/api/ops/missions', CRON)
  for (const source of ['/package.json', '/vercel.json', '/api/app.ts', '/supabase/seed.sql'])
    await said(404, 'GET', source, KEY)
  await said(202, 'POST', '/api/ops/events', KEY, { type: 'deploy:finished', data: { service: 'shop' } })
  // As Vercel's cron calls it.
  const beat = z.object({ ok: z.boolean(), triggerResult: z.looseObject({ events: z.number() }) })
  const { ok, triggerResult } = beat.parse(await said(200, 'GET', '/api/ops/heartbeat', CRON))
  assert.ok(ok && triggerResult.events >= 1, 'the beat settled the event')
  const events = z.object({ items: z.array(z.looseObject({ processed_at: z.string().nullable() })) })
  const { items } = events.parse(await said(200, 'GET', '/api/ops/events?type=deploy:finished', KEY))
  assert.equal(items.length, 1)
  assert.notEqual(items[0]?.processed_at, null)
}

lookAt(output)
const dataDir = await mkdtemp(join(tmpdir(), 'ops-loop-vercel-'))
const database = await startPostgres({ dataDir, fast: true })
try {
  await migrate(database.url())
  await seedPolicies(database.url())
  const deployed = spawn(process.execPath, [fileURLToPath(new URL('serve.mjs', import.meta.url)), output], {
    env: { DATABASE_URL: database.url(), OPS_API_KEY: KEY, CRON_SECRET: CRON, LOG_LEVEL: 'warn' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [url] = z.tuple([z.string()]).parse(await once(createInterface(deployed.stdout), 'line'))
  try {
    await ask(url)
  } finally {
    deployed.stdin.end()
    await once(deployed, 'exit')
  }
  console.log(`what was built answers over HTTP, on Node ${process.version}`)
} finally {
  await database.stop()
  await rm(dataDir, { recursive: true, force: true })
}
