import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connectEngine } from '../engine/index.js'
import { freshDatabase, startRest, urlFor } from '../test/support/database.js'
import { apiMain, heartbeatMain, serveApi } from './server.js'
import { describedOperations, exampleSender, type Operation, type Requested } from './testing.examples.js'
import { answerOf, appOver, GITHUB_SECRET, KEY, testApi } from './testing.js'

const authorization = `Bearer ${KEY}`
const own = await testApi()

describe('over real HTTP, through PostgREST', () => {
  let url = ''
  let send: ReturnType<typeof exampleSender>
  let operations: Operation[] = []
  beforeAll(async () => {
    const rest = await startRest(own.db)
    const engine = connectEngine({ supabaseUrl: rest.url, supabaseKey: rest.serviceKey })
    const app = appOver(engine)
    const api = await serveApi({ app, port: 0 })
    url = api.url
    send = exampleSender(own)
    operations = (await describedOperations(app)).operations
    return async () => {
      await api.close()
      await engine.close()
    }
  })

  test('an event goes in, and a heartbeat settles it', async () => {
    const emitted = await fetch(`${url}/api/ops/events`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'deploy:finished', data: { service: 'shop' } }),
    })
    expect(emitted.status).toBe(202)
    const runbook = { method: 'POST', headers: { authorization, 'content-type': 'application/json' } }
    const beaten = await answerOf(await fetch(`${url}/api/ops/heartbeat`, runbook))
    expect(beaten).toMatchObject({
      status: 200,
      body: {
        ok: true,
        triggerResult: { events: 1 },
        leaseResult: { requeued_steps: 0, failed_steps: 0 },
        staleResult: { recovered: 0 },
      },
    })
  })

  test('a body that may be left out is, also by clients that name the type of what they do not send', async () => {
    for (const type of ['application/json', 'application/x-www-form-urlencoded']) {
      const { mission_id } = await own.propose()
      const cancelled = await fetch(`${url}/api/ops/missions/${mission_id}/cancel`, {
        method: 'POST',
        headers: { authorization, 'content-type': type },
        body: '',
      })
      expect(await answerOf(cancelled)).toMatchObject({ status: 200, body: { status: 'cancelled' } })
    }
    const [mission] = await own.engine.listMissions({}, 1)
    const broken = await fetch(`${url}/api/ops/missions/${mission?.id}/cancel`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: '{',
    })
    expect(broken.status).toBe(400)
  })

  test('the example of every route works', async () => {
    const served: Requested = { request: (path, init) => fetch(url + path, init) }
    const failed: string[] = []
    for (const operation of operations) {
      const response = await send(served, operation)
      const text = await response.text()
      if (!response.ok) failed.push(`${operation.name}: ${response.status} ${text}`)
    }
    expect(operations.length).toBeGreaterThan(45)
    expect(failed).toEqual([])
  })

  test('duplicate Authorization headers and odd bytes give 401', async () => {
    for (const headers of [
      [
        ['authorization', authorization],
        ['authorization', authorization],
      ],
      [['authorization', 'Bearer \u00ff\u00fe']],
    ] satisfies [string, string][][]) {
      expect((await fetch(`${url}/api/ops/heartbeat`, { headers })).status).toBe(401)
    }
  })

  test('errors of the database keep their code, details and hint', async () => {
    const answer = await answerOf(
      await fetch(`${url}/api/ops/events`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'heartbeat:success' }),
      }),
    )
    expect(answer).toMatchObject({
      status: 422,
      body: { code: 'OPS_011', details: { path: 'type' } },
    })
  })
})

