import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createClient } from '@supabase/supabase-js'
import { expect, inject, test } from 'vitest'
import { freshDatabase, startRest } from '../test/support/database.js'
import { serveGateway } from './gateway.js'
import { signJwt } from './jwt.js'
import { startPostgrest } from './postgrest.js'

test('supabase-js works with the service key, and gets nothing with the anon key', async () => {
  const rest = await startRest(await freshDatabase())
  const service = await createClient(rest.url, rest.serviceKey)
    .from('ops_policy')
    .select('key')
    .eq('key', 'control')
  expect(service).toMatchObject({ error: null, data: [{ key: 'control' }] })
  const anon = await createClient(rest.url, rest.anonKey).from('ops_policy').select('key')
  expect(anon).toMatchObject({ status: 401, error: { code: '42501' } })
})

test('the apikey header alone makes its bearer someone, a bad key nobody', async () => {
  const rest = await startRest(await freshDatabase())
  const read = (headers: Record<string, string>) =>
    fetch(`${rest.url}/rest/v1/ops_policy?select=key`, { headers })
  expect((await read({ apikey: rest.serviceKey })).status).toBe(200)
  expect((await read({})).status).toBe(401)
  expect((await read({ apikey: signJwt('service_role', 'another secret of 32 characters!') })).status).toBe(
    401,
  )
  const expired = new Date('2000-01-01')
  expect((await read({ apikey: signJwt('service_role', 'irrelevant', expired) })).status).toBe(401)
})

test("a key can be of one of the engine's own roles", async () => {
  const rest = await startRest(await freshDatabase())
  const operator = createClient(rest.url, rest.keyFor('ops_operator'))
  expect((await operator.from('ops_policy').select('key')).error).toBeNull()
  const worker = createClient(rest.url, rest.keyFor('ops_worker'))
  expect((await worker.from('ops_policy').delete().eq('key', 'control')).error).toMatchObject({
    code: '42501',
  })
})

test('a notification makes PostgREST read the schema anew', async () => {
  const database = await freshDatabase()
  const rest = await startRest(database)
  const client = createClient(rest.url, rest.serviceKey)
  await database.sql`create function added_later() returns integer language sql as 'select 42'`
  await database.sql`notify pgrst, 'reload schema'`
  await expect.poll(async () => (await client.rpc('added_later')).data, { timeout: 10_000 }).toBe(42)
})

test('the gateway says when PostgREST is away, and answers nothing outside of its prefix', async () => {
  const gateway = await serveGateway('http://127.0.0.1:1', 0)
  const address = gateway.address()
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  expect((await fetch(`${url}/rest/v1/ops_policy`)).status).toBe(502)
  expect((await fetch(`${url}/ops_policy`)).status).toBe(404)
  gateway.close()
})

test('a taken port is named, and no PostgREST stays behind', async () => {
  const blocker = createServer()
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
  const address = blocker.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const { url } = await freshDatabase()
  const databaseUrl = url.replace('//postgres:', '//authenticator:')
  const start = startPostgrest({ dataDir: inject('testDir'), databaseUrl, jwtSecret: 'x'.repeat(32), port })
  await expect(start).rejects.toMatchObject({
    code: 'OPS_001',
    message: expect.stringContaining(`Port ${port} of 127.0.0.1 is taken`),
  })
  blocker.close()
})

test('a data folder may be named in any script', async () => {
  const dataDir = join(inject('testDir'), 'Jürgen 日本')
  await mkdir(dataDir)
  const { url } = await freshDatabase()
  const databaseUrl = url.replace('//postgres:', '//authenticator:')
  const rest = await startPostgrest({ dataDir, databaseUrl, jwtSecret: 'x'.repeat(32) })
  await rest.stop()
})
