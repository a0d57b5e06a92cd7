import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { apiConfigFromEnv } from './config.js'
import vercel, { config } from './index.js'
import { answerOf, KEY } from './testing.js'

const VARIABLES = [
  'DATABASE_URL',
  'SUPABASE_URL',
  'SUPABASE_SECRET_KEY',
  'SUPABASE_SERVICE_ROLE_KEY',
  'OPS_EVENT_BATCH_SIZE',
]

beforeEach(() => {
  for (const name of VARIABLES) vi.stubEnv(name, undefined)
  vi.stubEnv('LOG_LEVEL', 'silent')
})
afterEach(() => vi.unstubAllEnvs())

const get = async (path: string) =>
  answerOf(
    await vercel.fetch(
      new Request(`https://ops.example${path}`, { headers: { authorization: `Bearer ${KEY}` } }),
    ),
  )

test('an incomplete environment answers 503 and says what is missing, until it is complete', async () => {
  expect(await get('/api/ops/missions')).toMatchObject({
    status: 503,
    body: { code: 'OPS_001', error: expect.stringContaining('SUPABASE_URL and SUPABASE_SECRET_KEY') },
  })

  const db = await freshDatabase()
  vi.stubEnv('DATABASE_URL', urlFor(db, 'service_role'))
  vi.stubEnv('OPS_EVENT_BATCH_SIZE', 'many')
  expect(await get('/livez')).toMatchObject({ status: 503, body: { code: 'OPS_011' } })

  vi.stubEnv('OPS_EVENT_BATCH_SIZE', '50')
  vi.stubEnv('OPS_API_KEY', KEY)
  expect(await get('/api/ops/missions')).toMatchObject({ status: 200, body: { items: [], next: null } })
})

test('a request may take longer than a beat works', () => {
  expect(config.maxDuration).toBe(60)
  expect(config.maxDuration * 1000 - apiConfigFromEnv({}).beatBudgetMs).toBeGreaterThanOrEqual(10_000)
})