describe('serveApi', () => {
  const engine = connectEngine({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/none' })
  afterAll(() => engine.close())

  test('says which port is taken and what to do', async () => {
    const first = await serveApi({ app: appOver(engine), port: 0 })
    const port = Number(new URL(first.url).port)
    await expect(serveApi({ app: appOver(engine), port })).rejects.toMatchObject({
      code: 'OPS_014',
      message: `Port ${port} of 127.0.0.1 is taken.`,
      hint: expect.stringContaining('PORT'),
    })
    await first.close()
  })

  test('close lets a request under way end, and takes no further one', async () => {
    const steps = new EventEmitter()
    const app = {
      async fetch() {
        const answered = once(steps, 'answer')
        steps.emit('arrived')
        await answered
        return new Response('done')
      },
    }
    const api = await serveApi({ app, port: 0 })
    const arrived = once(steps, 'arrived')
    const slow = fetch(api.url)
    await arrived
    const closing = api.close()
    await expect(fetch(api.url)).rejects.toThrow()
    steps.emit('answer')
    expect(await (await slow).text()).toBe('done')
    await closing
  })
})

describe('heartbeatMain', () => {
  test('beats once without HTTP and prints the report', async () => {
    const db = await freshDatabase()
    const lines: string[] = []
    const env = { DATABASE_URL: urlFor(db, 'service_role'), LOG_LEVEL: 'silent' }
    expect(await heartbeatMain({ env, print: (line) => lines.push(line) })).toBe(0)
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { ok: true, triggerResult: { events: 0, queued: 0 } },
    ])
  })

  test('a beat that fails prints its report and ends with 1', async () => {
    const lines: string[] = []
    const env = { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none', LOG_LEVEL: 'silent' }
    expect(await heartbeatMain({ env, print: (line) => lines.push(line) })).toBe(1)
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { ok: false, errors: expect.arrayContaining([expect.objectContaining({ code: 'OPS_001' })]) },
    ])
  })

  test('an environment that is not complete is refused before anything happens', async () => {
    await expect(heartbeatMain({ env: {} })).rejects.toMatchObject({ code: 'OPS_001' })
    await expect(heartbeatMain({ env: { OPS_EVENT_BATCH_SIZE: 'x' } })).rejects.toMatchObject({
      code: 'OPS_011',
    })
  })
})

describe('apiMain', () => {
  const main = fileURLToPath(new URL('./server.ts', import.meta.url))

  async function start(env: Record<string, string>, ipc = false) {
    const script = `const { apiMain } = await import(${JSON.stringify(main)}); process.exitCode = await apiMain()`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      env: { PATH: process.env.PATH ?? '', LOG_LEVEL: 'warn', PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'inherit', ...(ipc ? (['ipc'] as const) : [])],
    })
    const exited = once(child, 'exit')
    if (child.stdout === null) throw new Error('no output')
    const [line] = z.tuple([z.string()]).parse(await once(createInterface(child.stdout), 'line'))
    return { child, line, url: /http:\S+?(?= |$)/.exec(line)?.[0] ?? '', code: exited.then(([code]) => code) }
  }

  test.each(['SIGTERM', 'SIGINT'] as const)('serves until %s', async (signal) => {
    const db = await freshDatabase()
    const { child, url, code } = await start({
      DATABASE_URL: urlFor(db, 'service_role'),
      OPS_API_KEY: KEY,
      GITHUB_WEBHOOK_SECRET: GITHUB_SECRET,
    })
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    expect((await fetch(`${url}/api/ops/missions`, { headers: { authorization } })).status).toBe(200)
    child.kill(signal)
    expect(await code).toBe(0)
  })

  test('ends with the parent that it talks to', async () => {
    const db = await freshDatabase()
    const { child, code } = await start({ DATABASE_URL: urlFor(db, 'service_role'), OPS_API_KEY: KEY }, true)
    child.disconnect()
    expect(await code).toBe(0)
  })

  test('leaves Ctrl-C to its supervisor', async () => {
    const db = await freshDatabase()
    const { child, url, code } = await start(
      { DATABASE_URL: urlFor(db, 'service_role'), OPS_API_KEY: KEY },
      true,
    )
    child.kill('SIGINT')
    for (let n = 0; n < 3; n++) expect((await fetch(`${url}/livez`)).status).toBe(200)
    child.kill('SIGTERM')
    expect(await code).toBe(0)
  })

  test('an environment that is not complete is refused', async () => {
    await expect(apiMain({ env: { LOG_LEVEL: 'silent' } })).rejects.toMatchObject({ code: 'OPS_001' })
    await expect(apiMain({ env: { PORT: 'x', LOG_LEVEL: 'silent' } })).rejects.toMatchObject({
      code: 'OPS_011',
      details: { path: 'PORT' },
    })
  })
})
