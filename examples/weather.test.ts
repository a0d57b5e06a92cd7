import { join } from 'node:path'
import { expect, it } from 'vitest'
import { serve } from '../channels/testing.js'
import { connectEngine } from '../engine/index.js'
import { runExecutor } from '../executors/testing.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'
import { drain } from '../test/support/worker.js'
import weather from './executors/weather.js'

const TOKEN = 'weather-token-1'

/** A weather service: storms in Kiel, no Atlantis, and a day off for Rome. */
async function weatherService() {
  const service = await serve(({ path, headers }, response) => {
    const status =
      { '/Atlantis': 404, '/Rome': 503 }[path ?? ''] ??
      (headers.authorization === `Bearer ${TOKEN}` ? 200 : 401)
    response.writeHead(status).end(JSON.stringify({ storm: path === '/Kiel', degrees: 9 }))
  })
  onFileEnd(service.close)
  return { service, env: { WEATHER_URL: service.url, WEATHER_TOKEN: TOKEN } }
}

it('runs against a made-up step', async () => {
  const { env } = await weatherService()
  const { outcome, events } = await runExecutor(weather, { city: 'Kiel' }, { env })
  expect(outcome).toMatchObject({ outcome: 'done', result: { storm: true, degrees: 9 } })
  expect(events).toMatchObject([{ type: 'weather:storm', data: { city: 'Kiel' } }])

  expect((await runExecutor(weather, { city: 'Atlantis' }, { env })).outcome).toMatchObject({
    outcome: 'fail',
  })
  expect((await runExecutor(weather, { city: 'Rome' }, { env })).outcome).toMatchObject({
    outcome: 'retry',
    after_seconds: 60,
  })
  await expect(runExecutor(weather, { town: 'Kiel' }, { env })).rejects.toThrow('params.city')
})

it('runs in a worker, and its event is stored with its result', async () => {
  const { env, service } = await weatherService()
  const database = await freshDatabase()
  const control = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  onFileEnd(() => control.close())
  await database.sql`update ops_policy set value = '{"enabled": true, "allowed_step_kinds": ["weather"]}' where key = 'auto_approve'`
  const template = {
    title: 'Look',
    risk_level: 'low' as const,
    steps: [{ kind: 'weather', params: { city: 'Kiel' } }],
  }
  await control.createProposal({ source: 'test', template })

  const worker = await drain(database, { executors: join(import.meta.dirname, 'executors'), env })
  expect(worker).toMatchObject({ exitCode: 0, stdout: '1 step: 1 succeeded' })
  expect(worker.stderr).toContain('looked outside')
  const [step] = await control.listSteps({})
  expect(step).toMatchObject({ status: 'succeeded', result: { storm: true, degrees: 9 } })
  expect(service.received[0]?.headers['idempotency-key']).toBe(step?.id)
  expect(
    await database.sql`select type, data from ops_agent_events where type = 'weather:storm'`,
  ).toMatchObject([{ data: { city: 'Kiel' } }])
})
